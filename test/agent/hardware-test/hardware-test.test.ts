/** A hardware test against a scripted service and a clock that stands still: what it submits, believes, waits for and prints. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type HardwareTest, runHardwareTest } from "../../../lib/agent/hardware-test/hardware-test.ts";
import { type JobCalls, JobOver } from "../../../lib/agent/job-calls.ts";
import type { RunnerRecord, Verdict } from "../../../lib/agent/hardware-test/record.ts";
import type { Answer } from "../../../lib/server/call.ts";
import type { Board, RunnerResult, RunnerStatus, Submission } from "../../../lib/runner/sp-runner.ts";
import { createSettableClock } from "../../lab/settable-clock.ts";
import { until } from "../../lab/until.ts";

const lost: Answer<never> = { ok: false, refusal: "no answer", status: null, message: "it broke off" };
const refusal = (status: number, message = `status ${status}`): Answer<never> => ({
  ok: false,
  refusal: status === 409 ? "conflict" : "rejected",
  status,
  message,
});
const unknown = refusal(404);
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

function play(
  over: Partial<Answers> = {},
  {
    env = {},
    before = null,
    isCancelledThen = false,
    taken = Promise.resolve(),
  }: {
    env?: Record<string, string>;
    before?: RunnerRecord | null;
    isCancelledThen?: boolean;
    taken?: Promise<void>;
  } = {},
) {
  const clock = createSettableClock({ bootId: "boot-1", uptimeMs: 1_000_000 });
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
  const lines: string[] = [];
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
      input_dir: "/far/input",
      output_dir: "/far/work",
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
        if (isCancelledThen) controller.abort();
        return next("submit", answers.submit);
      },
      status: (job) => next(`status ${job}`, answers.status),
      result: (job) => next(`result ${job}`, answers.result),
      recover: () => next("recover", [lost]),
    },
    calls: { signal: controller.signal } as JobCalls,
    clock,
    output: join(directory, "work"),
    before,
    record: (state) => void records.push({ ...state, asked: asked.length }),
    tell: (stream, payload) => {
      lines.push(`${stream}: ${payload}`);
      return Promise.resolve();
    },
    taken: () => taken,
  };
  let verdict: Verdict | Error | null = null;
  const done = runHardwareTest(hardwareTest).then(
    (value) => (verdict = value),
    (error: unknown) => (verdict = error as Error),
  );
  return { clock, asked, submitted, records, lines, controller, done, verdict: () => verdict };
}

/** Ends it, second by second: what reads files is not done within a turn of the event loop. */
async function playOut(it: ReturnType<typeof play>): Promise<void> {
  await until("it ends", async () => {
    await it.clock.advance(1000);
    return it.verdict() !== null;
  });
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
    expect(it.asked).toEqual(["boards", "submit", ...Array(4).fill("status J"), "result J"]);
    expect(it.records).toEqual([
      { phase: "submitting", asked: 1 },
      { phase: "submitted", job: "J", isAdopted: false, asked: 2 },
      {
        phase: "ended",
        verdict: { isGood: true, files: [] },
        lines: ["passed, 42 tests in 9 s"],
        asked: 7,
      },
    ]);
    expect(it.lines).toEqual([
      "worker: sp-runner: update-rollback from baseline v16",
      "worker: sp-runner: it runs as J",
      "stdout: one",
      "stdout: two",
      "stdout: done",
      "worker: sp-runner: passed, 42 tests in 9 s",
    ]);
  });

  test.each([
    ["failed", "two tests failed"],
    ["error", "the bench is dark"],
  ] as const)("fails if its outcome is %s", async (outcome, error) => {
    const it = play({ result: [ok({ ...passed, outcome, error })] });
    expect(await it.done).toMatchObject({ isGood: false });
    expect(it.lines.at(-1)).toBe(`worker: sp-runner: ${outcome}, 42 tests in 9 s: ${error}`);
  });

  test("is not submitted before the server has taken a call for it", async () => {
    const gate = Promise.withResolvers<void>();
    const it = play({}, { taken: gate.promise });
    await it.clock.advance(3000);
    expect(it.asked).toEqual([]);
    gate.resolve();
    await playOut(it);
    expect(it.submitted).toHaveLength(1);
  });

  test("does not pass by an outcome of a later version", async () => {
    const it = play({ result: [ok({ outcome: "postponed" })] });
    expect(await it.done).toMatchObject({ isGood: false });
    expect(it.lines.at(-1)).toBe("worker: sp-runner: postponed");
  });

  test("fails with the reason and its files if the lab failed it", async () => {
    for (const name of ["test-report.json", "run.log"]) leave(name);
    const it = play({
      status: [ok({ status: "failed", error: "no probe" })],
      result: [refusal(409), lost, ok({ outcome: "passed", log_path: "/far/work/run.log" })],
    });
    await it.clock.advance(2000);
    expect(await it.done).toEqual({ isGood: false, files: ["run.log", "test-report.json"] });
    expect(it.lines.at(-1)).toBe("worker: sp-runner: the lab failed it: no probe");
    expect(it.records.at(-1)).toMatchObject({ phase: "ended", verdict: { isGood: false } });
  });

  test("fails if the lab failed it and has no result", async () => {
    const it = play({ status: [ok({ status: "failed" })], result: [unknown] });
    await it.clock.advance(2000);
    expect(await it.done).toEqual({ isGood: false, files: [] });
    expect(it.asked.filter((each) => each === "result J")).toHaveLength(3);
    expect(it.lines.at(-1)).toBe("worker: sp-runner: the lab failed it: no reason is given");
  });

  test("shows its progress, and cuts a huge one", async () => {
    const status = [null, undefined, "", "x".repeat(5000)].map((progress) =>
      ok({ status: "running", progress }),
    );
    const it = play({ status: [...status, completed] });
    await it.clock.advance(4000);
    await it.done;
    const said = it.lines.filter((line) => line.startsWith("stdout: "));
    expect(said).toEqual([`stdout: ${"x".repeat(4000)}`, "stdout: done"]);
  });

  test("is on record even if it was cancelled while its submission was answered", async () => {
    const it = play({}, { isCancelledThen: true });
    await it.done;
    expect(it.verdict()).toBeInstanceOf(JobOver);
    expect(it.asked).toEqual(["boards", "submit"]);
    expect(it.records.at(-1)).toMatchObject({ phase: "submitted", job: "J" });
  });

  test("may choose test type and baseline by its task's environment", async () => {
    const it = play({}, { env: { SP_TEST_TYPE: "smoke", SP_BASELINE: "v17" } });
    await it.done;
    expect(it.submitted).toMatchObject([{ test_type: "smoke", baseline: "v17" }]);
  });

  test.each(["", "a\nb", "x".repeat(201)])("may not choose %j", async (word) => {
    const it = play({}, { env: { SP_TEST_TYPE: word } });
    expect(await it.done).toEqual({ isGood: false, files: [] });
    expect(it.submitted).toEqual([]);
    expect(it.records).toEqual([]);
  });

  test("is not asked about any more once it was cancelled", async () => {
    const it = play({ status: [running("one")] });
    await it.clock.advance(1000);
    it.controller.abort();
    await it.done;
    expect(it.verdict()).toBeInstanceOf(JobOver);
    expect(it.asked.filter((each) => each !== "status J")).toEqual(["boards", "submit"]);
    expect(it.records.at(-1)).toMatchObject({ phase: "submitted" });
    expect(it.clock.waiting()).toBe(0);
  });
});

