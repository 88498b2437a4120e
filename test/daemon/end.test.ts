/** From a reason to end an instance to a free testbed: what is read first, what is proved, and what a hold stops. */
import { describe, expect, test } from "bun:test";
import { deleteStranger } from "../../lib/daemon/server-wide.ts";
import { openStage, refusal, type Stage } from "./stage.ts";
import { at, configOf, instanceOf, testbedOf, workerOf, type Said } from "../policy/scenes.ts";
import { remember } from "../../lib/daemon/instance-memory.ts";

const ends = (it: Stage): string[] => it.calls.filter((call) => /^(append|stop|tidy|delete)/.test(call));
const hang = (): Promise<never> => new Promise(() => undefined);

function openRunning(over: Said = {}): Stage {
  const it = openStage({ rows: [instanceOf({ isOnline: true, isFlushed: true, ...over })] });
  it.workers.set("worker-a", workerOf({ online: true }));
  it.agents.set("a_7", "alive");
  return it;
}

function hold(it: Stage, is = true): undefined {
  const worker = it.workers.get("worker-a");
  if (worker !== undefined) worker.hold = is;
}

describe("a hold", () => {
  test.each([
    ["the end is decided", /^read/, 1, []],
    ["the agent is stopped", /^read/, 2, []],
    ["it is tidied up", /^tidy/, 1, ["stop a_7", "tidy a_7"]],
    ["the worker is deleted", /^read/, 4, ["stop a_7", "tidy a_7"]],
  ])("that comes just as %s keeps the worker, until it is released", async (_, pattern, nth, done) => {
    await using it = openRunning();
    await it.runUntil(() => it.count(/^look/) > 0);
    it.fate = (call) => (pattern.test(call) && it.count(pattern) === nth ? hold(it) : undefined);
    it.agents.set("a_7", "done");
    await it.runUntil(() => it.count(pattern) >= nth);
    await it.run(30_000);
    expect(ends(it)).toEqual(done);
    expect(it.instance()).toBeDefined();
    hold(it, false);
    await it.runUntil(() => it.instance() === undefined);
    expect(it.count(/^delete worker-a/)).toBe(1);
  });

  test("that a list shows while the agent is being stopped is not forgotten when it has stopped", async () => {
    await using it = openRunning();
    await it.runUntil(() => it.count(/^look/) > 0);
    it.fate = async (call) => {
      if (!call.startsWith("stop")) return;
      hold(it);
      const lists = it.count(/^list/);
      while (it.count(/^list/) < lists + 2) await it.clock.sleep(100);
    };
    it.agents.set("a_7", "done");
    await it.runUntil(() => it.instance()?.phase === "stopped");
    await it.run(1_000);
    // Before the end was decided, and before the agent was stopped.
    expect(it.count(/^read/)).toBe(2);
  });

  test("of a worker of no instance that came after the list keeps it", async () => {
    await using it = openStage();
    it.workers.set("worker-a", workerOf({ private: null }));
    it.fate = (call) => (call.startsWith("read") ? hold(it) : undefined);
    await it.runUntil(() => it.count(/^read/) > 0);
    await it.run(30_000);
    expect(ends(it)).toEqual([]);
  });
});

test("what keeps an instance on another host from its end is looked at, and shown, when it is found", async () => {
  const keys = { port: null, key: null, hostKey: null, elevation: null };
  const ssh = { host: "bench-1", user: "lab", uid: 1, ...keys };
  const place = { ...instanceOf().place, way: "ssh", ssh } as const;
  await using it = openRunning({ place });
  await it.runUntil(() => it.count(/^look/) > 0);
  const reason = "bench-1 is not the machine that";
  it.fate = (call) => {
    if (call.startsWith("look")) return [{ state: "cannot tell", reason, output: null }];
    return call.startsWith("stop") ? { kind: "cannot tell", reason } : undefined;
  };
  const worker = it.workers.get("worker-a");
  if (worker !== undefined) worker.recycle = true;
  await it.runUntil(() => it.count(/^stop/) > 0);
  await it.run(2_000);
  expect(it.store.troubles().get("a")?.reason).toContain(reason);
});

