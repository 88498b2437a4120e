/** The factory as a process, with testbeds that a simulated sp-runner service works on. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { must } from "./lab.ts";
import { killInstance, openRunnerLab, type RunnerLab } from "./sp-runner-lab.ts";
import { drained } from "./ssh-lab.ts";
import { until } from "./until.ts";

setDefaultTimeout(120_000);

/** Submits a job and waits until its hardware test has begun. */
async function begun(lab: RunnerLab, mood: Partial<RunnerLab["runner"]["mood"]> = {}): Promise<string> {
  Object.assign(lab.runner.mood, { isHeld: true, ...mood });
  const before = lab.runner.submissions().length;
  const id = await lab.submit("echo not run");
  await until("it is submitted", () => lab.runner.submissions().length > before);
  return id;
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

  test.concurrent("a lost answer to the submission is settled by the board", async () => {
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
        await until("it is told", async () => (await lab.said(id, "worker")).join().includes("asked again"));
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
    await until("it is told", () =>
      factory.log().some(({ message }) => message.includes("still works on the board")),
    );
    const next = await lab.submit("true");
    // A service that says nothing frees nothing, either.
    lab.runner.mood.answers = "500";
    await until("it is told", () =>
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
    await until("its owner is told", async () =>
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
    for (let kills = 0; kills <= 3; kills += 1) {
      killInstance(lab, "bed-1_1", "the agent alone");
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
    const told = (process: typeof factory): number =>
      process.log().filter(({ message }) => message.startsWith("told sp-runner to recover")).length;
    expect(told(factory)).toBe(1);
    await drained(factory);
    lab.runner.mood.recovery = "in vain";
    lab.runner.board("bed-1").status = "failed-needs-recovery";
    const next = await lab.submit("true");
    // Each process tells it at once and waits then; how often it was told outlives them.
    for (let tries = 0; tries < 3; tries += 1) {
      const trying = lab.start();
      await until("it is told to recover", () => told(trying) === 1);
      trying.kill("SIGKILL");
      await trying.exited;
    }
    const last = lab.start();
    await until("it is given up", () =>
      last.log().some(({ message }) => message.endsWith("did not help 3 times: it needs a person")),
    );
    expect(told(last)).toBe(0);
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
      await until("it is told", () =>
        factory.log().some(({ message }) => message.endsWith(`says that its board is ${status}`)),
      );
      expect(lab.proxy.calls).not.toContain("POST /0/factory/lease");
      const check = lab.start({ command: ["check"] });
      expect(await check.exited).toBe(status === "offline" ? 1 : 0);
      lab.runner.board("bed-1").status = "available";
      expect((await lab.ended(id)).state).toBe("completed");
      await drained(factory);
    },
  );
});