describe("before a job is submitted", () => {
  test("its board must be free: any other answer, or none, is waited out and reported once", async () => {
    const board = (over: Partial<Board>) => ok([{ ...idle, ...over }]);
    const it = play({
      boards: [
        lost,
        ok([]),
        ok([busy()]),
        board({ status: "offline" }),
        board({ current_job: "K" }),
        ok([idle]),
      ],
    });
    await it.clock.advance(4000);
    expect(it.submitted).toEqual([]);
    expect(it.records).toEqual([]);
    await it.clock.advance(1000);
    expect(await it.done).toMatchObject({ isGood: true });
    expect(it.submitted).toHaveLength(1);
    expect(it.lines.filter((line) => line.includes("waiting"))).toEqual([
      "worker: sp-runner: waiting for the board: it broke off",
    ]);
  });

  test("a board that is neither free nor at work for five minutes fails the job, with the reason", async () => {
    const it = play({ boards: [ok([busy("K")]), ok([{ name: "bed-1", status: "failed-needs-recovery" }])] });
    await it.clock.advance(299_999);
    expect(it.verdict()).toBeNull();
    await it.clock.advance(1);
    expect(await it.done).toEqual({ isGood: false, files: [] });
    expect(it.submitted).toEqual([]);
    expect(it.lines.at(-1)).toBe("worker: sp-runner: the board takes no job: it is failed-needs-recovery");
  });

  test("a board with another job on it is waited for without limit", async () => {
    const it = play({ boards: [ok([busy("K")])] });
    await it.clock.advance(3_600_000);
    expect(it.verdict()).toBeNull();
    it.controller.abort();
    await it.done;
  });

  test("it may be cancelled", async () => {
    const it = play({ boards: [ok([busy("K")])] });
    await it.clock.advance(1000);
    it.controller.abort();
    await it.done;
    expect(it.verdict()).toBeInstanceOf(JobOver);
    expect(it.submitted).toEqual([]);
  });
});

