/** A hardware test against a scripted service and a clock that stands still: what it submits, believes, waits for and tells. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type HardwareTest,
  isSameDirectory,
  readRunner,
  runHardwareTest,
  type RunnerRecord,
  type Verdict,
} from "../lib/agent/hardware-test.ts";
import { type JobCalls, JobOver } from "../lib/agent/job-calls.ts";
import type { Answer } from "../lib/buildomat.ts";
import type { Board, RunnerResult, RunnerStatus, Submission } from "../lib/sp-runner-api.ts";
import { createSettableClock } from "./settable-clock.ts";

const lost: Answer<never> = { ok: false, refusal: "no answer", status: null, message: "it broke off" };
const unknown: Answer<never> = { ok: false, refusal: "rejected", status: 404, message: "status 404" };
const ok = <T>(value: T): Answer<T> => ({ ok: true, value });
const running = (progress: string): Answer<RunnerStatus> => ok({ status: "running", progress });
const completed = ok<RunnerStatus>({ status: "completed", progress: "done" });
const passed: RunnerResult = { outcome: "passed", duration_secs: 9, tests_run: 42 };
const idle: Board = { name: "bed-1", status: "available" };
const busy = (job?: string): Board => ({ name: "bed-1", status: "busy", current_job: job });

/** What the service answers, one after the other; the last one again and again. */
interface Answers {
  submit: Answer<string>[];
  status: Answer<RunnerStatus>[];
  result: Answer<RunnerResult>[];
  boards: Answer<Board[]>[];
}

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "hardware-test-"));
  mkdirSync(join(directory, "work"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function play(over: Partial<Answers> = {}, env: Record<string, string> = {}) {
  const clock = createSettableClock();
  const answers: Answers = {
    submit: [ok("J")],
    status: [completed],
    result: [ok(passed)],
    boards: [ok([idle])],
    ...over,
  };
  const asked: string[] = [];
  const submitted: Submission[] = [];
  const records: (RunnerRecord & { asked: number })[] = [];
  const told: string[] = [];
  const controller = new AbortController();
  const next = <T>(what: string, from: Answer<T>[]): Promise<Answer<T>> => {
    asked.push(what);
    const [first] = from;
    if (first === undefined) throw new Error(`nothing is to be asked of ${what}`);
    return Promise.resolve(from.length > 1 ? (from.shift() ?? first) : first);
  };
  const hardwareTest: HardwareTest = {
    testbed: {
      testbed: "bed-1",
      sp_runner_url: "http://h",
      test_type: "update-rollback",
      baseline: "v16",
      disable_watchdog: true,
    },
    tasks: [{ id: 0, name: "t", script: "", env_clear: false, env, uid: 0, gid: 0, workdir: "/work" }],
    runner: {
      health: () => next("health", [lost]),
      boards: () => next("boards", answers.boards),
      submit: (submission) => {
        submitted.push(submission);
        return next("submit", answers.submit);
      },
      status: (job) => next(`status ${job}`, answers.status),
      result: (job) => next(`result ${job}`, answers.result),
      recover: () => next("recover", [lost]),
    },
    calls: { signal: controller.signal } as JobCalls,
    clock,
    inputDirectory: "/far/input",
    outputDirectory: "/far/work",
    seenOutput: join(directory, "work"),
    record: (state) => void records.push({ ...state, asked: asked.length }),
    tell: (stream, payload) => {
      told.push(`${stream}: ${payload}`);
      return Promise.resolve();
    },
  };
  let verdict: Verdict | Error | null = null;
  const done = runHardwareTest(hardwareTest).then(
    (value) => (verdict = value),
    (error: unknown) => (verdict = error as Error),
  );
  return { clock, asked, submitted, records, told, controller, done, verdict: () => verdict };
}

function leave(name: string, text = "{}"): void {
  writeFileSync(join(directory, "work", name), text);
}

describe("a job that is answered", () => {
  test("is submitted once, followed, and ends with what its result says; each phase is recorded before it is done", async () => {
    const it = play({ status: [running("one"), running("one"), running("two"), completed] });
    await it.clock.advance(3000);
    expect(await it.done).toEqual({ isGood: true, files: [] });
    expect(it.submitted).toEqual([
      {
        testbed: "bed-1",
        input_dir: "/far/input",
        output_dir: "/far/work",
        baseline: "v16",
        test_type: "update-rollback",
        disable_watchdog: true,
      },
    ]);
    expect(it.asked).toEqual(["submit", "status J", "status J", "status J", "status J", "result J"]);
    expect(it.records).toEqual([
      { phase: "submitting", asked: 0 },
      { phase: "submitted", job: "J", asked: 1 },
      { phase: "ended", asked: 6 },
    ]);
    expect(it.told).toEqual([
      "worker: sp-runner: update-rollback from baseline v16",
      "stdout: one",
      "stdout: two",
      "stdout: done",
      "worker: sp-runner: passed, 42 tests in 9 s",
    ]);
  });

  test.each([
    ["failed", "two tests failed"],
    ["error", "the bench is dark"],
  ] as const)("is failed where its outcome is %s", async (outcome, error) => {
    const it = play({ result: [ok({ ...passed, outcome, error })] });
    expect(await it.done).toMatchObject({ isGood: false });
    expect(it.told.at(-1)).toBe(`worker: sp-runner: ${outcome}, 42 tests in 9 s: ${error}`);
  });

  test("is failed, with the reason, where the lab failed it", async () => {
    const it = play({ status: [ok({ status: "failed", progress: "", error: "no probe" })], result: [] });
    expect(await it.done).toMatchObject({ isGood: false });
    expect(it.told.at(-1)).toContain("the lab failed it: no probe");
  });

  test("is failed where the service does not take it, and the board is free at once", async () => {
    const it = play({ submit: [{ ok: false, refusal: "conflict", status: 409, message: "busy" }] });
    expect(await it.done).toEqual({ isGood: false, files: [] });
    expect(it.asked).toEqual(["submit"]);
    expect(it.records.at(-1)).toMatchObject({ phase: "ended" });
    expect(it.told.at(-1)).toBe("worker: sp-runner: sp-runner does not take the job: busy");
  });

  test("may choose test type and baseline by its task's environment", async () => {
    const it = play({}, { SP_TEST_TYPE: "smoke", SP_BASELINE: "v17" });
    await it.done;
    expect(it.submitted).toMatchObject([{ test_type: "smoke", baseline: "v17" }]);
  });

  test.each(["", "a\nb", "x".repeat(201)])("may not choose %j", async (word) => {
    const it = play({}, { SP_TEST_TYPE: word });
    expect(await it.done).toEqual({ isGood: false, files: [] });
    expect(it.submitted).toEqual([]);
    expect(it.records).toEqual([]);
  });

  test("is not ours any more once it was cancelled: nothing further is asked", async () => {
    const it = play({ status: [running("one")] });
    await it.clock.advance(1000);
    it.controller.abort();
    await it.done;
    expect(it.verdict()).toBeInstanceOf(JobOver);
    expect(it.asked.filter((each) => each !== "status J")).toEqual(["submit"]);
    expect(it.records.at(-1)).toMatchObject({ phase: "submitted" });
    expect(it.clock.waiting()).toBe(0);
  });
});

describe("what cannot be told is waited for", () => {
  test("errors and words of another version for an hour end nothing, and are told once", async () => {
    const it = play({ status: [running("one"), ok({ status: "meditating", progress: "one" }), lost] });
    await it.clock.advance(3_600_000);
    expect(it.verdict()).toBeNull();
    expect(it.told.filter((line) => line.includes("asked again"))).toHaveLength(1);
    it.controller.abort();
    await it.done;
  });

  test("a result is asked for until it is there", async () => {
    const it = play({
      result: [lost, { ok: false, refusal: "conflict", status: 409, message: "" }, ok(passed)],
    });
    await it.clock.advance(2000);
    expect(await it.done).toMatchObject({ isGood: true });
  });

  test("a lost answer is settled by the board's job, never by a second submission", async () => {
    const it = play({ submit: [lost], boards: [lost, ok([]), ok([busy()]), ok([busy("K")])] });
    await it.clock.advance(3000);
    expect(await it.done).toMatchObject({ isGood: true });
    expect(it.submitted).toHaveLength(1);
    expect(it.asked.slice(-2)).toEqual(["status K", "result K"]);
  });

  test("a board must be idle for 10 s on end; what did not tell of it counts for nothing", async () => {
    const boards = [ok([idle]), lost, ok([]), ok([idle]), ok([busy()]), ok([idle])];
    const it = play({ submit: [lost], boards });
    await it.clock.advance(5000 + 9999);
    // An answer that was lost does not say that the board was busy, but it was seen busy at 4 s.
    expect(it.verdict()).toBeNull();
    await it.clock.advance(1);
    expect(await it.done).toEqual({ isGood: false, files: [] });
    expect(it.records.at(-1)).toMatchObject({ phase: "ended" });
    expect(it.told.at(-1)).toBe(
      "worker: sp-runner: the job was submitted and its answer lost, and its board is idle; it left no report",
    );
  });

  test.each([
    ["passed", true],
    ["failed", false],
  ])("the report that a lost job left counts: %s", async (outcome, isGood) => {
    const it = play({ submit: [lost] });
    leave("test-report.json", JSON.stringify({ outcome }));
    await it.clock.advance(10_000);
    expect(await it.done).toEqual({ isGood, files: [join(directory, "work/test-report.json")] });
  });

  test.each(["{", "[]", '{"outcome": 1}'])("a report that cannot be read is none: %s", async (text) => {
    const it = play({ submit: [lost] });
    leave("test-report.json", text);
    await it.clock.advance(10_000);
    expect(await it.done).toEqual({ isGood: false, files: [] });
  });

  test("a job that the service has forgotten is settled by its board", async () => {
    const it = play({ status: [running("one"), unknown], result: [] });
    await it.clock.advance(1000 + 10_000);
    expect(await it.done).toMatchObject({ isGood: false });
    expect(it.told.at(-1)).toStartWith(
      "worker: sp-runner: sp-runner does not know the job any more, and its board is idle",
    );
  });

  test("one that is still on its board is followed on", async () => {
    const it = play({ status: [unknown, running("two"), completed], boards: [ok([busy("J")])] });
    await it.clock.advance(2000);
    expect(await it.done).toMatchObject({ isGood: true });
  });

  test("another job on the board frees nothing", async () => {
    const it = play({ status: [unknown], boards: [ok([busy("K")])] });
    expect(await it.done).toMatchObject({ isGood: false });
    expect(it.records.at(-1)).toMatchObject({ phase: "submitted" });
  });

  test("a result that the service has forgotten is looked for in the report", async () => {
    const it = play({ result: [unknown] });
    leave("test-report.json", '{"outcome": "passed"}');
    expect(await it.done).toMatchObject({ isGood: true });
  });
});

describe("the files of a result", () => {
  test("are the ones it names, and the usual ones", async () => {
    for (const name of ["r.json", "test-summary.json", "run.log"]) leave(name);
    const it = play({
      result: [ok({ ...passed, report_path: "/far/work/r.json", log_path: "/far/work/run.log" })],
    });
    expect(await it.done).toEqual({
      isGood: true,
      files: ["r.json", "test-summary.json", "run.log"].map((name) => join(directory, "work", name)),
    });
  });

  test.each([
    ["outside", "/etc/passwd"],
    ["above", "/far/work/../secret"],
    ["behind a link", "/far/work/link"],
    ["missing", "/far/work/none"],
    ["a directory", "/far/work/sub"],
    ["the directory itself", "/far/work/"],
  ])("fail the job where one is %s", async (_, path) => {
    writeFileSync(join(directory, "secret"), "");
    symlinkSync("/etc/passwd", join(directory, "work/link"));
    mkdirSync(join(directory, "work/sub"));
    const it = play({ result: [ok({ ...passed, report_path: path })] });
    expect(await it.done).toEqual({ isGood: false, files: [] });
    expect(it.told).toContain(
      `worker: sp-runner: its report_path ${path} is no file in the output directory`,
    );
  });
});

test("readRunner() knows a testbed with a service by what the factory wrote", () => {
  const known = { testbed: "b", sp_runner_url: "u", test_type: "t", baseline: "v", disable_watchdog: false };
  expect(readRunner(JSON.stringify({ ...known, more: 1 }))).toEqual(known);
  expect(readRunner(JSON.stringify({ testbed: "b" }))).toBeNull();
  expect(readRunner("{")).toBeNull();
  expect(readRunner(null)).toBeNull();
});

test("isSameDirectory() sees through links, and knows what is not there", async () => {
  symlinkSync(join(directory, "work"), join(directory, "same"));
  expect(await isSameDirectory(join(directory, "work"), join(directory, "same"))).toBe(true);
  expect(await isSameDirectory(join(directory, "work"), directory)).toBe(false);
  expect(await isSameDirectory(join(directory, "a"), join(directory, "b"))).toBe(false);
});