test("a cleared instance leaves the worker of another one as the list has it", async () => {
  await using it = openStage({ rows: [instanceOf({ phase: "stopped", isCleared: true })] });
  it.workers.set("worker-a", workerOf({ private: "b/1", online: true }));
  await it.runUntil(() => it.instance() === undefined);
  expect(it.count(/^delete/)).toBe(0);
  expect(it.factory.known.server.list?.workers.has("worker-a")).toBe(true);
});

test("a worker of no instance that was associated after the list is not deleted", async () => {
  await using it = openStage();
  const worker = workerOf({ private: null });
  it.workers.set("worker-a", worker);
  it.fate = (call) => {
    if (call.startsWith("read")) worker.private = "x/1";
    return undefined;
  };
  await it.runUntil(() => it.count(/^read/) > 0);
  await it.run(30_000);
  expect(ends(it)).toEqual([]);
});

test.each(["read", "append"])(
  "a worker that an instance took during the %s is not deleted",
  async (during) => {
    await using it = openStage();
    const stranger = workerOf({ private: null });
    it.workers.set("worker-a", stranger);
    it.fate = (call) => {
      if (call.startsWith(during)) remember(it.factory.known, instanceOf());
      return undefined;
    };
    const deleting = deleteStranger(it.factory, stranger);
    await it.clock.advance(10);
    expect(await deleting).toEqual({ kind: "done" });
    expect(it.count(/^delete/)).toBe(0);
  },
);

test("a worker of no instance is deleted after its job's owner could read why", async () => {
  await using it = openStage();
  it.workers.set("worker-a", workerOf({ private: null }));
  it.fate = (call) => (call.startsWith("append") && it.count(/^append/) < 3 ? refusal(500) : undefined);
  await it.runUntil(() => it.count(/^delete/) > 0);
  expect(it.count(/^append worker-a .*knows of no instance/)).toBe(3);
});

describe("a reason that a list gave", () => {
  test("does not hold where the worker itself says otherwise: gone, recycled, never online", async () => {
    const cases = [
      ["list", { ok: true, value: [] }, {}],
      ["list", { ok: true, value: [workerOf({ online: true, recycle: true })] }, {}],
      [
        "list",
        { ok: true, value: [workerOf()] },
        { isOnline: false, startTimeoutMs: 1_000, wentAt: at(900_000) },
      ],
    ] as const;
    for (const [call, answer, over] of cases) {
      await using it = openRunning(over);
      it.fate = (each) => (each === call ? answer : undefined);
      await it.runUntil(() => it.count(/^read/) > 0);
      await it.run(20_000);
      expect([answer.value, it.instance()?.phase, ...ends(it)]).toEqual([answer.value, "running"]);
    }
  });
});