describe("a submission that reaches nobody", () => {
  const unsent: Answer<never> = { ...lost, isUnsent: true };

  test("is made again, once the service answers", async () => {
    const it = play({
      submit: [unsent, ok("J")],
      boards: [ok([idle]), ...Array.from({ length: 400 }, () => lost), ok([idle])],
    });
    await it.clock.advance(400_000);
    expect(it.verdict()).toBeNull();
    expect(it.submitted).toHaveLength(1);
    expect(it.records.at(-1)).toMatchObject({ phase: "refused" });
    await it.clock.advance(1000);
    expect(await it.done).toMatchObject({ isGood: true });
    expect(it.submitted).toHaveLength(2);
  });
});

describe("a submission that is refused", () => {
  test.each([400, 403, 404, 422])(
    "with %d fails the job at once, with the service's words",
    async (status) => {
      const it = play({ submit: [refusal(status, "no such baseline")], status: [] });
      leave("crash.log");
      expect(await it.done).toEqual({ isGood: false, files: ["crash.log"] });
      expect(it.records.at(-1)).toMatchObject({ phase: "ended" });
      expect(it.lines.at(-1)).toBe("worker: sp-runner: sp-runner does not take the job: no such baseline");
    },
  );

  test("because another's job is on the board is made again when the board is idle", async () => {
    const it = play({
      submit: [refusal(409, "busy"), ok("J")],
      boards: [ok([idle]), ok([busy("K")]), ok([idle])],
    });
    await it.clock.advance(1000 + 9999);
    expect(it.submitted).toHaveLength(1);
    await it.clock.advance(1);
    expect(await it.done).toMatchObject({ isGood: true });
    expect(it.submitted).toHaveLength(2);
    expect(it.asked).not.toContain("status K");
  });

  test("because it came twice is decided by what it left", async () => {
    const it = play({ submit: [refusal(409)], boards: [ok([idle]), ok([busy("K")]), ok([idle])] });
    await it.clock.advance(1000);
    leave("test-report.json", '{"outcome": "passed"}');
    await it.clock.advance(10_000);
    expect(await it.done).toEqual({ isGood: true, files: ["test-report.json"] });
    expect(it.submitted).toHaveLength(1);
  });

  test("three times fails the job, with the reason", async () => {
    const it = play({ submit: [refusal(409, "not now")] });
    for (const count of [1, 2, 3]) {
      await until("it is submitted", () => it.submitted.length === count);
      await it.clock.advance(10_000);
    }
    expect(await it.done).toEqual({ isGood: false, files: [] });
    expect(it.submitted).toHaveLength(3);
    expect(it.lines.at(-1)).toBe("worker: sp-runner: sp-runner does not take the job: not now");
  });
});

