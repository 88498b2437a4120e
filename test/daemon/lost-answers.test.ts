/** What is true before a call to the server is made, and what a call that was refused or lost does not prove. */
import { expect, test } from "bun:test";
import { testbedMemory } from "../../lib/daemon/testbed-memory.ts";
import type { Phase } from "../../lib/words/domain.ts";
import {
  at,
  configOf,
  instanceOf,
  type OwnIn,
  rustInstanceOf,
  type Said,
  testbedOf,
  workerOf,
} from "../policy/scenes.ts";
import { openStage, refusal, type Stage } from "./stage.ts";

const startMs = 1_000_000;
const id = "01HGYSTRYRBS0DG7J6E22ZS3M5";
const twoBeds = { config: configOf([testbedOf(), testbedOf({ name: "b" })]) };
const fresh = <P extends Phase>(over: Said & { phase: P }): OwnIn<P> =>
  instanceOf({ job: "job-1", leasedAt: at(startMs), createSentAt: at(startMs), ...over });

function openRunning(): Stage {
  const it = openStage({ rows: [instanceOf({ isOnline: true, isFlushed: true })] });
  it.workers.set("worker-a", workerOf({ online: true }));
  it.agents.set("a_7", "alive");
  return it;
}

test("a worker is asked for only once that is committed", async () => {
  await using it = openStage();
  const phases: unknown[] = [];
  it.fate = (call) => {
    if (call.startsWith("create")) phases.push(it.store.open()[0]?.phase);
    return undefined;
  };
  it.queue.push("job-1");
  await it.runUntil(() => it.instance()?.phase === "running");
  expect(phases).toEqual(["creating"]);
});

test("a renewal that is refused ends a job only once its lease cannot live any more", async () => {
  const row = fresh({ phase: "preparing", createSentAt: null, leasedAt: at(startMs - 50_000) });
  await using it = openStage({ rows: [row] });
  it.leases.set("job-1", 0);
  it.fate = (call) => (call.startsWith("renew") && it.count(/^renew/) === 1 ? refusal(403) : undefined);
  await it.runUntil(() => it.instance()?.phase === "running");
  expect(it.instance()?.job).toBe("job-1");
});

test("a worker without a job is not asked about while another instance asks for one", async () => {
  const rows = [fresh({ phase: "creating", isBound: false })];
  await using it = openStage({ ...twoBeds, rows });
  it.workers.set("jobless", workerOf({ id: "jobless", private: null }));
  const answered = Promise.withResolvers<unknown>();
  it.fate = (call) => (call === "create job-2" ? answered.promise : undefined);
  it.queue.push("job-2");
  await it.runUntil(() => it.count(/^create job-2/) > 0);
  await it.run(100);
  const before = it.count(/^append jobless/);
  await it.run(20_000);
  expect(it.count(/^append jobless/)).toBe(before);
  it.fate = (call) => (/^(create|renew)/.test(call) ? refusal(500) : undefined);
  answered.resolve(refusal(500));
  await it.run(20_000);
  expect(it.count(/^append jobless/)).toBeGreaterThan(before);
});

test("a job that has a worker already is not given up because that worker could not be read", async () => {
  await using it = openStage();
  it.workers.set(id, workerOf({ id, private: null }));
  const said = refusal(409, `job job-1 already assigned to worker ${id}`);
  it.fate = (call) => {
    if (call.startsWith("create")) return said;
    return call.startsWith("read") && it.count(/^read/) === 1 ? refusal(500) : undefined;
  };
  it.queue.push("job-1");
  await it.runUntil(() => it.instance()?.phase === "running");
  expect(it.instance()).toMatchObject({ job: "job-1", worker: id });
});

test("the worker that carries the instance's own name is its worker, with or without a job", async () => {
  await using it = openStage({ rows: [fresh({ phase: "creating", isBound: false })] });
  it.workers.set("jobless", workerOf({ id: "jobless", private: "a/7" }));
  await it.runUntil(() => it.instance()?.worker === "jobless");
  expect(it.count(/^append/)).toBe(0);
});

test("a request is not taken for lost while the server does not answer for the worker that it may have made", async () => {
  const createSentAt = at(startMs - 100_000);
  await using it = openStage({ rows: [fresh({ phase: "creating", isBound: false, createSentAt })] });
  it.workers.set("other", workerOf({ id: "other", private: null }));
  it.fate = (call) => (call.startsWith("append") ? refusal(503) : undefined);
  await it.run(20_000);
  expect(it.instance()).toMatchObject({ phase: "creating" });
  it.fate = () => undefined;
  await it.runUntil(() => it.instance()?.worker === "other");
});

test("the end of a held worker is not even decided", async () => {
  await using it = openRunning();
  await it.runUntil(() => it.count(/^look/) > 0);
  it.fate = (call) => {
    const worker = it.workers.get("worker-a");
    if (call.startsWith("read") && worker !== undefined) worker.hold = true;
    return undefined;
  };
  it.agents.set("a_7", "done");
  await it.runUntil(() => it.count(/^read/) > 0);
  await it.run(20_000);
  expect(it.instance()).toMatchObject({ phase: "running", endReason: null });
});

