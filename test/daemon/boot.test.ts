/** F88 The factory's host was booted again: how long that took is unknown, and no time limit may take it for passed. */
import { expect, test } from "bun:test";
import { openStage, refusal, type Stage } from "./stage.ts";
import { at, gimlet, instanceOf, workerOf, type Said } from "../policy/scenes.ts";

const before = at(77_000_000, "boot-0");

/** A job that runs on; its factory's host was booted since. */
function openRunning(over: Said): Stage {
  const it = openStage({ rows: [instanceOf({ wentAt: before, isFlushed: true, ...over })] });
  it.workers.set("worker-a", workerOf({ online: over.isOnline ?? true }));
  it.agents.set("a_7", "alive");
  return it;
}

test.each([
  ["job_timeout", { isOnline: true, jobTimeoutMs: 60_000 }],
  ["silence_timeout", { isOnline: true, silenceTimeoutMs: 60_000 }],
  ["start_timeout", { isOnline: false, startTimeoutMs: 60_000 }],
])("F88 %s counts from the factory's start again", async (name, over) => {
  await using it = openRunning(over);
  await it.runUntil(() => it.count(/^look/) > 0);
  await it.run(50_000);
  expect(it.instance()?.phase).toBe("running");
  await it.runUntil(() => it.count(/^stop a_7/) === 1);
  expect(it.calls.join()).toContain(name);
});

test("F88 the time that a job may run does not start again with another start in the same boot", async () => {
  await using it = openRunning({ isOnline: true, jobTimeoutMs: 60_000 });
  await it.runUntil(() => it.count(/^look/) > 0);
  const [row] = it.store.open();
  expect(row?.wentAt?.bootId).toBe("boot-1");
});

test("F88 the line of a job's end does not say how long it ran where nobody knows", async () => {
  await using it = openRunning({ isOnline: true });
  await it.runUntil(() => it.count(/^look/) > 0);
  it.agents.set("a_7", "dead");
  await it.runUntil(() => it.instance() === undefined);
  expect(it.said).toContain("a: the job was lost: the agent was killed, or its host restarted");
});

test("a lease of another boot is not used, however the uptimes compare", async () => {
  const row = instanceOf({ phase: "preparing", job: "job-1", leasedAt: at(999_999, "boot-0") });
  await using it = openStage({ rows: [row] });
  it.leases.set("job-1", 0);
  await it.runUntil(() => it.instance() === undefined);
  expect(it.count(/^(arm|create)/)).toBe(0);
});

test("a request for a worker that was sent in another boot is waited for another minute", async () => {
  const row = instanceOf({ phase: "creating", isBound: false, createSentAt: before });
  await using it = openStage({ rows: [row] });
  await it.runUntil(() => it.count(/^list/) > 1);
  await it.run(50_000);
  expect(it.instance()?.phase).toBe("creating");
  // It comes late, and is found.
  it.workers.set("late", workerOf({ id: "late", private: null, target: gimlet }));
  await it.runUntil(() => it.instance()?.worker === "late");
});

test("a request for a worker that never comes is dropped after that minute", async () => {
  await using it = openStage({
    rows: [instanceOf({ phase: "creating", isBound: false, createSentAt: before })],
  });
  it.fate = (call) => (call === "renew" ? refusal(404) : undefined);
  await it.runUntil(() => it.instance() === undefined);
  expect(it.clock.uptimeMs()).toBeGreaterThan(1_060_000);
});