describe("a missing answer is waited for", () => {
  test.each<[string, Answer<RunnerStatus>]>([
    ["no answer", lost],
    ["a word of another version", ok({ status: "meditating" })],
    ["a word of another testbed", ok({ status: "completed", testbed: "bed-2" })],
  ])(
    "F57 %s for an hour ends nothing and is reported once; after that an idle board decides",
    async (_, answer) => {
      // The result of another board's job would not be believed.
      const result = answer.ok && answer.value.testbed !== undefined ? [] : [lost];
      const it = play({ status: [running("one"), answer], result });
      await it.clock.advance(1000 + 3_600_000);
      expect(it.verdict()).toBeNull();
      expect(it.lines.filter((line) => line.includes("asked again"))).toHaveLength(1);
      await it.clock.advance(1000);
      expect(await it.done).toEqual({ isGood: false, files: [] });
      expect(it.lines.at(-1)).toContain("told nothing of the job while its board was idle");
      expect(it.records.at(-1)).toMatchObject({ phase: "ended" });
    },
  );

  test.each<[string, Partial<Answers>]>([
    ["a board that is at work", { boards: [ok([idle]), ok([busy("J")])] }],
    ["a board with a word of another version", { boards: [ok([idle]), ok([{ ...idle, status: "dozing" }])] }],
    ["a board whose state is unknown", { boards: [ok([idle]), lost] }],
    ["a word in between", { status: [...Array.from({ length: 3000 }, () => lost), running("one"), lost] }],
  ])("%s keeps the job waiting", async (_, over) => {
    const it = play({ status: [lost], result: [lost], ...over });
    await it.clock.advance(6_500_000);
    expect(it.verdict()).toBeNull();
    it.controller.abort();
    await it.done;
  });

  test("a result is asked for until it is there; trouble is reported once", async () => {
    const it = play({ result: [lost, refusal(409), ok(passed)] });
    await it.clock.advance(2000);
    expect(await it.done).toMatchObject({ isGood: true });
    expect(it.lines.filter((line) => line.includes("no result yet"))).toHaveLength(1);
  });

  test("a result that does not come for more than an hour is lost if the board is idle", async () => {
    const it = play({ result: [lost] });
    leave("test-report.json", '{"outcome": "passed"}');
    await it.clock.advance(3_600_000);
    expect(it.verdict()).toBeNull();
    await it.clock.advance(1000);
    expect(await it.done).toEqual({ isGood: true, files: ["test-report.json"] });
  });

  test("F58 a lost answer is settled by the board's job, never by a second submission", async () => {
    const it = play({ submit: [lost], boards: [ok([idle]), lost, ok([]), ok([busy()]), ok([busy("K")])] });
    leave("test-report.json");
    await it.clock.advance(3000);
    expect(await it.done).toMatchObject({ isGood: true });
    expect(it.records.at(-2)).toMatchObject({ phase: "submitted", job: "K", isAdopted: true });
    expect(it.lines).toContain("worker: sp-runner: its board works on K, which is taken for this job");
    expect(it.submitted).toHaveLength(1);
    expect(it.asked.slice(-2)).toEqual(["status K", "result K"]);
  });

  test.each(["/far/work/sub/r.json", "sub/r.json"])(
    "%s in the result proves that it was ours",
    async (path) => {
      mkdirSync(join(directory, "work/sub"));
      leave("sub/r.json");
      const it = play({
        submit: [lost],
        boards: [ok([idle]), ok([busy("K")])],
        result: [ok({ ...passed, report_path: path })],
      });
      expect(await it.done).toEqual({ isGood: true, files: ["sub/r.json"] });
    },
  );

  test.each([undefined, "/other/work/test-report.json", "test-report.json"])(
    "an adopted job that left nothing here was another's: its report is %s",
    async (path) => {
      const result = [ok({ ...passed, report_path: path })];
      const it = play({ submit: [lost], boards: [ok([idle]), ok([busy("K")])], result });
      await playOut(it);
      expect(await it.done).toEqual({ isGood: false, files: [] });
      expect(it.lines.at(-1)).toContain("left nothing in this job's directory");
      // Ours may be on the board yet.
      expect(it.records.at(-1)).toMatchObject({ phase: "submitted", isAdopted: true });
    },
  );

  test("a board seen idle twice, 10 s apart, is idle, even if a look between failed", async () => {
    const it = play({
      submit: [lost],
      boards: [ok([idle]), ok([idle]), ...Array.from({ length: 9 }, () => lost), ok([idle])],
    });
    await it.clock.advance(9_999);
    expect(it.verdict()).toBeNull();
    await it.clock.advance(1);
    expect(await it.done).toEqual({ isGood: false, files: [] });
  });

  test("a board must be idle for 10 s; looks that failed do not count", async () => {
    const boards = [ok([idle]), ok([idle]), lost, ok([]), ok([idle]), ok([busy()]), ok([idle])];
    const it = play({ submit: [lost], boards });
    await it.clock.advance(5000 + 9999);
    // An answer that was lost does not say that the board was busy, but it was seen busy at 4 s.
    expect(it.verdict()).toBeNull();
    await it.clock.advance(1);
    expect(await it.done).toEqual({ isGood: false, files: [] });
    expect(it.records.at(-1)).toMatchObject({ phase: "ended" });
    expect(it.lines.at(-1)).toBe(
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
    expect(await it.done).toEqual({ isGood, files: ["test-report.json"] });
  });

  test("all files that a lost job left are uploaded", async () => {
    const it = play({ submit: [lost] });
    mkdirSync(join(directory, "work/logs"));
    for (const name of ["test-report.json", "logs/uart.log", "core"]) leave(name);
    symlinkSync("/etc/passwd", join(directory, "work/link"));
    symlinkSync("/etc", join(directory, "work/etc"));
    await it.clock.advance(10_000);
    expect(await it.done).toEqual({ isGood: false, files: ["core", "logs/uart.log", "test-report.json"] });
  });

  test.each(["{", "[]", '{"outcome": 1}', `{"outcome": "passed"${" ".repeat(1024 * 1024)}}`])(
    "a report without an outcome is not a pass: %.20s",
    async (text) => {
      const it = play({ submit: [lost] });
      leave("test-report.json", text);
      await it.clock.advance(10_000);
      expect(await it.done).toEqual({ isGood: false, files: ["test-report.json"] });
      expect(it.lines.at(-1)).toEndWith("; its report does not tell an outcome");
    },
  );

  test("a report that is a pipe is not read", async () => {
    const it = play({ submit: [lost] });
    Bun.spawnSync(["mkfifo", join(directory, "work/test-report.json")]);
    await it.clock.advance(10_000);
    expect(await it.done).toEqual({ isGood: false, files: [] });
  });

  test.each([400, 404, 409, 410])(
    "F59 a job that the service has forgotten, by %d, is settled by its board",
    async (status) => {
      const it = play({ status: [running("one"), refusal(status)], result: [] });
      await it.clock.advance(1000 + 9999);
      expect(it.verdict()).toBeNull();
      await it.clock.advance(1);
      expect(await it.done).toMatchObject({ isGood: false });
      expect(it.records.at(-1)).toMatchObject({ phase: "ended" });
      expect(it.lines.at(-1)).toStartWith(
        "worker: sp-runner: sp-runner does not know the job any more, and its board is idle",
      );
    },
  );

  test("one odd answer does not hide the job, whatever its board says", async () => {
    const it = play({
      status: [unknown, running("two"), ...Array.from({ length: 5 }, () => unknown), running("two")],
    });
    await it.clock.advance(30_000);
    expect(it.verdict()).toBeNull();
    it.controller.abort();
    await it.done;
  });

  test("a job that is still on its board is followed further", async () => {
    const it = play({
      status: [...Array.from({ length: 20 }, () => unknown), running("two"), completed],
      boards: [ok([idle]), ok([busy("J")])],
    });
    await it.clock.advance(21_000);
    expect(await it.done).toMatchObject({ isGood: true });
  });

  test("another job on the board ends it, and does not free the board", async () => {
    const it = play({ status: [unknown], boards: [ok([idle]), ok([busy("K")])] });
    await it.clock.advance(10_000);
    expect(await it.done).toMatchObject({ isGood: false });
    expect(it.lines.at(-1)).toContain("its board works on another one");
    expect(it.records.at(-1)).toMatchObject({ phase: "submitted" });
  });

  test("if the service has forgotten the result, the report decides", async () => {
    const it = play({ result: [unknown] });
    leave("test-report.json", '{"outcome": "passed"}');
    await it.clock.advance(9_999);
    // One odd answer does not hide it.
    expect(it.verdict()).toBeNull();
    await it.clock.advance(1);
    expect(await it.done).toMatchObject({ isGood: true });
  });

  test("a job with an unknown status ends by its result once its board is idle", async () => {
    const it = play({ status: [running("one"), ok({ status: "aborted" })], boards: [ok([idle])] });
    await it.clock.advance(1000 + 9_999);
    expect(it.verdict()).toBeNull();
    await it.clock.advance(1);
    expect(await it.done).toMatchObject({ isGood: true });
    expect(it.lines.at(-1)).toBe("worker: sp-runner: passed, 42 tests in 9 s");
  });
});

describe("the files of a result", () => {
  test("are waited for, 20 s at most: a shared file system may show them late", async () => {
    const result = [ok({ ...passed, report_path: "/far/work/r.json" })];
    const late = play({ result });
    await until("it waits", () => late.clock.waiting() > 0);
    expect(late.lines).toContain("worker: sp-runner: waiting for the files that its result names");
    leave("r.json");
    await playOut(late);
    expect(await late.done).toEqual({ isGood: true, files: ["r.json"] });
    rmSync(join(directory, "work/r.json"));
    const never = play({ result });
    const beganMs = never.clock.uptimeMs();
    await playOut(never);
    expect(await never.done).toEqual({ isGood: false, files: [] });
    expect(never.clock.uptimeMs() - beganMs).toBeGreaterThanOrEqual(20_000);
    // What is elsewhere never comes.
    const elsewhere = play({ result: [ok({ ...passed, log_path: "/var/log/sp-runner.log" })] });
    expect(await elsewhere.done).toEqual({ isGood: true, files: [] });
  });

  test("are the ones it names, and the usual ones", async () => {
    for (const name of ["r.json", "test-summary.json", "run.log"]) leave(name);
    const it = play({
      result: [ok({ ...passed, report_path: "/far/work/./r.json", summary_path: "", log_path: "run.log" })],
    });
    expect(await it.done).toEqual({ isGood: true, files: ["r.json", "run.log", "test-summary.json"] });
  });

  test.each([
    ["outside", "/etc/passwd"],
    ["above", "/far/work/../secret"],
    ["above, told from within", "../secret"],
    ["behind a link", "/far/work/link"],
    ["missing", "/far/work/none"],
    ["a directory", "/far/work/sub"],
    ["the directory itself", "/far/work/"],
  ])("F60 fail the job if its report is %s; another such file is only reported", async (_, path) => {
    writeFileSync(join(directory, "secret"), "");
    symlinkSync("/etc/passwd", join(directory, "work/link"));
    mkdirSync(join(directory, "work/sub"));
    const bad = play({ result: [ok({ ...passed, report_path: path })] });
    await playOut(bad);
    expect(await bad.done).toEqual({ isGood: false, files: [] });
    expect(bad.lines).toContain(
      `worker: sp-runner: its report_path ${path} is no file in the output directory`,
    );
    const good = play({ result: [ok({ ...passed, summary_path: path, log_path: path })] });
    await playOut(good);
    expect(await good.done).toEqual({ isGood: true, files: [] });
    expect(good.lines).toContain(
      `worker: sp-runner: its log_path ${path} is no file in the output directory`,
    );
  });
});

describe("an agent that was started again", () => {
  test("settles a submission without a known answer by the board", async () => {
    const it = play({ boards: [ok([busy("K")]), ok([idle])] }, { before: { phase: "submitting" } });
    leave("test-report.json");
    expect(await it.done).toEqual({ isGood: true, files: ["test-report.json"] });
    expect(it.submitted).toEqual([]);
    expect(it.asked).toEqual(["boards", "status K", "result K"]);
  });

  test("submits what was refused, once the board is idle", async () => {
    const boards = [ok([busy("K")]), ok([idle])];
    const it = play({ boards }, { before: { phase: "refused" } });
    await it.clock.advance(1000 + 9_999);
    expect(it.submitted).toEqual([]);
    await it.clock.advance(1);
    expect(await it.done).toMatchObject({ isGood: true });
    expect(it.submitted).toHaveLength(1);
    expect(it.asked).not.toContain("status K");
  });

  test("follows the job that was submitted", async () => {
    const it = play({}, { before: { phase: "submitted", job: "L", isAdopted: false } });
    expect(await it.done).toEqual({ isGood: true, files: [] });
    expect(it.asked).toEqual(["status L", "result L"]);
    expect(it.lines.join()).not.toContain("runs as");
  });

  test("gives a submission that was cut off a minute to begin", async () => {
    const it = play({ boards: [ok([idle])] }, { before: { phase: "submitting" } });
    await it.clock.advance(59_999);
    expect(it.verdict()).toBeNull();
    await it.clock.advance(1);
    expect(await it.done).toEqual({ isGood: false, files: [] });
  });

  test("counts that minute from when it was found, and still wants ten idle seconds", async () => {
    const cutOffAt = { bootId: "boot-1", uptimeMs: 1_000_000 - 50_000 };
    const it = play({ boards: [ok([idle])] }, { before: { phase: "submitting", cutOffAt } });
    await it.clock.advance(9_999);
    expect(it.verdict()).toBeNull();
    expect(it.records).toMatchObject([{ phase: "submitting", cutOffAt }]);
    await it.clock.advance(1);
    expect(await it.done).toEqual({ isGood: false, files: [] });
  });

  test("ends the job as recorded, and reports it again", async () => {
    const verdict = { isGood: true, files: ["r.json"] };
    const it = play({}, { before: { phase: "ended", verdict, lines: ["passed, 42 tests in 9 s"] } });
    expect(await it.done).toEqual(verdict);
    expect(it.lines).toEqual(["worker: sp-runner: passed, 42 tests in 9 s"]);
    expect(it.asked).toEqual([]);
    expect(readdirSync(join(directory, "work"))).toEqual([]);
  });
});
