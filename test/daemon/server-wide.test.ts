/** What is learnt of the server and remembered of instances: answers that are late, lost or wrong. */
import { describe, expect, test } from "bun:test";
import { takeIn } from "../../lib/daemon/server-findings.ts";
import { deleteStranger, look } from "../../lib/daemon/server-wide.ts";
import { apply } from "../../lib/daemon/apply.ts";
import { openStage, refusal, type Stage } from "./stage.ts";
import { at, gimlet, instanceOf, sidecar, workerOf, type Said } from "../policy/scenes.ts";
import { replaceList } from "../../lib/policy/server-view.ts";
import { advance, setView, hintAt, openInstances, remember } from "../../lib/daemon/instance-memory.ts";
import { nextSeq, learnSeqs } from "../../lib/daemon/testbed-memory.ts";

const unauthorised = { ok: false, refusal: "unauthorised", status: 401, message: "no" };
const says = (it: Stage, text: string): number => it.said.filter((line) => line.includes(text)).length;

function openRunning(over: Said = {}): Stage {
  const it = openStage({
    rows: [instanceOf({ isOnline: true, isFlushed: true, wentAt: at(1_000_000), ...over })],
  });
  it.workers.set("worker-a", workerOf({ online: true }));
  it.agents.set("a_7", "alive");
  return it;
}

describe("a server that does not answer", () => {
  test("is logged once, and once more when it answers, however many calls fail", async () => {
    await using it = openRunning();
    await it.run(5_000);
    it.fate = (call) => (/^(list|ping|lease)/.test(call) ? refusal(503) : undefined);
    const before = it.count(/^(list|ping|lease)/);
    await it.run(120_000);
    expect(says(it, "does not answer")).toBe(1);
    expect(says(it, "answers again")).toBe(0);
    // 1, 2, 4, 8, 16 and 30 s.
    expect(it.count(/^(list|ping|lease)/) - before).toBeWithin(5, 20);
    it.fate = () => undefined;
    await it.run(40_000);
    expect([says(it, "does not answer"), says(it, "answers again")]).toEqual([1, 1]);
    it.fate = (call) => (/^(list|ping|lease)/.test(call) ? refusal(503) : undefined);
    await it.run(20_000);
    expect(says(it, "does not answer")).toBe(2);
    expect(it.instance()?.phase).toBe("running");
    expect(it.count(/^(stop|delete)/)).toBe(0);
  });

  test("is not one that fails a single call: that call is tried again, and a list says more", async () => {
    await using it = openStage();
    it.queue.push("job-1");
    it.fate = (call) =>
      call.startsWith("associate") && it.count(/^associate/) < 4 ? refusal(503) : undefined;
    await it.runUntil(() => it.instance()?.phase === "running");
    expect(it.count(/^associate/)).toBe(4);
    expect(says(it, "does not answer")).toBe(0);
  });

  test("keeps no agent from being looked at", async () => {
    await using it = openRunning();
    await it.run(5_000);
    it.fate = (call) => (/^(list|ping|lease)/.test(call) ? refusal(503) : undefined);
    const looks = it.count(/^look/);
    await it.run(100_000);
    expect(it.count(/^look/)).toBeGreaterThan(looks + 1);
  });
});

test("an action that fails is tried again after a growing while, logged once, and once more when it is right", async () => {
  await using it = openRunning();
  await it.run(5_000);
  it.agents.set("a_7", "done");
  it.fate = (call) => (call.startsWith("stop") ? { kind: "unkillable", reason: "it is in D" } : undefined);
  await it.runUntil(() => it.count(/^stop/) > 0);
  await it.run(120_000);
  expect(it.count(/^stop/)).toBeWithin(6, 10);
  expect(says(it, "it is in D")).toBe(1);
  it.fate = () => undefined;
  await it.runUntil(() => it.instance() === undefined);
  expect(says(it, "stop: recovered")).toBe(1);
});

