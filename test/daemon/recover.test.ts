/** What a start, and the first look at a host, learn from directories and locks without a row. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { factoryMark } from "../../lib/daemon/recover.ts";
import type { Minder } from "../../lib/hosts/minder/minder.ts";
import { openStage, type Stage, type StageOptions } from "./stage.ts";
import { at, configOf, gimlet, instanceOf, testbedOf, workerOf } from "../policy/scenes.ts";

const config = configOf([testbedOf()]);
const far = configOf([testbedOf({ host: "bench-1" })]);

const directory = "/work/a_41";

/** What an instance's directory says of it. */
function intent(over: object = {}): string {
  const { leasedAt, startTimeoutMs } = instanceOf();
  const place = { way: "local", directory, agent: "external" };
  const limits = { startTimeoutMs, jobTimeoutMs: null, silenceTimeoutMs: null };
  const what = { testbed: "a", seq: 41, target: gimlet, job: "job-a", isBound: true, cookie: "c".repeat(32) };
  return JSON.stringify({
    factory: factoryMark(config),
    ...what,
    place,
    leasedAt,
    ...limits,
    begunMs: 1,
    ...over,
  });
}

/** A job waits, and this is in the work directory. */
function open(
  recalled: Stage["recalled"],
  state: "alive" | "cannot tell" | "exited" = "alive",
  over: StageOptions = {},
): Stage {
  const it = openStage({ config, ...over });
  it.recalled.push(...recalled);
  it.queue.push("job-1");
  for (const name of ["a_40", "a_41"]) it.agents.set(name, state);
  it.workers.set("worker-a", workerOf());
  return it;
}

test.each(["alive", "cannot tell"] as const)(
  "an agent that is %s and without a row holds its testbed",
  async (state) => {
    await using it = open([{ directory, intentJson: intent(), worker: "worker-a" }], state);
    await it.run(30_000);
    expect(it.store.open()).toMatchObject([{ testbed: "a", seq: 41, worker: "worker-a" }]);
    expect(it.count(/^(arm|create)/)).toBe(0);
  },
);

test.each([
  ["whose agent's state is unknown", { process: "cannot tell", minder: "dead" }],
  ["whose minder's state is unknown", { process: "dead", minder: "cannot tell" }],
  ["that the look left out", null],
])("one without a row %s holds its testbed", async (_, life) => {
  await using it = open([{ directory, intentJson: intent(), worker: "worker-a" }]);
  const minder = it.factory.hosts.here.minder;
  const look: Minder["look"] = async (paths) => {
    const views = await minder.look(paths);
    return life === null ? [] : (views.map((view) => ({ ...view, ...life })) as typeof views);
  };
  it.factory.hosts.here.minder = { ...minder, look };
  await it.runUntil(() => it.count(/^look a_41/) > 0);
  await it.run(10);
  expect(it.store.open()).toMatchObject([{ seq: 41 }]);
});

test("one without a row whose agent is proved dead holds nothing, and its number is not used again", async () => {
  await using it = open([{ directory, intentJson: intent(), worker: "worker-a" }], "exited");
  Object.assign(it.factory.files, { list: () => Promise.resolve(["a_41", "a_9", "b_50", ".machines"]) });
  await it.runUntil(() => it.count(/^go/) > 0);
  expect(it.instance()).toMatchObject({ seq: 42, job: "job-1" });
});

test.each([
  ["another factory's", { factory: "0123456789abcdef" }, directory],
  ["another directory's", {}, "/work/a_40"],
  ["not whole", { cookie: 7 }, directory],
])("an intent that is %s makes no row", async (_, over, path) => {
  await using it = open([{ directory: path, intentJson: intent(over), worker: "worker-a" }]);
  await it.runUntil(() => it.count(/^go/) > 0);
  expect(it.store.open()).toMatchObject([{ job: "job-1" }]);
});

test("a directory is not news of an instance that has ended by the database, or is younger than its last", async () => {
  const row = instanceOf({ seq: 42, phase: "running", isFlushed: true, wentAt: at(1, "boot-1") });
  await using it = open([{ directory, intentJson: intent(), worker: "worker-b" }], "alive", { rows: [row] });
  it.agents.set("a_42", "alive");
  await it.run(10_000);
  expect(it.store.open().map(({ seq }) => seq)).toEqual([42]);
});

test("a directory older than its testbed's last row is not news: that one could begin only when it was gone", async () => {
  const rows = [instanceOf({ seq: 42, phase: "destroyed" })];
  await using it = open([{ directory, intentJson: intent(), worker: "worker-a" }], "alive", { rows });
  await it.runUntil(() => it.count(/^go/) > 0);
  expect(it.store.open()).toMatchObject([{ seq: 43, job: "job-1" }]);
});

test("one that never had a worker is taken for a request that may be on its way", async () => {
  await using it = open([{ directory, intentJson: intent(), worker: null }]);
  it.fate = (call) => (call.startsWith("renew") ? { ok: true, value: false } : undefined);
  await it.runUntil(() => it.store.open().length > 0);
  expect(it.store.open()).toMatchObject([{ seq: 41, phase: "creating", worker: null }]);
});

