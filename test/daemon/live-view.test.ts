/** What a running daemon says of its testbeds while the world around it changes. */
import { expect, test } from "bun:test";
import type { Snapshot, TestbedSnapshot } from "../../lib/status/snapshot.ts";
import { configOf, jobOf, sceneOf, testbedOf } from "../policy/scenes.ts";
import { liveSnapshot } from "../../lib/status/live-snapshot.ts";
import { openStage, refusal, type Stage } from "./stage.ts";

const snapshot = (it: Stage): Snapshot => it.daemon.snapshot("/base/data.sqlite3");
function bed(it: Stage, name = "a"): TestbedSnapshot {
  const found = snapshot(it).testbeds.find(({ testbed }) => testbed === name);
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
}
const isFree = (it: Stage): boolean => bed(it).state === "free";

test("no testbed is free before the first pass, and each is once jobs are asked for", async () => {
  await using it = openStage();
  expect(bed(it)).toMatchObject({ state: "unavailable", whyNot: "this host has not been checked yet" });
  expect(snapshot(it).server).toMatchObject({ is: "not asked yet", sinceMs: null });
  await it.runUntil(() => it.count(/^lease/) > 0);
  await it.run(10);
  expect(bed(it)).toMatchObject({ state: "free", whyNot: null, sinceMs: snapshot(it).factory.startedMs });
  expect(snapshot(it)).toMatchObject({ source: "factory", server: { is: "answers", reason: null } });
});

test("a server that goes away is reported with its words and since when, also while it is just being asked again", async () => {
  await using it = openStage();
  await it.runUntil(() => isFree(it));
  const noAnswer = { ok: false, refusal: "no answer", status: null, message: "no route" };
  it.fate = (call) =>
    /^(?:lease|list|ping)/.test(call) ? it.clock.sleep(5).then(() => noAnswer) : undefined;
  await it.runUntil(() => !isFree(it));
  const { sinceMs } = snapshot(it).server;
  for (let step = 0; step < 200; step += 1) {
    await it.run(317);
    expect(bed(it)).toMatchObject({ state: "no server", sinceMs });
    expect(bed(it).whyNot).toContain("no route");
  }
  expect(snapshot(it).server).toMatchObject({ is: "does not answer", sinceMs });
  it.fate = () => undefined;
  await it.runUntil(() => isFree(it));
  expect(snapshot(it).server).toMatchObject({ is: "answers", reason: null });
});

test("a server that answers and leases nothing is reported with its words", async () => {
  await using it = openStage();
  await it.runUntil(() => isFree(it));
  it.fate = (call) => (call === "lease" ? refusal(500, "panic in the lease table") : undefined);
  await it.runUntil(() => !isFree(it));
  for (let step = 0; step < 100; step += 1) {
    await it.run(317);
    expect(bed(it).state).toBe("no server");
    expect(bed(it).whyNot).toContain("panic in the lease table");
    expect(["answers", "does not answer"]).toContain(snapshot(it).server.is);
  }
});

test("a token that is refused is reported, and no longer once it is taken", async () => {
  await using it = openStage();
  await it.runUntil(() => isFree(it));
  it.fate = (call) => {
    const answer = { ok: false, refusal: "unauthorised", status: 401, message: "not authorised" };
    return /^(?:lease|list|ping)/.test(call) ? answer : undefined;
  };
  await it.runUntil(() => !isFree(it));
  const { sinceMs } = snapshot(it).server;
  expect(sinceMs).not.toBeNull();
  await it.run(90_000);
  expect(snapshot(it).server).toMatchObject({ is: "refuses the token", sinceMs });
  expect(bed(it)).toMatchObject({ state: "no server", sinceMs });
  it.fate = () => undefined;
  await it.runUntil(() => isFree(it));
});

test("a factory that drains has no free testbed, and says why", async () => {
  await using it = openStage();
  await it.runUntil(() => isFree(it));
  it.daemon.drain();
  expect(bed(it)).toMatchObject({ state: "draining" });
  expect(snapshot(it).factory.mode).toBe("drain");
});

test("a job is followed from its lease to its end, and its testbed is free since then", async () => {
  await using it = openStage();
  await it.runUntil(() => isFree(it));
  const states: string[] = [];
  it.queue.push("job-1");
  await it.runUntil(() => {
    const { state } = bed(it);
    if (states.at(-1) !== state) states.push(state);
    if (state === "running" && it.agents.get("a_1") === "alive") it.agents.set("a_1", "done");
    return states.includes("running") && state === "free";
  });
  expect(states.filter((state) => state !== "preparing" && state !== "ending")).toEqual([
    "free",
    "running",
    "free",
  ]);
  expect(bed(it).sinceMs).toBeGreaterThan(snapshot(it).factory.startedMs ?? 0);
});

test("a worker that is held shows as held", async () => {
  await using it = openStage();
  it.queue.push("job-1");
  await it.runUntil(() => bed(it).state === "running");
  for (const worker of it.workers.values()) worker.hold = true;
  await it.run(5_000);
  expect(bed(it)).toMatchObject({ state: "held", whyNot: "a job has it" });
});

test("a snapshot of 1,000 testbeds grows with their number, not with its square", () => {
  const costOf = (size: number): number => {
    let reads = 0;
    const counted = Array.from(
      { length: size },
      (_, number) =>
        new Proxy(testbedOf({ name: `bed-${number}` }), {
          get: (target, key) => {
            reads += 1;
            return target[key as keyof typeof target];
          },
        }),
    );
    liveSnapshot({
      seen: sceneOf({ config: configOf(counted, "off") }),
      wallMs: 0,
      factory: { version: "0", startedMs: 0, database: "/d" },
      remarks: [],
      past: { recent: () => [], took: () => [] },
      jobs: new Map(),
      testbeds: new Map(),
    });
    return reads;
  };
  expect(costOf(1000)).toBeLessThan(costOf(100) * 12);
});

test("a factory shows when it started, and how long a job has been silent if no other of its name was", async () => {
  await using it = openStage();
  const startedMs = it.clock.wallMs();
  it.queue.push("job-1");
  await it.runUntil(() => bed(it).state === "running");
  expect(snapshot(it).factory.startedMs).toBe(startedMs);
  const { known } = it.factory;
  for (const seq of [1, 2, 3]) known.pastJobs.take(jobOf({ seq, silentMs: 1_000 }));
  await it.run(200_000);
  expect(bed(it).job?.silentMs).toBeNull();
  for (const record of known.instances.values()) record.jobName = "flash";
  expect(bed(it).job?.silentMs).toBeGreaterThan(100_000);
  for (const record of known.instances.values()) record.jobName = "another";
  expect(bed(it).job?.silentMs).toBeNull();
});
