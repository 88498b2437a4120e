/** The factory as a process, with testbeds that a simulated sp-runner service works on. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { must } from "../lab/lab.ts";
import { killInstance, openRunnerLab, type RunnerLab } from "../lab/sp-runner-lab.ts";
import { drained } from "../lab/ssh-lab.ts";
import { until } from "../lab/until.ts";

setDefaultTimeout(120_000);

/** Submits a job and waits until its hardware test has begun. */
async function begun(lab: RunnerLab, mood: Partial<RunnerLab["runner"]["mood"]> = {}): Promise<string> {
  Object.assign(lab.runner.mood, { isHeld: true, ...mood });
  const before = lab.runner.submissions().length;
  const id = await lab.submit("echo not run");
  await until("it is submitted", () => lab.runner.submissions().length > before);
  return id;
}

async function said(lab: RunnerLab, id: string, text: string): Promise<void> {
  await until(`its output says: ${text}`, async () => (await lab.said(id, "worker")).join().includes(text));
}

/** Resolves after so many further pings of the lab's one agent. */
async function pinged(lab: RunnerLab, count: number): Promise<void> {
  const pings = (): number => lab.proxy.calls.filter((call) => call === "GET /0/worker/ping").length;
  const before = pings();
  await until("it has pinged on", () => pings() >= before + count, 90_000);
}

async function workerOf(lab: RunnerLab): Promise<string> {
  const [worker] = must(await lab.factoryApi.workers());
  return worker?.id ?? "";
}

