/** What a start, and the first look at a host, learn from directories and locks that no row tells of. */
import { expect, test } from "bun:test";
import { factoryMark } from "../lib/daemon/recover.ts";
import { openStage, type Stage, type StageOptions } from "./daemon-stage.ts";
import { at, configOf, gimlet, instanceOf, testbedOf, workerOf } from "./plan-scenes.ts";

const config = configOf([testbedOf()]);
const far = configOf([testbedOf({ host: "bench-1" })]);

/** What an instance's directory says of it. */
function intent(over: object = {}): string {
  const { place, leasedAt, startTimeoutMs } = instanceOf();
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
  it.agents.set("a_41", state);
  it.workers.set("worker-a", workerOf());
  return it;
}

const directory = "/work/a_41";

test.each(["alive", "cannot tell"] as const)(
  "an agent that is %s and without a row holds its testbed",
  async (state) => {
    await using it = open([{ directory, intentJson: intent(), worker: "worker-a" }], state);
    await it.run(30_000);
    expect(it.store.open()).toMatchObject([{ testbed: "a", seq: 41, worker: "worker-a" }]);
    expect(it.count(/^(arm|create)/)).toBe(0);
  },
);

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

test("a directory is no news of an instance that has ended by the database, or is younger than its last", async () => {
  const row = instanceOf({ seq: 42, phase: "running", isFlushed: true, wentAt: at(1, "boot-1") });
  await using it = open([{ directory, intentJson: intent(), worker: "worker-b" }], "alive", { rows: [row] });
  it.agents.set("a_42", "alive");
  await it.run(10_000);
  expect(it.store.open().map(({ seq }) => seq)).toEqual([42]);
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

test("a far host whose locks cannot be read takes no job", async () => {
  await using it = open([], "alive", { config: far });
  it.agents.delete("a_41");
  it.fate = (call) => (call === "locks" ? { ok: false, reason: "no answer" } : undefined);
  await it.run(60_000);
  expect(it.count(/^locks/)).toBeGreaterThan(0);
  expect(it.count(/^(arm|create)/)).toBe(0);
});
