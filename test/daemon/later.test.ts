/** What comes late or in an odd order: an older database, a recycled worker, a drain with held instances. */
import { expect, test } from "bun:test";
import { testbedMemory } from "../../lib/daemon/testbed-memory.ts";
import { factoryMark } from "../../lib/daemon/recover.ts";
import type { Instance } from "../../lib/words/domain.ts";
import type { Recalled } from "../../lib/hosts/minder/minder-answer.ts";
import { openStage, type Stage } from "./stage.ts";
import { configOf, instanceOf, long, testbedOf, workerOf } from "../policy/scenes.ts";

const health = { strikes: 3, retryAt: { bootId: "boot-0", uptimeMs: 0 }, reason: "it fell" };

const placeOf = (seq: number): Instance["place"] => ({
  way: "local",
  directory: `/work/a_${seq}`,
  agent: "external",
});

/** What the directory of a running instance says of it. */
function directoryOf(it: Stage, seq: number): Recalled {
  const place = placeOf(seq);
  const { directory } = place;
  const intent = instanceOf({ seq, cookie: String(seq).repeat(32), place });
  const mark = factoryMark(it.factory.config);
  return { directory, intentJson: JSON.stringify({ ...intent, factory: mark }), worker: `worker-${seq}` };
}

test("F94 an older database beside newer running instances: each is taken over when the one before it ends", async () => {
  await using it = openStage({ rows: [instanceOf({ seq: 5, place: placeOf(5) })] });
  it.queue.push("job-1");
  it.recalled = [directoryOf(it, 8), directoryOf(it, 7)];
  for (const seq of [7, 8]) {
    it.agents.set(`a_${seq}`, "alive");
    it.workers.set(`worker-${seq}`, workerOf({ id: `worker-${seq}`, private: `a/${seq}`, online: true }));
  }
  for (const seq of [7, 8]) {
    await it.runUntil(() => it.instance()?.seq === seq && it.instance()?.phase === "running");
    expect(it.count(/^lease/)).toBe(0);
    it.agents.set(`a_${seq}`, "done");
  }
  await it.runUntil(() => it.instance()?.job === "job-1");
  expect(it.instance()?.seq).toBe(9);
  expect(it.calls.filter((call) => /^(stop|delete)/.test(call))).toEqual(
    [5, 7, 8].flatMap((seq) => (seq === 5 ? ["stop a_5"] : [`stop a_${seq}`, `delete worker-${seq}`])),
  );
});

test.each([
  ["done", 0],
  ["alive", 1],
] as const)(
  "a job that is %s when the list shows its worker as recycled leaves strikes of %d testbeds",
  async (view, left) => {
    await using it = openStage({ rows: [instanceOf({ isOnline: true, isFlushed: true })] });
    testbedMemory(it.factory.known, "a").health = health;
    it.workers.set("worker-a", workerOf({ online: true }));
    it.agents.set("a_7", "alive");
    await it.runUntil(() => it.count(/^look/) > 0);
    it.workers.set("worker-a", workerOf({ online: true, recycle: true }));
    // The look of the loop itself comes too late.
    it.fate = (call) => {
      if (call.startsWith("read")) it.agents.set("a_7", view);
      return undefined;
    };
    await it.runUntil(() => it.instance() === undefined);
    expect(testbedMemory(it.factory.known, "a").health === null ? 0 : 1).toBe(left);
  },
);

test("a drain ends while a look at a held instance on another host is under way", async () => {
  const ssh = {
    host: "h",
    user: "",
    port: null,
    key: null,
    hostKey: null,
    elevation: null,
    uid: 0,
  };
  const held = (testbed: string): Instance =>
    instanceOf({
      testbed,
      isOnline: true,
      isFlushed: true,
      place: { way: "ssh", directory: `/w/${testbed}_7`, agent: "external", ssh },
    });
  const names = ["a", "b", "c"];
  await using it = openStage({
    config: configOf(names.map((name) => testbedOf({ name, host: "h" }))),
    rows: names.map(held),
  });
  for (const name of names) {
    const worker = { id: `worker-${name}`, private: `${name}/7`, online: true, hold: true };
    it.workers.set(worker.id, workerOf(worker));
  }
  it.fate = (call) => (call === "look b_7" ? it.clock.sleep(long) : undefined);
  let isOver = false;
  void it.ended().then(() => (isOver = true));
  await it.runUntil(() => it.count(/^look/) > 3);
  it.daemon.drain();
  await it.run(10_000);
  expect(isOver).toBe(true);
  expect(it.count(/^(stop|delete)/)).toBe(0);
});

test("a drain waits for an instance that can be taken over only when the one before it ends", async () => {
  await using it = openStage({ rows: [instanceOf({ seq: 5, place: placeOf(5) })] });
  it.recalled = [directoryOf(it, 7)];
  it.agents.set("a_7", "alive");
  it.workers.set("worker-7", workerOf({ id: "worker-7", private: "a/7", online: true }));
  let isOver = false;
  void it.ended().then(() => (isOver = true));
  it.daemon.drain();
  await it.runUntil(() => isOver || it.instance()?.phase === "running");
  await it.run(30_000);
  expect([isOver, it.instance()?.seq]).toEqual([false, 7]);
  it.agents.set("a_7", "done");
  await it.runUntil(() => isOver);
  expect(it.count(/^delete worker-7/)).toBe(1);
});

test("F20 of two that look for their worker the one begun first finds it, whatever the wall clock said", async () => {
  const looking = (testbed: string, begunMs: number): Instance =>
    instanceOf({ testbed, phase: "creating", isBound: false, begunMs });
  await using it = openStage({
    config: configOf([testbedOf(), testbedOf({ name: "b" })]),
    rows: [looking("b", 2000), looking("a", 1000)].map((row) => ({
      ...row,
      createSentAt: { bootId: "boot-1", uptimeMs: 1_000_000 },
    })),
  });
  it.workers.set("late", workerOf({ id: "late", private: null }));
  await it.runUntil(() => it.factory.known.instances.values().some(({ row }) => row.worker === "late"));
  expect(it.instance("b")?.worker).toBe("late");
});
