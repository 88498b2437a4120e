import { describe, expect, test } from "bun:test";
import { given, onStage, refusal, type Stage } from "./stage.ts";

const second = 1000;
const minute = 60 * second;

/** The job's control events, in their order. */
async function controls({ user }: Stage, job: string): Promise<string[]> {
  const events = given(await user.events(job));
  return events.filter(({ stream }) => stream === "control").map(({ payload }) => payload);
}

/** Time passes while the agent pings each second. */
async function pingFor({ clock }: Stage, agent: { ping(): Promise<unknown> }, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += minute) {
    await agent.ping();
    await clock.advance(Math.min(minute, ms - passed));
  }
}

describe("devserver leases", () => {
  test("end 60 s after they were given or renewed", () =>
    onStage(async ({ clock, factory, target, submit, createFactory }) => {
      const other = await createFactory("other");
      const job = await submit();
      expect(given(await factory.lease([target]))).toEqual({ target, job });
      await clock.advance(40 * second);
      expect(given(await factory.renew(job))).toBe(true);
      expect(given(await other.renew(job))).toBe(false);
      await clock.advance(59 * second);
      expect(given(await other.lease([target]))).toBeNull();
      await clock.advance(1 * second);
      expect(given(await other.lease([target]))).toEqual({ target, job });
      expect(given(await factory.renew(job))).toBe(false);
    }));

  test("are given for the oldest job first, and for another job at the next call", () =>
    onStage(async ({ factory, target, submit }) => {
      const jobs = [await submit(), await submit()];
      const leases = [given(await factory.lease([target])), given(await factory.lease([target]))];
      expect(leases.map((lease) => lease?.job ?? "none")).toEqual(jobs);
    }));
});

describe("devserver assigning", () => {
  test("takes the newest free worker whose agent is online, within a second", () =>
    onStage(async ({ clock, factory, target, bringUp, submit, user }) => {
      given(await factory.createWorker(target, null));
      const older = await bringUp(null);
      const newer = await bringUp(null);
      const job = await submit();
      await clock.advance(1 * second);
      expect(given(await newer.agent.ping()).job?.id).toBe(job);
      expect(given(await older.agent.ping()).job).toBeNull();
      expect(given(await user.job(job)).state).toBe("running");
    }));

  test.each([
    ["was just cancelled", 0],
    ["has ended", 1 * second],
  ])("F85 makes a worker also for a job that %s, and its ping carries the job for a second", (_, passed) =>
    onStage(async ({ user, bringUp, submit, clock }) => {
      const job = await submit();
      given(await user.cancel(job));
      await clock.advance(passed);
      const { agent } = await bringUp(job);
      expect(given(await agent.ping())).toMatchObject({ poweroff: false, job: { id: job } });
      await clock.advance(1 * second);
      expect(given(await agent.ping())).toMatchObject({ poweroff: true, job: { id: job } });
    }),
  );

  test("hides the job from the agent until the factory flushes", () =>
    onStage(async ({ factory, factoryToken, target, send, submit }) => {
      const job = await submit();
      const body = JSON.stringify({ target, job, wait_for_flush: true });
      const made = await send("POST", "/0/factory/worker", { token: factoryToken, body });
      const { id, bootstrap } = JSON.parse(made.text) as { id: string; bootstrap: string };
      given(await factory.associate(id, "bed/1"));
      await send("POST", "/0/worker/bootstrap", { body: JSON.stringify({ bootstrap, token: "agent" }) });
      const ping = async () =>
        JSON.parse((await send("GET", "/0/worker/ping", { token: "agent" })).text) as unknown;
      expect(await ping()).toMatchObject({ job: null });
      given(await factory.flush(id));
      expect(await ping()).toMatchObject({ job: { id: job } });
    }));

  test("gives a worker that was created held no job, unless the job was named", () =>
    onStage(async ({ admin, factoryId, clock, bringUp, submit, factory }) => {
      given(await admin.enableFactory(factoryId, true));
      const [queued, named] = [await submit(), await submit()];
      const idle = await bringUp(null);
      const bound = await bringUp(named);
      expect(given(await factory.worker(idle.worker.id))).toMatchObject({ hold: true, online: true });
      await clock.advance(5 * second);
      expect(given(await idle.agent.ping()).job).toBeNull();
      expect(given(await bound.agent.ping()).job?.id).toBe(named);
      given(await admin.releaseWorker(idle.worker.id));
      await clock.advance(1 * second);
      expect(given(await idle.agent.ping()).job?.id).toBe(queued);
    }));
});