describe("a call that is answered 401", () => {
  test("is not a bad token while a ping is answered", async () => {
    await using it = openStage();
    it.queue.push("job-1");
    it.fate = (call) => (call === "lease" && it.count(/^lease/) < 4 ? unauthorised : undefined);
    await it.runUntil(() => it.count(/^lease/) >= 4);
    expect(it.factory.known.server.isTokenRefused).toBe(false);
    expect(says(it, "refuses the factory's token")).toBe(0);
    await it.runUntil(() => it.instance()?.phase === "running");
  });

  test("and a ping that is, too, are a bad token: no lease until it is good again, agents go on", async () => {
    await using it = openRunning();
    it.fate = (call) => (/^(list|ping|lease)/.test(call) ? unauthorised : undefined);
    await it.run(120_000);
    expect(says(it, "refuses the factory's token")).toBe(1);
    expect(it.count(/^(lease|stop|delete)/)).toBe(0);
    it.fate = () => undefined;
    await it.run(60_000);
    expect(says(it, "takes the factory's token again")).toBe(1);
  });
});

test("a lease that is answered 401 is followed by a ping, which shows at once whether the token is bad", async () => {
  await using it = openStage();
  await it.runUntil(() => it.count(/^lease/) > 1);
  it.fate = (call) => (/^(list|ping|lease)/.test(call) ? unauthorised : undefined);
  await it.run(5_000);
  expect(says(it, "refuses the factory's token")).toBe(1);
  const leases = it.count(/^lease/);
  await it.run(60_000);
  expect(it.count(/^lease/)).toBe(leases);
});

describe("a lease", () => {
  test("for a target that was not asked for is not used, and the next is asked for at the poll", async () => {
    await using it = openStage();
    it.fate = (call) =>
      call === "lease" ? { ok: true, value: { job: "job-1", target: sidecar } } : undefined;
    await it.runUntil(() => it.count(/^lease/) > 0);
    await it.run(10_000);
    expect(it.count(/^lease/)).toBeWithin(8, 13);
    expect(says(it, "that was not asked for")).toBeGreaterThan(0);
  });
});

describe("a worker that a list shows online", () => {
  test("is remembered: an agent that drops out later did reach the server", async () => {
    await using it = openRunning({ isOnline: false, startTimeoutMs: 10_000 });
    await it.run(1_000);
    expect(it.store.open()[0]?.isOnline).toBe(true);
    it.workers.set("worker-a", workerOf({ online: false }));
    await it.run(60_000);
    expect(it.instance()?.phase).toBe("running");
  });
});

describe("a hint", () => {
  test("that comes while a look is under way is not lost", async () => {
    const instance = instanceOf();
    await using it = openStage({ rows: [instance] });
    setView(it.factory, instance, "alive");
    await it.clock.advance(10);
    it.agents.set("a_7", "alive");
    it.fate = (call) => (call.startsWith("look") ? it.clock.sleep(100) : undefined);
    const looked = look(it.factory, "", [instance]).then((found) => takeIn(it.factory, found));
    await it.clock.advance(10);
    hintAt(it.factory, instance);
    await it.clock.advance(200);
    await looked;
    expect(it.factory.known.instances.get("a/7")?.look).toMatchObject({ view: "alive", isStale: true });
  });
});

describe("what a read says of a worker", () => {
  test("is newer than the list: a hold, a deletion", async () => {
    await using it = openRunning();
    await it.run(2_000);
    it.daemon.stop();
    for (const worker of [workerOf({ hold: true }), null]) {
      it.fate = (call) => (call.startsWith("read") ? { ok: true, value: worker } : undefined);
      const ended = apply(it.factory, { kind: "end", instance: instanceOf(), end: { cause: "job done" } });
      await it.clock.advance(10);
      await ended;
      expect(it.factory.known.server.list?.workers.get("worker-a") ?? null).toEqual(worker);
    }
  });

  test("of one that was deleted for good is not asked for again", async () => {
    await using it = openStage();
    it.workers.set("worker-x", workerOf({ id: "worker-x", private: null }));
    await it.runUntil(() => it.count(/^delete/) > 0);
    await it.run(5_000);
    expect(it.count(/^read worker-x/)).toBe(1);
  });
});

