/** F89 What comes to nothing is not tried with one job after the other: a lease that is not used keeps its job from everybody. */
import { Database } from "bun:sqlite";
import { testbedMemory } from "../../lib/daemon/testbed-memory.ts";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { openStage, refusal, type Stage } from "./stage.ts";
import { configOf, instanceOf, testbedOf, workerOf } from "../policy/scenes.ts";

const twoBeds = { config: configOf([testbedOf(), testbedOf({ name: "b" })]) };
const jobs = Array.from({ length: 60 }, (_, number) => `job-${number}`);
const taken = (it: Stage): number => jobs.length - it.queue.length;

function openQueue(): Stage {
  const it = openStage(twoBeds);
  it.queue.push(...jobs);
  return it;
}

test.each([
  ["a server that refuses creates", /^create/, refusal(404), 24],
  ["an arm that times out", /^arm/, { kind: "cannot tell", reason: "it timed out" }, 24],
  ["an arm that fails", /^arm/, { kind: "failed", reason: "no agent" }, 24],
  [
    "a testbed that another factory takes first",
    /^arm/,
    { kind: "elsewhere", owner: "x/1", isHost: false },
    44,
  ],
  ["a worker that vanishes at once", /^read/, { ok: true, value: null }, 24],
])("F89 %s: at most one job a minute and testbed is pinned", async (_, pattern, answer, most) => {
  await using it = openQueue();
  it.fate = (call) => (pattern.test(call) ? answer : undefined);
  await it.runUntil(() => it.count(/^lease/) > 0);
  for (let minutes = 1; minutes <= 20; minutes += 1) {
    await it.run(60_000);
    expect(taken(it)).toBeLessThanOrEqual(2 * minutes + 2);
  }
  expect(taken(it)).toBeLessThanOrEqual(most);
});

test("F89 a testbed whose creates were refused rests longer each time, until an agent is online", async () => {
  await using it = openStage();
  it.queue.push(...jobs);
  it.fate = (call) => (call.startsWith("create") ? refusal(404) : undefined);
  const moments: number[] = [];
  for (let number = 1; number <= 4; number += 1) {
    await it.runUntil(() => it.count(/^create/) === number);
    moments.push(it.clock.uptimeMs());
  }
  const waits = moments.slice(1).map((ms, index) => Math.round((ms - (moments[index] ?? 0)) / 60_000));
  expect(waits).toEqual([1, 2, 4]);
  it.fate = () => undefined;
  await it.runUntil(() => it.instance()?.phase === "running");
  expect(testbedMemory(it.factory.known, "a").rest).not.toBeNull();
  for (const worker of it.workers.values()) worker.online = true;
  await it.runUntil(() => it.instance()?.isOnline === true);
  expect(testbedMemory(it.factory.known, "a").rest).toBeNull();
});

test("F89 a worker that vanishes before its agent is online: at most one job a minute is begun, and fewer later", async () => {
  await using it = openStage();
  it.queue.push(...jobs);
  it.fate = (call) => {
    if (call.startsWith("go")) it.workers.clear();
    return undefined;
  };
  await it.runUntil(() => it.count(/^go/) > 0);
  await it.run(20 * 60_000);
  expect(it.count(/^go/)).toBeWithin(3, 7);
});

test("F89 workers that are recycled at once: the next job is begun after a while, longer each time", async () => {
  await using it = openStage();
  it.queue.push(...jobs);
  it.fate = (call) => {
    if (call.startsWith("read")) for (const worker of it.workers.values()) worker.recycle = true;
    return undefined;
  };
  await it.runUntil(() => it.count(/^create/) > 0);
  await it.run(120_000);
  expect(it.count(/^create/)).toBeWithin(4, 9);
});

test("jobs too short to be seen online rest nothing: the next is begun at once", async () => {
  await using it = openStage();
  it.queue.push(...jobs);
  it.fate = (call) => {
    if (call.startsWith("go")) for (const worker of it.workers.values()) worker.recycle = true;
    return undefined;
  };
  await it.runUntil(() => it.count(/^create/) > 0);
  await it.run(60_000);
  expect(it.count(/^create/)).toBeGreaterThan(15);
});

test("a job that is gone before it has a worker holds its testbed up for a moment only", async () => {
  await using it = openStage();
  it.queue.push("job-1", "job-2");
  it.fate = (call) =>
    call === "create job-1"
      ? refusal(409, `job job-1 already assigned to worker ${"0".repeat(26)}`)
      : undefined;
  await it.runUntil(() => it.count(/^create job-1/) === 1);
  await it.run(3_000);
  expect(it.instance()?.job).toBe("job-2");
});

test("F95 while nothing can be committed no job is leased, and lists and pings go on", async () => {
  await using it = openStage(twoBeds);
  await it.runUntil(() => it.count(/^lease/) > 0);
  it.queue.push(...jobs);
  const other = new Database(join(it.directory, "data.sqlite3"));
  other.run("BEGIN IMMEDIATE");
  await it.run(180_000);
  // Two leases may be under way before the first commit fails.
  expect(taken(it)).toBeLessThanOrEqual(2);
  expect(it.count(/^list/)).toBeGreaterThan(2);
  other.run("ROLLBACK");
  other.close();
  await it.runUntil(() => it.instance("a")?.phase === "running" && it.instance("b")?.phase === "running");
});

test("a worker that vanishes after its agent was online rests no testbed", async () => {
  await using it = openStage({ rows: [instanceOf({ isFlushed: true, isOnline: true })] });
  await it.runUntil(() => it.instance() === undefined);
  expect(testbedMemory(it.factory.known, "a").rest).toBeNull();
});

test("a job that is done ends its testbed's rests, also one too short to be seen online", async () => {
  await using it = openStage({ rows: [instanceOf({ isFlushed: true })] });
  testbedMemory(it.factory.known, "a").rest = { count: 5, untilMs: 0, reason: "it fell" };
  it.workers.set("worker-a", workerOf());
  it.agents.set("a_7", "done");
  await it.runUntil(() => it.instance() === undefined);
  expect(testbedMemory(it.factory.known, "a").rest).toBeNull();
});
