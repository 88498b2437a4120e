/** Rules of what operators ask that a person notices only when they are broken: what is left alone, and what goes with what. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { type ActAnswer, actSchema, type WantedAct } from "../../lib/control/act.ts";
import { openMemory } from "../../lib/daemon/memory.ts";
import { namedTestbed } from "../../lib/daemon/operator-acts.ts";
import { clearedBy } from "../../lib/daemon/operator-clear.ts";
import { turnIntents } from "../../lib/daemon/operator-intents.ts";
import { recoverTestbed } from "../../lib/daemon/operator-recover.ts";
import { testbedMemory } from "../../lib/daemon/testbed-memory.ts";
import { limits } from "../../lib/policy/times-and-limits.ts";
import type { Health } from "../../lib/words/domain.ts";
import { deadlineIn, type Intent } from "../../lib/words/intent.ts";
import { configOf, instanceOf, openPhases, testbedOf } from "../policy/scenes.ts";
import { openStage, type Stage } from "./stage.ts";

const minuteMs = 60_000;
const twoBeds = { config: configOf([testbedOf(), testbedOf({ name: "b" })]) };
const health: Health = { strikes: 2, retryAt: { bootId: "boot-1", uptimeMs: 9e9 }, reason: "no power" };
const paused: Intent = {
  kind: "paused",
  who: "ann",
  note: "",
  sinceMs: 0,
  until: null,
  isAfterJob: false,
};

async function ask(it: Stage, wanted: WantedAct, who = "ann"): Promise<ActAnswer> {
  const act = actSchema.parse({ testbed: "a", ...wanted });
  const asked = it.daemon.act(act, who, new AbortController().signal);
  await it.run(10);
  return await asked;
}

function failing(it: Stage, of = health): void {
  it.store.setHealth("a", of);
  testbedMemory(it.factory.known, "a").health = of;
}

const acts = ({ store }: Stage): unknown[] =>
  store.journal({ what: ["act"], most: 100 }).map(({ entry }) => entry);

const wants: WantedAct[] = [
  { verb: "pause" },
  { verb: "resume" },
  { verb: "trust" },
  { verb: "recover" },
  { verb: "clear", seqs: [7], because: "it burnt" },
];
test.each(wants)("$verb: an act whose entry the journal does not take has no effect", async (wanted) => {
  const row = instanceOf({ phase: "destroying", worker: "w" });
  await using it = openStage(wanted.verb === "clear" ? { rows: [row] } : {});
  if (wanted.verb === "resume") await ask(it, { verb: "pause" });
  it.fate = (call) => (call.startsWith("stop") ? { kind: "unkillable", reason: "it hangs" } : undefined);
  await it.run(1_000);
  failing(it);
  const state = (): unknown[] => [
    [...it.store.intents()],
    [...it.store.health()],
    it.store.open().map(({ isCleared }) => isCleared),
    testbedMemory(it.factory.known, "a").intent,
    testbedMemory(it.factory.known, "a").health,
  ];
  const before = state();
  const other = new Database(join(it.directory, "data.sqlite3"));
  other.run(
    "CREATE TRIGGER full BEFORE INSERT ON factory_journal WHEN NEW.what = 'act' BEGIN SELECT RAISE(ABORT, 'full'); END",
  );
  expect(await ask(it, wanted)).toMatchObject({ isDone: false });
  expect(state()).toEqual(before);
  other.run("DROP TRIGGER full");
  other.close();
});

test("whoever made a reservation releases it without a word more", async () => {
  await using it = openStage();
  await ask(it, { verb: "reserve" });
  expect((await ask(it, { verb: "release" })).isDone).toBe(true);
  expect(it.store.intents().size).toBe(0);
});

test("trust takes back the factory's own quarantine and leaves a pause as it is", async () => {
  await using it = openStage();
  await ask(it, { verb: "pause" });
  failing(it, { ...health, strikes: 3 });
  expect((await ask(it, { verb: "trust" })).isDone).toBe(true);
  expect(it.store.intents().get("a")).toMatchObject({ kind: "paused" });
  expect(testbedMemory(it.factory.known, "a").intent).toMatchObject({ kind: "paused" });
});

test("resume and release leave the failures of a testbed as they are", async () => {
  await using it = openStage();
  failing(it);
  for (const [wanted, back] of [
    ["pause", "resume"],
    ["reserve", "release"],
  ] as const) {
    await ask(it, { verb: wanted });
    await ask(it, { verb: back });
    await ask(it, { verb: back });
  }
  expect(it.store.health().get("a")).toMatchObject({ strikes: 2 });
  expect(testbedMemory(it.factory.known, "a").health).toMatchObject({ strikes: 2 });
});

test("the journal has the end of what was asked for a time", async () => {
  await using it = openStage();
  await ask(it, { verb: "pause", forMs: 5 * minuteMs });
  const untilMs = it.store.intents().get("a")?.until?.wallMs;
  expect(acts(it)).toMatchObject([{ verb: "pause", untilMs }]);
  expect(untilMs).toBeGreaterThan(0);
});

test("recover commits that the failures are forgotten, and lets a board be recovered by itself again", async () => {
  await using it = openStage();
  failing(it);
  const trouble = { sinceMs: 1, reason: "its board failed", recoveries: 3 };
  testbedMemory(it.factory.known, "a").trouble = trouble;
  it.store.setTrouble("a", trouble);
  await recoverTestbed(it.factory, "a", { who: "ann", note: "" });
  const after = testbedMemory(openMemory(it.store, it.clock), "a");
  expect([after.health, after.trouble?.recoveries]).toEqual([null, 0]);
  expect(testbedMemory(it.factory.known, "a").trouble?.recoveries).toBe(0);
});

test("drain is in the journal, and ends the factory when nothing runs", async () => {
  await using it = openStage();
  await it.run(1_000);
  expect(await ask(it, { verb: "drain", testbed: undefined })).toMatchObject({ isDone: true });
  expect(acts(it)).toMatchObject([{ verb: "drain", who: "ann", testbed: null }]);
  await it.run(10_000);
  expect(await it.ended()).toEqual({ held: [] });
});

test("the job of a self-test goes to its own testbed alone, even where another one is free", async () => {
  await using it = openStage(twoBeds);
  await it.run(5_000);
  const job = "01HGYSTRYRBS0DG7J6E22ZS3M7";
  await ask(it, { verb: "selftest", testbed: "b", job });
  expect(acts(it)).toMatchObject([{ verb: "selftest", testbed: "b", who: "ann" }]);
  it.queue.push(job, "job-2");
  await it.runUntil(() => it.instance("a") !== undefined && it.instance("b") !== undefined);
  expect([it.instance("a")?.job, it.instance("b")?.job]).toEqual(["job-2", job]);
});

test("the jobs of self-tests that never come are forgotten, the oldest first", async () => {
  await using it = openStage();
  const jobOf = (index: number): string => `job-${index}`.padEnd(26, "x");
  for (let index = 0; index <= limits.meantJobs; index += 1)
    void it.daemon.act(
      actSchema.parse({ verb: "selftest", testbed: "a", job: jobOf(index) }),
      "ann",
      new AbortController().signal,
    );
  await it.run(10);
  const { meant } = it.factory.known;
  expect([meant.size, meant.has(jobOf(0)), meant.has(jobOf(1))]).toEqual([limits.meantJobs, false, true]);
});

test("a cancellation is in the journal", async () => {
  await using it = openStage();
  await ask(it, { verb: "cancel", note: "wrong image" });
  expect(acts(it)).toMatchObject([{ verb: "cancel", testbed: "a", who: "ann", note: "wrong image" }]);
});

test("a testbed that is not configured is known only while something of it is left", async () => {
  await using it = openStage();
  const { known } = it.factory;
  expect(namedTestbed(it.factory, "b")).toMatchObject({ isDone: false });
  // Something was learnt of it before it was removed.
  testbedMemory(known, "b").seq = 4;
  expect(namedTestbed(it.factory, "b")).toMatchObject({ isDone: false });
  testbedMemory(known, "b").intent = paused;
  expect(namedTestbed(it.factory, "b")).toBe("b");
  await using other = openStage({ rows: [instanceOf({ testbed: "c" })] });
  expect(namedTestbed(other.factory, "c")).toBe("c");
});

test("an act that waits for a step of its testbed is given up after half a minute", async () => {
  await using it = openStage();
  await it.run(5_000);
  it.fate = (call) => (call === "arm a_1" ? new Promise(() => undefined) : undefined);
  it.queue.push("job-1");
  await it.runUntil(() => it.count(/^arm a_1/) > 0);
  let answer: ActAnswer | null = null;
  const act = actSchema.parse({ verb: "clear", testbed: "a", seqs: [1], because: "it burnt" });
  void it.daemon.act(act, "ann", new AbortController().signal).then((given) => (answer = given));
  await it.run(25_000);
  expect(answer).toBeNull();
  await it.run(10_000);
  expect(answer).toMatchObject({ isDone: false });
  expect(acts(it)).toEqual([]);
});

test("a job that cannot be begun on a testbed that is taken is passed on without waiting for its next attempt", async () => {
  await using it = openStage(twoBeds);
  await it.run(5_000);
  it.fate = (call) => (call === "arm a_1" ? { kind: "cannot tell", reason: "it hangs" } : undefined);
  it.queue.push("job-1");
  await it.runUntil(() => it.count(/^arm a_1/) >= 4);
  await ask(it, { verb: "reserve" });
  await it.run(2_000);
  expect(it.instance("b")).toMatchObject({ job: "job-1" });
});

test.each(openPhases)("what waits for a job begins with one that runs or is over: %s", async (phase) => {
  await using it = openStage({ rows: [instanceOf({ phase })] });
  it.store.setIntent("a", { ...paused, isAfterJob: true }, []);
  const later = { ...it.factory, known: openMemory(it.store, it.clock) };
  turnIntents(later);
  turnIntents(later);
  const isBegun = ["running", "destroying", "stopped"].includes(phase);
  expect(it.store.intents().get("a")?.isAfterJob).toBe(!isBegun);
});

test("a pause ends when its time has come, and not a moment before", async () => {
  await using it = openStage();
  const { clock, known, store } = it.factory;
  const now = { bootId: clock.bootId, uptimeMs: clock.uptimeMs() };
  const until = deadlineIn(minuteMs, { now, wallMs: clock.wallMs() });
  testbedMemory(known, "a").intent = { ...paused, until };
  store.setIntent("a", { ...paused, until }, []);
  known.intentsDueMs = Number.NEGATIVE_INFINITY;
  await it.clock.advance(minuteMs - 1);
  turnIntents(it.factory);
  expect(store.intents().size).toBe(1);
  await it.clock.advance(1);
  turnIntents(it.factory);
  expect(store.intents().size).toBe(0);
});

test("an operator's word changes neither why a job ended nor what its owner was to read", () => {
  const decided = instanceOf({
    phase: "destroying",
    endReason: "the job is done",
    endCause: "job done",
    untold: null,
  });
  expect(clearedBy(decided, "it burnt")).toMatchObject({
    isCleared: true,
    phase: "destroying",
    endCause: "job done",
    untold: null,
  });
  expect(clearedBy(instanceOf({ phase: "running" }), "it burnt")).toMatchObject({
    endCause: "cleared",
    untold: expect.stringContaining("it burnt") as string,
  });
});