test("a worker of no instance that an instance got while it was read is not touched", async () => {
  await using it = openStage({ rows: [instanceOf({ phase: "created", worker: "worker-a" })] });
  const worker = workerOf({ private: null });
  it.workers.set("worker-a", worker);
  const deleted = deleteStranger(it.factory, worker);
  await it.clock.advance(10);
  expect((await deleted).kind).toBe("done");
  expect(it.calls).toEqual(["read worker-a"]);
});

describe("an end", () => {
  test.each([
    ["of an agent that reached the server and took too long is not a strike", true, 0],
    ["of an agent that never reached the server in time is a strike", false, 1],
  ])("%s", async (_, isOnline, strikes) => {
    const limit = isOnline ? { jobTimeoutMs: 5_000 } : { startTimeoutMs: 5_000 };
    await using it = openRunning({ isOnline, ...limit });
    it.workers.set("worker-a", workerOf({ online: isOnline }));
    await it.runUntil(() => it.instance() === undefined);
    expect(it.store.health().size).toBe(strikes);
    expect(it.count(/^append worker-a .*ends this job: .*timeout/)).toBe(1);
  });

  test("of an agent that reached the server and died is a strike", async () => {
    await using it = openRunning();
    await it.run(2_000);
    it.agents.set("a_7", "dead");
    await it.runUntil(() => it.instance() === undefined);
    expect(it.store.health().get("a")?.strikes).toBe(1);
  });

  test("whose worker is gone has no owner to inform", async () => {
    await using it = openRunning();
    await it.run(2_000);
    it.agents.set("a_7", "dead");
    it.fate = (call) => {
      if (call.startsWith("read")) return { ok: true, value: null };
      return call.startsWith("append") ? refusal(500) : undefined;
    };
    await it.runUntil(() => it.instance() === undefined);
    expect(it.count(/^append/)).toBe(0);
  });
});

describe("advance()", () => {
  test("starts from the latest record: what a list noted meanwhile stays", async () => {
    await using it = openRunning({ isOnline: false });
    const began = it.instance() ?? instanceOf();
    advance(it.factory, began, { isOnline: true });
    advance(it.factory, began, { isFlushed: true });
    expect(it.instance()).toMatchObject({ isOnline: true, isFlushed: true });
    expect(it.store.open()[0]).toMatchObject({ isOnline: true, isFlushed: true });
  });

  test("forgets all of an instance at its end, and nothing of another", async () => {
    await using it = openRunning({ phase: "stopped" });
    const { known } = it.factory;
    remember(known, instanceOf({ testbed: "b" })).resumed = 2;
    for (const name of ["a/7", "b/7"]) known.server.recordedMs.set(name, 1);
    const ended = it.instance();
    if (ended !== undefined) advance(it.factory, ended, { phase: "destroyed", endedMs: 1 });
    expect([...known.instances].map(([name, { resumed }]) => [name, resumed])).toEqual([["b/7", 2]]);
    replaceList(known.server, [], 2, openInstances(known));
    expect([...known.server.recordedMs.keys()]).toEqual(["b/7"]);
  });
});

describe("the next seq", () => {
  test("is beyond the rows, the work directories and the server's workers, also those that ended", async () => {
    await using it = openStage({ rows: [instanceOf({ seq: 5, phase: "destroyed" })] });
    expect(nextSeq(it.factory, "a")).toBe(6);
    learnSeqs(it.factory, ["a/30", "a/9", "b/99", null, "odd"]);
    expect(nextSeq(it.factory, "a")).toBe(31);
    expect(nextSeq(it.factory, "b")).toBe(100);
    expect(nextSeq(it.factory, "c")).toBe(1);
  });

  test("of the first job after a start is one more than the server's workers and the directories have", async () => {
    for (const [names, listed] of [
      [["a_41"], 20],
      [["a_20"], 41],
    ] as const) {
      await using it = openStage();
      Object.assign(it.factory.files, { list: () => Promise.resolve(names) });
      it.workers.set("old", workerOf({ id: "old", private: `a/${listed}`, target: gimlet }));
      it.queue.push("job-1");
      await it.runUntil(() => it.instance() !== undefined);
      expect(it.instance()?.seq).toBe(42);
    }
  });
});