describe("an end", () => {
  test("that is the lab's fault is in the job's output before anything is stopped", async () => {
    await using it = openRunning();
    it.fate = (call) => (call.startsWith("append") && it.count(/^append/) < 3 ? refusal(500) : undefined);
    await it.runUntil(() => it.count(/^look/) > 0);
    it.agents.set("a_7", "dead");
    await it.runUntil(() => it.instance() === undefined);
    expect(ends(it).map((call) => call.replace(/ .*/s, ""))).toEqual([
      "append",
      "append",
      "append",
      "stop",
      "tidy",
      "delete",
    ]);
    expect(it.count(/^append .*the agent was killed/)).toBe(3);
  });

  test.each([
    ["cannot tell", { kind: "cannot tell", reason: "no answer" }],
    ["unkillable", { kind: "unkillable", reason: "in D" }],
  ])("deletes no worker and frees no testbed while the agent's end is not proved: %s", async (_, answer) => {
    await using it = openRunning();
    it.queue.push("job-1");
    await it.runUntil(() => it.count(/^look/) > 0);
    it.agents.set("a_7", "done");
    it.fate = (call) => (call.startsWith("stop") ? answer : undefined);
    await it.runUntil(() => it.count(/^stop/) > 2);
    expect(it.count(/^(tidy|delete|lease)/)).toBe(0);
    expect(it.instance()?.phase).toBe("destroying");
  });

  test.each([
    ["tidied", /^tidy/, { kind: "refused", reason: "read-only" }],
    ["deleted", /^delete/, refusal(500)],
  ])("frees no testbed before it is %s", async (_, pattern, answer) => {
    await using it = openRunning();
    it.queue.push("job-1");
    await it.runUntil(() => it.count(/^look/) > 0);
    it.agents.set("a_7", "done");
    it.fate = (call) => (pattern.test(call) ? answer : undefined);
    await it.runUntil(() => it.count(pattern) > 2);
    expect(it.count(/^lease/)).toBe(0);
    expect(it.instance()?.phase).toBe("stopped");
    it.fate = () => undefined;
    await it.runUntil(() => it.count(/^create job-1/) > 0);
  });

  test("asks for the next job at once, whenever the poll is due", async () => {
    await using it = openRunning();
    await it.runUntil(() => it.count(/^look/) > 0);
    it.factory.known.server.leaseDueMs = Number.MAX_SAFE_INTEGER;
    it.agents.set("a_7", "done");
    await it.runUntil(() => it.instance() === undefined);
    await it.run(100);
    expect(it.count(/^lease/)).toBeGreaterThan(0);
  });

  test("of one testbed waits for no other one's", async () => {
    const names = ["a", "b"];
    await using it = openStage({
      config: configOf(names.map((name) => testbedOf({ name }))),
      rows: names.map((testbed) =>
        instanceOf({
          testbed,
          phase: "destroying",
          place: { way: "local", directory: `/w/${testbed}_7`, agent: "external" },
        }),
      ),
    });
    for (const name of names) {
      it.workers.set(
        `worker-${name}`,
        workerOf({ id: `worker-${name}`, private: `${name}/7`, online: true }),
      );
    }
    it.fate = (call) => (call === "stop a_7" ? hang() : undefined);
    await it.runUntil(() => it.instance("b") === undefined);
    expect(it.instance("a")?.phase).toBe("destroying");
  });
});

describe("an instance without a worker", () => {
  test("frees no testbed while its minder is not proved gone", async () => {
    const row = instanceOf({ phase: "preparing", job: "job-1", target: "another", createSentAt: null });
    await using it = openStage({ rows: [row] });
    it.fate = (call) => (call.startsWith("stop") ? { kind: "unkillable", reason: "in D" } : undefined);
    await it.runUntil(() => it.count(/^stop/) > 2);
    expect(it.instance()?.phase).toBe("preparing");
    expect(it.count(/^lease/)).toBe(0);
  });
});

test("a testbed whose lock another factory holds takes no job", async () => {
  await using it = openStage();
  it.queue.push("job-1");
  it.locks.set("a", "ffffffffffffffffffffffffffffffff");
  await it.runUntil(() => it.count(/^locks/) > 2);
  expect(it.count(/^lease/)).toBe(0);
  it.locks.clear();
  await it.runUntil(() => it.instance()?.phase === "running");
});

test("a lock of an instance of ours is not another factory's", async () => {
  const row = instanceOf({ isOnline: true });
  await using it = openStage({ config: configOf([testbedOf(), testbedOf({ name: "b" })]), rows: [row] });
  it.locks.set("a", row.cookie);
  await it.runUntil(() => it.count(/^locks/) > 2);
  expect([...it.factory.known.testbeds.values()].every(({ elsewhere }) => elsewhere === null)).toBe(true);
});

test("a hold that all new workers are born with stops binding, until one is not", async () => {
  await using it = openStage();
  it.queue.push("job-1", "job-2", "job-3");
  const createds: string[] = [];
  it.fate = (call) => {
    if (!call.startsWith("create")) return undefined;
    createds.push(call);
    const id = `worker-${createds.length}`;
    const worker = workerOf({ id, private: null, hold: createds.length === 1 });
    it.workers.set(id, worker);
    return { ok: true, value: { ...worker } };
  };
  for (let number = 1; number <= 3; number += 1) {
    await it.runUntil(() => it.instance()?.seq === number && it.instance()?.worker !== null);
    for (const worker of it.workers.values()) worker.hold = false;
    await it.runUntil(() => it.instance()?.phase === "running");
    it.agents.set(`a_${number}`, "done");
    await it.runUntil(() => it.instance()?.seq !== number);
  }
  expect(createds).toEqual(["create job-1", "create unbound", "create job-3"]);
});