describe("devserver jobs that end early", () => {
  test("a running job that is cancelled fails in the next pass, which recycles its worker", () =>
    onStage(async (stage) => {
      const { server, user, factory, bringUp, submit } = stage;
      const job = await submit();
      const { worker, agent } = await bringUp(job);
      given(await user.cancel(job));
      expect(given(await user.job(job))).toMatchObject({ state: "running", cancelled: true });
      expect(refusal(await agent.completeJob(job, false))).toBe(
        `cannot complete job: conflict: job ${job} cancelled; cannot succeed`,
      );
      server.tick();
      expect(given(await user.job(job))).toMatchObject({ state: "failed", tasks: [{ state: "pending" }] });
      expect(given(await factory.worker(worker.id))?.recycle).toBe(true);
      expect(given(await agent.ping()).poweroff).toBe(true);
      expect(await controls(stage, job)).toEqual([expect.stringContaining("job assigned"), "job cancelled"]);
      expect(refusal(await user.cancel(job))).toBe("cannot cancel a job that is already complete");
    }));

  test("a cancelled job whose worker reports a failure is failed and cancelled", () =>
    onStage(async ({ user, bringUp, submit }) => {
      const job = await submit();
      const { agent } = await bringUp(job);
      given(await user.cancel(job));
      given(await agent.completeJob(job, true));
      expect(given(await user.job(job))).toMatchObject({ state: "failed", cancelled: true });
    }));

  test("a queued job that is cancelled is leased to nobody and fails in the next pass", () =>
    onStage(async (stage) => {
      const { server, user, factory, target, submit } = stage;
      const job = await submit();
      given(await user.cancel(job));
      given(await user.cancel(job));
      expect(given(await factory.lease([target]))).toBeNull();
      expect(given(await user.job(job)).state).toBe("queued");
      server.tick();
      expect(given(await user.job(job))).toMatchObject({ state: "failed", tasks: [{ state: "pending" }] });
      expect(await controls(stage, job)).toEqual(["job cancelled"]);
    }));

  test("a job whose worker is deleted fails in the next pass, also when the worker was held", () =>
    onStage(async (stage) => {
      const { admin, server, factory, user, bringUp, submit } = stage;
      const job = await submit();
      const { worker, agent } = await bringUp(job);
      given(await admin.holdWorker(worker.id, "look at it"));
      given(await factory.deleteWorker(worker.id));
      expect(await agent.ping()).toMatchObject({ ok: false, status: 401 });
      const line = { stream: "console", time: "2026-01-01T00:00:00Z", payload: "gone" };
      expect(given(await factory.append(worker.id, line))).toBe(false);
      server.tick();
      expect(given(await user.job(job)).state).toBe("failed");
      expect((await controls(stage, job)).slice(1)).toEqual([
        "worker failed without completing job",
        "task 0 was incomplete, marked failed",
      ]);
      expect(given(await user.events(job)).map(({ stream }) => stream)).toContain("console");
    }));

  test("a job that runs too long is aborted at the next 47 s look", () =>
    onStage(
      async (stage) => {
        const { clock, user, factory, bringUp, submit } = stage;
        const job = await submit();
        const { worker } = await bringUp(job);
        await clock.advance(46 * second);
        expect(given(await user.job(job)).state).toBe("running");
        await clock.advance(2 * second);
        expect(given(await user.job(job)).state).toBe("failed");
        expect(given(await factory.worker(worker.id))?.recycle).toBe(true);
        expect((await controls(stage, job))[1]).toBe("job duration 47 exceeds 20 seconds; aborting");
      },
      { maxRuntimeSeconds: 20 },
    ));

  test("a task that was reported failed fails the job, whatever the agent says at the end", () =>
    onStage(async (stage) => {
      const { user, bringUp, submit } = stage;
      const job = await submit();
      const { agent } = await bringUp(job);
      given(await agent.completeTask(job, 0, true));
      given(await agent.completeJob(job, false));
      expect(given(await user.job(job)).state).toBe("failed");
      expect((await controls(stage, job)).at(-1)).toBe("job failed because at least one task failed");
    }));
});