test("nothing is begun before the work directory's instances are known", async () => {
  await using it = open([]);
  it.agents.delete("a_41");
  it.fate = (call) => (call === "recall" ? { ok: false, reason: "no answer" } : undefined);
  await it.run(60_000);
  expect(it.count(/^(lease|arm|create)/)).toBe(0);
  it.fate = () => undefined;
  await it.runUntil(() => it.count(/^go/) > 0);
});

test("a start waits for the work directory's instances also while nothing can be committed", async () => {
  await using it = open([]);
  it.agents.delete("a_41");
  it.fate = (call) => (call === "recall" ? { ok: false, reason: "the disk is full" } : undefined);
  const other = new Database(join(it.directory, "data.sqlite3"));
  other.run("BEGIN IMMEDIATE");
  await it.run(60_000);
  expect(it.count(/^recall/)).toBeGreaterThan(5);
  other.run("ROLLBACK");
  other.close();
  it.fate = () => undefined;
  await it.runUntil(() => it.count(/^go/) > 0);
});

test("a far host whose directories cannot be read gets no job", async () => {
  await using it = open([], "alive", { config: far });
  let asked = 0;
  // The first is this host's own.
  it.fate = (call) => (call === "recall" && ++asked > 1 ? { ok: false, reason: "no answer" } : undefined);
  await it.run(60_000);
  expect(asked).toBeGreaterThan(1);
  expect(it.count(/^(lease|arm|create)/)).toBe(0);
});

test("a far host's agent without a row holds its testbed", async () => {
  await using it = open([], "alive", { config: far });
  const found = { directory, intentJson: intent(), worker: "worker-a" };
  let asked = 0;
  it.fate = (call) => (call === "recall" && ++asked > 1 ? { ok: true, instances: [found] } : undefined);
  await it.run(60_000);
  expect(it.store.open()).toMatchObject([{ seq: 41, worker: "worker-a" }]);
  expect(it.count(/^(arm|create)/)).toBe(0);
});

test("a far host's number of an ended instance is not used again", async () => {
  await using it = open([], "exited", { config: far });
  const found = { directory, intentJson: intent(), worker: "worker-a" };
  let asked = 0;
  it.fate = (call) => (call === "recall" && ++asked > 1 ? { ok: true, instances: [found] } : undefined);
  await it.runUntil(() => it.count(/^go/) > 0);
  expect(it.instance()?.seq).toBe(42);
});

test("a far board whose lock another factory holds takes no job until it is let go", async () => {
  await using it = open([], "alive", { config: far });
  it.agents.delete("a_41");
  it.locks.set("a", "somebody's");
  await it.run(60_000);
  expect(it.count(/^(arm|create)/)).toBe(0);
  it.locks.clear();
  await it.runUntil(() => it.count(/^go/) > 0);
});

test("another board's lock on the same far host keeps no job away", async () => {
  await using it = open([], "alive", { config: far });
  it.agents.delete("a_41");
  it.locks.set("b", "somebody's");
  await it.runUntil(() => it.count(/^go/) > 0);
});

/** The far host's own minder answers so, and this host's as usual. */
function openFar(over: Partial<Minder>): Stage {
  const it = open([], "alive", { config: far });
  it.agents.delete("a_41");
  const { here } = it.factory.hosts;
  const host = { ...here, minder: { ...here.minder, ...over } };
  Object.assign(it.factory.hosts, { reach: () => Promise.resolve({ ok: true, host }) });
  return it;
}

const lock = { testbed: "a", uid: 0, cookie: "x", instance: "a/9", directory: "/elsewhere" };
const unknown = { ok: false, reason: "no answer" } as const;

test.each<[string, Partial<Minder>]>([
  ["whose locks cannot be read", { locks: () => Promise.resolve(unknown) }],
  ["that does not say what it can", { probe: () => Promise.resolve(unknown) }],
  [
    "whose board's lock has an unknown owner",
    { locks: () => Promise.resolve({ ok: true, locks: [{ ...lock, owner: "cannot tell" }] }) },
  ],
])("a far host %s gets no job", async (_, over) => {
  await using it = openFar(over);
  await it.run(60_000);
  expect(it.count(/^(lease|arm|create)/)).toBe(0);
});

test("a far board whose lock's owner is proved dead takes a job", async () => {
  await using it = openFar({
    locks: () => Promise.resolve({ ok: true, locks: [{ ...lock, owner: "dead" }] }),
  });
  await it.runUntil(() => it.count(/^go/) > 0);
});

test("a host is swept once it has been reached, however long that takes", async () => {
  await using it = openStage({ config: far });
  const { here } = it.factory.hosts;
  const ssh = { host: "bench-1", user: "lab", port: null, key: null, hostKey: null };
  let swept = 0;
  const minder: Minder = {
    ...here.minder,
    kept: () => {
      swept += 1;
      return Promise.resolve({ ok: true, directories: [] });
    },
  };
  const there = { ...ssh, elevation: null, uid: 1 };
  const host = { ...here, minder, workDirectory: "/far", ssh: there };
  it.factory.hosts.reach = () => Promise.resolve({ ok: true, host });
  it.fate = (call) => (call === "locks" ? it.clock.sleep(3_000) : undefined);
  await it.run(20_000);
  expect(swept).toBe(1);
  await it.run(120_000);
  expect(swept).toBe(1);
});