test("a worker that the token may not read is not taken for gone", async () => {
  await using it = openRunning();
  await it.runUntil(() => it.count(/^look/) > 0);
  it.fate = (call) => (call.startsWith("read") ? refusal(403) : undefined);
  it.agents.set("a_7", "done");
  await it.run(60_000);
  expect(it.instance()?.phase).toBe("running");
  expect(it.count(/^(stop|delete)/)).toBe(0);
});

test("a worker whose deletion is refused because it is gone frees its testbed", async () => {
  await using it = openRunning();
  await it.runUntil(() => it.count(/^look/) > 0);
  it.fate = (call) => (call.startsWith("delete") ? refusal(409) : undefined);
  it.agents.set("a_7", "done");
  await it.runUntil(() => it.instance() === undefined);
  expect(it.count(/^delete/)).toBe(1);
});

test("a job that was cancelled while its agent worked proves nothing good of a testbed with strikes", async () => {
  await using it = openRunning();
  await it.runUntil(() => it.count(/^look/) > 0);
  const health = { strikes: 1, retryAt: at(0), reason: "no power" };
  it.store.setHealth("a", health);
  testbedMemory(it.factory.known, "a").health = health;
  for (const worker of it.workers.values()) worker.recycle = true;
  await it.runUntil(() => it.instance() === undefined);
  expect(it.store.health().get("a")).toMatchObject({ strikes: 1 });
});

test("a request is not taken for lost while nobody knows whether its lease lives", async () => {
  await using it = openStage({ rows: [fresh({ phase: "creating", createSentAt: at(startMs - 100_000) })] });
  it.leases.set("job-1", 0);
  it.fate = (call) => (call.startsWith("renew") ? refusal(503) : undefined);
  await it.run(20_000);
  expect(it.instance()).toMatchObject({ phase: "creating" });
  it.fate = () => undefined;
  await it.runUntil(() => it.instance()?.phase === "running");
});

test("a board is not let go while nobody can tell whether its agent has ended", async () => {
  const spRunnerUrl = "http://lab-3:9090";
  const place = { way: "sp-runner", spRunnerUrl, directory: "/work/a_7", agent: "external" } as const;
  const config = configOf([testbedOf({ spRunnerUrl })]);
  await using it = openStage({ config, rows: [instanceOf({ phase: "destroying", place })] });
  it.workers.set("worker-a", workerOf());
  const board = { name: "a", status: "available", current_job: null };
  it.factory.openRunner = () =>
    ({
      health: () => Promise.resolve({ ok: true, value: { status: "healthy" } }),
      boards: () => Promise.resolve({ ok: true, value: [board] }),
    }) as never;
  it.factory.files.readText = () => Promise.resolve(null);
  it.factory.files.isThere = () => Promise.resolve(true);
  it.fate = (call) => (call.startsWith("quiet") ? { kind: "cannot tell", reason: "it hangs" } : undefined);
  await it.runUntil(() => it.count(/^quiet/) > 2);
  expect(it.count(/^(stop|delete)/)).toBe(0);
  it.fate = () => undefined;
  await it.runUntil(() => it.instance() === undefined);
});

test("what the former program began is no strike when its agent dies", async () => {
  const row = rustInstanceOf("local", { isOnline: false });
  await using it = openStage({ rows: [row] });
  it.workers.set("worker-a", workerOf({ online: true }));
  it.factory.files.readText = () => Promise.resolve('{"bootstrap":"bootstrap"}');
  const { minder } = it.factory.hosts.here;
  const dead = { state: "dead", reason: null, process: "dead", minder: "dead", output: null };
  minder.lookAtFormer = (paths) =>
    Promise.resolve(paths.map((directory) => ({ ...dead, directory })) as never);
  await it.runUntil(() => it.instance() === undefined);
  expect(it.store.latest()[0]).toMatchObject({ phase: "destroyed" });
  expect(it.store.health().size).toBe(0);
});

test("a job whose lease is lost while the testbed's check runs gets no worker", async () => {
  await using it = openStage({ config: configOf([testbedOf({ check: "true" })]) });
  it.factory.processes.run = async () => {
    if (it.instance() !== undefined) {
      it.leases.clear();
      await it.clock.sleep(25_000);
    }
    return { ok: true, exitCode: 0, stdout: "", stderr: "" } as never;
  };
  it.queue.push("job-1");
  await it.runUntil(() => it.store.latest()[0]?.phase === "dropped");
  expect(it.store.latest()[0]?.endCause).toBe("lease lost");
  expect(it.count(/^create/)).toBe(0);
});

test("a factory that drains goes on until it knows what became of a request for a worker", async () => {
  await using it = openStage({ rows: [fresh({ phase: "creating", isBound: false })] });
  it.daemon.drain();
  let isOver = false;
  void it.ended().then(() => (isOver = true));
  await it.run(20_000);
  expect([isOver, it.instance()?.phase]).toEqual([false, "creating"]);
  await it.runUntil(() => isOver);
  expect(it.instance()).toBeUndefined();
});

test("a job that took too long while its agent worked is no strike", async () => {
  const row = instanceOf({ isOnline: true, isFlushed: true, jobTimeoutMs: 30_000, wentAt: at(startMs) });
  await using it = openStage({ rows: [row] });
  it.workers.set("worker-a", workerOf({ online: true }));
  it.agents.set("a_7", "alive");
  await it.runUntil(() => it.instance() === undefined);
  expect(it.store.latest()[0]?.endCause).toBe("job too long");
  expect(it.store.health().size).toBe(0);
});