describe("devserver workers without a job or an agent", () => {
  test("an agent that is silent for ten minutes is held and its job fails, if the server is up for longer", () =>
    onStage(async (stage) => {
      const { clock, admin, user, factory, bringUp, submit } = stage;
      const job = await submit();
      const { worker } = await bringUp(job);
      const idle = await bringUp(null);
      await clock.advance(657 * second);
      expect(given(await user.job(job)).state).toBe("running");
      await clock.advance(1 * second);
      expect(given(await user.job(job)).state).toBe("failed");
      expect((await controls(stage, job)).slice(1)).toEqual([
        "worker agent experienced a fatal error; aborting job",
        "task 0 was incomplete, marked failed",
      ]);
      expect(given(await factory.worker(worker.id))).toMatchObject({ hold: true, recycle: false });
      const reason = "agent became unresponsive during job execution";
      expect(given(await admin.adminWorker(worker.id))).toMatchObject({ hold: { reason }, recycle: true });
      expect(given(await admin.adminWorkerEvents(worker.id)).map(({ payload }) => payload)).toEqual([
        `marked held: ${reason}`,
      ]);
      expect(given(await admin.adminWorker(idle.worker.id)).hold?.reason).toBe("agent became unresponsive");
    }));

  test("an agent that does nothing but ping is not silent", () =>
    onStage(async (stage) => {
      const { user, bringUp, submit } = stage;
      const job = await submit();
      const { agent } = await bringUp(job);
      await pingFor(stage, agent, 30 * minute);
      expect(given(await user.job(job)).state).toBe("running");
    }));

  test("a worker that never bootstrapped is recycled after half an hour", () =>
    onStage(async ({ clock, factory, target }) => {
      const { id } = given(await factory.createWorker(target, null));
      await clock.advance(30 * minute);
      expect(given(await factory.worker(id))?.recycle).toBe(false);
      await clock.advance(1 * second);
      expect(given(await factory.worker(id))?.recycle).toBe(true);
    }));

  test("a worker that found no job for half an hour is recycled at the next 47 s look", () =>
    onStage(async (stage) => {
      const { clock, factory, bringUp } = stage;
      const { worker, agent } = await bringUp(null);
      await pingFor(stage, agent, 1832 * second);
      expect(given(await factory.worker(worker.id))?.recycle).toBe(false);
      await clock.advance(1 * second);
      expect(given(await factory.worker(worker.id))?.recycle).toBe(true);
    }));

  test("pending diagnostics keep a worker whose job is over from being recycled", () =>
    onStage(async ({ server, factory, bringUp, submit, send }) => {
      const job = await submit();
      const { worker, agent, token } = await bringUp(job);
      const diagnostics = (what: string, body: string) =>
        send("POST", `/0/worker/diagnostics/${what}`, { token, body });
      await diagnostics("enable", "");
      given(await agent.completeJob(job, false));
      server.tick();
      expect(given(await factory.worker(worker.id))?.recycle).toBe(false);
      await diagnostics("complete", '{"hold":false}');
      server.tick();
      expect(given(await factory.worker(worker.id))?.recycle).toBe(true);
    }));
});

describe("devserver dependencies", () => {
  const depend = (prior_job: string, wish: "on_completed" | "on_failed") => ({
    pre: {
      prior_job,
      copy_outputs: true,
      on_completed: wish === "on_completed",
      on_failed: wish === "on_failed",
    },
  });

  test("a job waits for the job that it depends on, and gets its outputs as inputs", () =>
    onStage(async (stage) => {
      const { clock, user, bringUp, submit } = stage;
      const prior = await submit();
      const job = await submit({ depends: depend(prior, "on_completed") });
      const { agent } = await bringUp(prior);
      await clock.advance(5 * second);
      expect(given(await user.job(job)).state).toBe("waiting");
      const { id } = given(await agent.chunk(prior, new TextEncoder().encode("kept")));
      const output = { path: "/work/f", size: 4, chunks: [id], commit_id: id };
      expect(given(await agent.output(prior, output)).complete).toBe(false);
      expect(given(await agent.output(prior, output))).toEqual({ complete: true, error: null });
      given(await agent.completeJob(prior, false));
      await clock.advance(1 * second);
      expect(given(await user.job(job)).state).toBe("queued");
      expect(await controls(stage, job)).toEqual([
        "job dependencies complete; ready to run (waiting for 6 s)",
      ]);
      const next = await bringUp(job);
      const { inputs } = given(await next.agent.ping()).job ?? { inputs: [] };
      expect(inputs.map(({ name }) => name)).toEqual(["pre/work/f"]);
      const file = await stage.send("GET", `/0/worker/job/${job}/inputs/${inputs[0]?.id}`, {
        token: next.token,
      });
      expect(file.text).toBe("kept");
    }));

  test("a job that waits for a failure is ready once the other job has failed", () =>
    onStage(async ({ clock, user, bringUp, submit }) => {
      const prior = await submit();
      const job = await submit({ depends: depend(prior, "on_failed") });
      given(await (await bringUp(prior)).agent.completeJob(prior, true));
      await clock.advance(1 * second);
      expect(given(await user.job(job)).state).toBe("queued");
    }));

  test("a job fails if the job that it depends on ends the wrong way", () =>
    onStage(async (stage) => {
      const { clock, user, bringUp, submit } = stage;
      const [good, bad] = [await submit({ name: "good" }), await submit({ name: "bad" })];
      const onFailed = await submit({ depends: depend(good, "on_failed") });
      const onCompleted = await submit({ depends: depend(bad, "on_completed") });
      given(await (await bringUp(good)).agent.completeJob(good, false));
      given(await (await bringUp(bad)).agent.completeJob(bad, true));
      await clock.advance(1 * second);
      expect(given(await user.job(onFailed)).state).toBe("failed");
      expect((await controls(stage, onFailed))[0]).toBe(
        `this job depends on job ${good} (good) failing but it has completed; failing job`,
      );
      expect(given(await user.job(onCompleted)).state).toBe("failed");
      expect((await controls(stage, onCompleted))[0]).toBe(
        `this job depends on job ${bad} (bad) completing, but it has failed; failing job`,
      );
    }));
});