describe("a testbed with an sp-runner service", () => {
  test.concurrent("runs a job as one hardware test, and uploads its report, summary and log", async () => {
    await using lab = await openRunnerLab(['test_type = "smoke"', "disable_watchdog = true"]);
    const factory = lab.start();
    const id = await lab.submit("echo not run", {
      scripts: ["echo one", "echo two"],
      env: { SP_BASELINE: "v9" },
    });
    expect((await lab.ended(id)).state).toBe("completed");
    const [submission] = lab.runner.submissions();
    expect(submission).toEqual({
      testbed: "bed-1",
      input_dir: `${lab.base}/work/bed-1_1/input`,
      output_dir: `${lab.base}/work/bed-1_1/work`,
      baseline: "v9",
      test_type: "smoke",
      disable_watchdog: true,
    });
    const said = await lab.said(id, "worker");
    expect(said).toContain("sp-runner: smoke from baseline v9");
    expect(said).toContain("sp-runner: passed, 3 tests in 0 s");
    expect(said).toContain("sp-runner: not run, a job is one hardware test");
    expect((await lab.said(id, "stdout")).at(-1)).toBe("done");
    const outputs = must(await lab.user.outputs(id));
    expect(outputs.map(({ path }) => path.replace(/^.*\//, "")).toSorted()).toEqual([
      "sp-runner.log",
      "test-report.json",
      "test-summary.json",
    ]);
    const report = outputs.find(({ path }) => path.endsWith("/test-report.json"));
    const bytes = must(await lab.user.downloadOutput(id, report?.id ?? ""));
    expect(JSON.parse(new TextDecoder().decode(bytes))).toMatchObject({ outcome: "passed", baseline: "v9" });
    await drained(factory);
    expect(factory.log().filter(({ level }) => level !== "info")).toEqual([]);
  });

  test.concurrent("uploads what the job's rules ask for, and gives it the job's inputs", async () => {
    await using lab = await openRunnerLab();
    const job = must(
      await lab.user.submitJob({
        name: "with-input",
        target: "sp-test",
        tasks: [{ name: "t", script: "", env_clear: false, env: {} }],
        output_rules: ["/work/*.log", "%/work/none"],
        inputs: ["image.zip"],
      }),
    );
    must(await lab.user.uploadInput(job.id, "image.zip", new TextEncoder().encode("an image")));
    lab.runner.mood.isHeld = true;
    const factory = lab.start();
    await until("it is submitted", () => lab.runner.submissions().length === 1);
    expect(lab.instanceFile("bed-1_1", "input/image.zip")).toBe("an image");
    lab.runner.mood.isHeld = false;
    expect((await lab.ended(job.id)).state).toBe("completed");
    const outputs = must(await lab.user.outputs(job.id));
    expect(outputs.map(({ path }) => path)).toContain("/work/sp-runner.log");
    await drained(factory);
  });

  test.concurrent.each(["failed", "error", "broken"] as const)(
    "ends a job as it came out: %s",
    async (outcome) => {
      await using lab = await openRunnerLab();
      lab.runner.mood.outcome = outcome;
      const factory = lab.start();
      const id = await lab.submit("true");
      expect((await lab.ended(id)).state).toBe("failed");
      expect((await lab.said(id, "worker")).join()).toContain(
        outcome === "broken" ? "the probe fell off" : "one test of three failed",
      );
      // The lab did nothing wrong.
      lab.runner.mood.outcome = "passed";
      expect((await lab.ended(await lab.submit("true"))).state).toBe("completed");
      await drained(factory);
    },
  );

  test.concurrent("F58 a lost answer to the submission is settled by the board", async () => {
    await using lab = await openRunnerLab();
    const factory = lab.start();
    const first = await begun(lab, { submit: "begun in silence" });
    await until("it is noticed", async () => (await lab.said(first, "worker")).join().includes("was lost"));
    Object.assign(lab.runner.mood, { isHeld: false, submit: "answered" });
    expect((await lab.ended(first)).state).toBe("completed");
    lab.runner.mood.submit = "not begun in silence";
    const second = await lab.submit("true");
    const job = await lab.ended(second);
    expect(job.state).toBe("failed");
    expect((await lab.said(second, "worker")).join()).toContain("its board is idle; it left no report");
    expect(lab.runner.submissions().length).toBe(1);
    lab.runner.mood.submit = "answered";
    expect((await lab.ended(await lab.submit("true"))).state).toBe("completed");
    expect(lab.runner.hasDoubled()).toBe(false);
    await drained(factory);
  });

  test.concurrent.each(["500", "garbage", "unknown word"] as const)(
    "answers that are %s for a while end nothing",
    async (answers) => {
      await using lab = await openRunnerLab();
      const factory = lab.start();
      const id = await begun(lab);
      lab.runner.mood.answers = answers;
      if (answers !== "unknown word") {
        await until("it is logged", async () =>
          (await lab.said(id, "worker")).join().includes("asked again"),
        );
      }
      expect((await lab.job(id)).state).toBe("running");
      Object.assign(lab.runner.mood, { isHeld: false, answers: "true" });
      expect((await lab.ended(id)).state).toBe("completed");
      expect(lab.runner.submissions().length).toBe(1);
      await drained(factory);
    },
  );

  test.concurrent("a cancelled job keeps the testbed until its board is idle", async () => {
    await using lab = await openRunnerLab();
    const factory = lab.start();
    const id = await begun(lab);
    must(await lab.user.cancel(id));
    expect((await lab.ended(id)).cancelled).toBe(true);
    await until("it is logged", () =>
      factory.log().some(({ message }) => message.includes("still works on the board")),
    );
    const next = await lab.submit("true");
    // A service that says nothing frees nothing, either.
    lab.runner.mood.answers = "500";
    await until("it is logged", () =>
      factory.log().some(({ message }) => message.includes("cannot tell whether the board is idle")),
    );
    expect(lab.runner.submissions().length).toBe(1);
    Object.assign(lab.runner.mood, { isHeld: false, answers: "true" });
    expect((await lab.ended(next)).state).toBe("completed");
    expect(lab.runner.hasDoubled()).toBe(false);
    await drained(factory);
  });

  test.concurrent("a factory that is killed in mid-run goes on with the same hardware test", async () => {
    await using lab = await openRunnerLab();
    const first = lab.start();
    const id = await begun(lab);
    first.kill("SIGKILL");
    await first.exited;
    const second = lab.start();
    await until("it is taken over", () => second.log().some(({ message }) => message.includes("started on")));
    lab.runner.mood.isHeld = false;
    expect((await lab.ended(id)).state).toBe("completed");
    expect(lab.runner.submissions().length).toBe(1);
    await drained(second);
  });

  test.concurrent("an agent that was killed is started again, and follows the same hardware test to its true end", async () => {
    await using lab = await openRunnerLab();
    const factory = lab.start();
    const id = await begun(lab);
    for (let kills = 1; kills <= 2; kills += 1) {
      killInstance(lab, "bed-1_1");
      const restarts = (): number =>
        factory.log().filter(({ message }) => message.includes("started again")).length;
      await until("it is started again", () => restarts() === kills);
    }
    await until("its output says so", async () =>
      (await lab.said(id, "worker")).includes("the agent was started again, and goes on"),
    );
    lab.runner.mood.isHeld = false;
    expect((await lab.ended(id)).state).toBe("completed");
    expect(lab.runner.submissions().length).toBe(1);
    expect(must(await lab.user.outputs(id)).length).toBe(3);
    await drained(factory);
  });

  test.concurrent("a factory and an agent that were killed at once, as with their host, are followed by ones that go on", async () => {
    await using lab = await openRunnerLab();
    const first = lab.start();
    const id = await begun(lab);
    first.kill("SIGKILL");
    await first.exited;
    killInstance(lab, "bed-1_1");
    // It ends while nobody looks.
    lab.runner.mood.isHeld = false;
    const second = lab.start();
    expect((await lab.ended(id)).state).toBe("completed");
    expect(lab.runner.submissions().length).toBe(1);
    await drained(second);
  });

  test.concurrent("an agent that dies again and again fails its job; the lock is held until the board is idle", async () => {
    await using lab = await openRunnerLab();
    const factory = lab.start();
    const id = await begun(lab);
    // Else the answer counts as lost, and the board must be idle for a minute.
    await until(
      "the agent has the service's answer",
      () => lab.instanceFile("bed-1_1", "opt/etc/sp-runner.json")?.includes('"submitted"') === true,
    );
    for (let kills = 0; kills <= 3; kills += 1) {
      // Started is not yet running: what is to become the agent may still be a shell.
      await until("an agent is killed", () => killInstance(lab, "bed-1_1", "the agent alone") > 0);
      const word = kills < 3 ? "started again" : "still works on the board";
      const seen = (): number => factory.log().filter(({ message }) => message.includes(word)).length;
      await until("it is noticed", () => seen() === (kills < 3 ? kills + 1 : 1));
    }
    const next = await lab.submit("true");
    expect((await lab.said(id)).join()).toContain("the testbed's factory ends this job");
    const locks = readdirSync(join(lab.directory, "locks"));
    expect(locks).toEqual([expect.stringMatching(/^bed-1@/)]);
    expect(lab.runner.submissions().length).toBe(1);
    lab.runner.mood.isHeld = false;
    expect((await lab.ended(id)).state).toBe("failed");
    expect((await lab.ended(next)).state).toBe("completed");
    expect(lab.runner.hasDoubled()).toBe(false);
    await drained(factory);
  });

  test.concurrent("a board that failed is recovered before a job is taken; one that does not come back needs a person", async () => {
    await using lab = await openRunnerLab();
    lab.runner.board("bed-1").status = "failed-needs-recovery";
    const factory = lab.start();
    const id = await lab.submit("true");
    expect((await lab.ended(id)).state).toBe("completed");
    const recoveries = (process: typeof factory): number =>
      process.log().filter(({ message }) => message.startsWith("told sp-runner to recover")).length;
    expect(recoveries(factory)).toBe(1);
    await drained(factory);
    lab.runner.mood.recovery = "in vain";
    lab.runner.board("bed-1").status = "failed-needs-recovery";
    const next = await lab.submit("true");
    // Each process sends a recovery at once and then waits; the count outlives the processes.
    for (let tries = 0; tries < 3; tries += 1) {
      const trying = lab.start();
      await until("a recovery is sent", () => recoveries(trying) === 1);
      trying.kill("SIGKILL");
      await trying.exited;
    }
    const last = lab.start();
    await until("it is given up", () =>
      last.log().some(({ message }) => message.endsWith("did not help 3 times: it needs a person")),
    );
    expect(recoveries(last)).toBe(0);
    lab.runner.board("bed-1").status = "available";
    expect((await lab.ended(next)).state).toBe("completed");
    await drained(last);
  });

  test.concurrent.each(["offline", "busy"] as const)(
    "a board that is %s takes no job until it is available",
    async (status) => {
      await using lab = await openRunnerLab();
      lab.runner.board("bed-1").status = status;
      const factory = lab.start();
      const id = await lab.submit("true");
      await until("it is logged", () =>
        factory.log().some(({ message }) => message.endsWith(`says that its board is ${status}`)),
      );
      expect(lab.proxy.calls).not.toContain("POST /0/factory/lease");
      const check = lab.start({ command: ["check"] });
      expect(await check.exited).toBe(1);
      expect(await check.stdout()).toContain(
        status === "offline" ? "no testbed can take a job" : "no testbed takes a job now",
      );
      lab.runner.board("bed-1").status = "available";
      expect((await lab.ended(id)).state).toBe("completed");
      await drained(factory);
    },
  );

  test.concurrent("a service that hangs keeps neither the worker from its pings nor the job from its end", async () => {
    await using lab = await openRunnerLab();
    lab.runner.mood.stalled = "submissions";
    const factory = lab.start();
    const id = await begun(lab, { isHeld: false });
    // Longer than any other call may take.
    await pinged(lab, 8);
    lab.runner.mood.stalled = "all";
    await pinged(lab, 3);
    const worker = await workerOf(lab);
    expect(must(await lab.admin.adminWorker(worker))).toMatchObject({ hold: null, recycle: false });
    lab.runner.mood.stalled = "none";
    expect((await lab.ended(id)).state).toBe("completed");
    expect((await lab.said(id, "worker")).join()).not.toContain("was lost");
    expect(lab.runner.submissions().length).toBe(1);
    await drained(factory);
  });

  test.concurrent("without isolation no job is decided by what an earlier one left", async () => {
    await using lab = await openRunnerLab([], { general: ['isolate = "off"'] });
    const factory = lab.start();
    const first = await lab.submit("true", { rules: ["=/work/*.log"] });
    expect((await lab.ended(first)).state).toBe("completed");
    expect(must(await lab.user.outputs(first)).map(({ path }) => path)).toContain("/work/sp-runner.log");
    lab.runner.mood.submit = "not begun in silence";
    const second = await lab.submit("true", { rules: ["/work/*"] });
    expect((await lab.ended(second)).state).toBe("failed");
    expect((await lab.said(second, "worker")).join()).toContain("it left no report");
    expect(must(await lab.user.outputs(second))).toEqual([]);
    expect(new Set(lab.runner.submissions().map(({ output_dir: output }) => output))).toEqual(
      new Set([`${lab.base}/work/bed-1_1/work`]),
    );
    await drained(factory);
  });

  test.concurrent("another client's job is waited for, and never taken for ours", async () => {
    await using lab = await openRunnerLab();
    lab.proxy.fate = (call) => (call === "GET /0/worker/ping" ? "refuse" : "pass");
    const factory = lab.start();
    const first = await lab.submit("true");
    await until("there is an agent", () => lab.proxy.calls.includes("GET /0/worker/ping"));
    const release = lab.runner.occupy("bed-1");
    lab.proxy.fate = () => "pass";
    await said(lab, first, "waiting for the board: it is at work");
    expect(lab.runner.submissions()).toEqual([]);
    release();
    expect((await lab.ended(first)).state).toBe("completed");
    lab.runner.mood.submit = "not begun in silence";
    const second = await lab.submit("true");
    await said(lab, second, "was lost");
    const releaseAgain = lab.runner.occupy("bed-1");
    await until(
      "it is followed",
      () => lab.instanceFile("bed-1_2", "opt/etc/sp-runner.json")?.includes('"isAdopted":true') === true,
    );
    releaseAgain();
    expect((await lab.ended(second)).state).toBe("failed");
    await said(lab, second, "left nothing in this job's directory");
    expect(lab.runner.hasDoubled()).toBe(false);
    await drained(factory);
  });

  test.concurrent("a worker that is recycled keeps the testbed until its board is idle", async () => {
    await using lab = await openRunnerLab();
    const factory = lab.start();
    const id = await begun(lab);
    const worker = await workerOf(lab);
    must(await lab.admin.recycleWorker(worker));
    expect((await lab.ended(id)).state).toBe("failed");
    const next = await lab.submit("true");
    await until("it is logged", () =>
      factory.log().some(({ message }) => message.includes("still works on the board")),
    );
    expect(lab.runner.submissions().length).toBe(1);
    lab.runner.mood.isHeld = false;
    expect((await lab.ended(next)).state).toBe("completed");
    expect(lab.runner.hasDoubled()).toBe(false);
    await drained(factory);
  });

  test.concurrent.each([404, 400, 410] as const)(
    "F59 a job that the service forgot, by %d, is lost",
    async (unknownJob) => {
      await using lab = await openRunnerLab();
      const factory = lab.start();
      const id = await begun(lab, { unknownJob, workingBoard: "available" });
      expect(lab.runner.forget()).toHaveLength(1);
      expect((await lab.ended(id)).state).toBe("failed");
      await said(
        lab,
        id,
        "sp-runner does not know the job any more, and its board is idle; it left no report",
      );
      await drained(factory);
    },
  );

  test.concurrent("odd paths, files and progress are taken as they are meant", async () => {
    await using lab = await openRunnerLab();
    const { mood } = lab.runner;
    const factory = lab.start();
    const play = async (wanted: Partial<typeof mood>) => {
      Object.assign(mood, {
        reportAt: "output",
        files: "written",
        progress: "steps",
        outcome: "passed",
        ...wanted,
      });
      const id = await lab.submit("true");
      const { state } = await lab.ended(id);
      return {
        state,
        outputs: must(await lab.user.outputs(id)).length,
        output: await lab.said(id, "stdout"),
      };
    };
    const good = { state: "completed" as const, outputs: 3 };
    expect(await play({ reportAt: "relative", progress: "null" })).toEqual({ ...good, output: [] });
    const canonical = await play({
      reportAt: (output) => realpathSync(output) + "/./test-report.json",
      progress: "huge",
    });
    expect(canonical).toEqual({ ...good, output: ["x".repeat(4000)] });
    const again: typeof mood.outcome = ({ output_dir: output }: { output_dir: string }) => {
      rmSync(output, { recursive: true });
      mkdirSync(output);
      return "passed";
    };
    expect(await play({ outcome: again })).toMatchObject(good);
    expect(await play({ files: "none" })).toMatchObject({ state: "failed", outputs: 0 });
    expect(await play({ files: "none", reportAt: "nowhere" })).toMatchObject({
      state: "completed",
      outputs: 0,
    });
    expect(await play({ reportAt: "elsewhere" })).toMatchObject({ state: "failed", outputs: 3 });
    await drained(factory);
  });
});
