/** What operators ask, in the whole daemon with a clock that a test moves. */
import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { type ActAnswer, actSchema, type WantedAct } from "../../lib/control/act.ts";
import { turnIntents } from "../../lib/daemon/operator-intents.ts";
import { type Factory, openMemory } from "../../lib/daemon/memory.ts";
import { recoverTestbed } from "../../lib/daemon/operator-recover.ts";
import { testbedMemory } from "../../lib/daemon/testbed-memory.ts";
import type { Instance } from "../../lib/words/domain.ts";
import { deadlineIn } from "../../lib/words/intent.ts";
import { configOf, instanceOf, testbedOf } from "../policy/scenes.ts";
import { openStage, type Stage } from "./stage.ts";

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const twoBeds = { config: configOf([testbedOf(), testbedOf({ name: "b" })]) };

/** Asks for it, and lets the loop turn. */
async function ask(it: Stage, wanted: WantedAct, who = "ann"): Promise<ActAnswer> {
  const asked = it.daemon.act(
    actSchema.parse({ testbed: "a", ...wanted }),
    who,
    new AbortController().signal,
  );
  await it.run(10);
  return await asked;
}

const entries = ({ store }: Stage): { verb: string; who: string; answer: string }[] =>
  store.journal({ what: ["act"], most: 100 }).flatMap(({ entry }) => (entry.what === "act" ? [entry] : []));
const verbs = (it: Stage): string[] => entries(it).map(({ verb }) => verb);

async function runsJob(it: Stage, job: string): Promise<void> {
  it.queue.push(job);
  await it.runUntil(() => it.instance()?.phase === "running");
}

async function endJob(it: Stage): Promise<void> {
  for (const name of it.agents.keys()) it.agents.set(name, "done");
  await it.runUntil(() => it.instance() === undefined);
}

test("a pause ends by itself, at its time and with an entry, and the next job is taken", async () => {
  await using it = openStage();
  await it.run(5_000);
  expect((await ask(it, { verb: "pause", forMs: 2 * hourMs })).isDone).toBe(true);
  it.queue.push("job-1");
  await it.run(2 * hourMs - 20_000);
  expect([it.instance(), verbs(it)]).toEqual([undefined, ["pause"]]);
  await it.run(30_000);
  expect(it.instance()).toMatchObject({ job: "job-1" });
  expect(entries(it).at(-1)).toMatchObject({
    verb: "pause ended",
    who: "ann",
    answer: "the pause by ann ended; jobs are taken again",
  });
  expect(it.store.intents().size).toBe(0);
});

test("a reservation is announced once, ten minutes before its end, also by the process after a restart", async () => {
  await using it = openStage();
  await ask(it, { verb: "reserve" });
  const { sinceMs = 0, until } = it.store.intents().get("a") ?? {};
  expect(until?.wallMs).toBe(sinceMs + hourMs);
  await it.run(50 * minuteMs - 1_000);
  expect(verbs(it)).toEqual(["reserve"]);
  await it.run(2_000);
  expect(verbs(it)).toEqual(["reserve", "reminder"]);
  expect(it.said.at(-1)).toStartWith("the reservation by ann ends in 10 min, at ");
  const later = { ...it.factory, known: openMemory(it.store, it.clock) };
  turnIntents(later);
  turnIntents(later);
  expect(verbs(it)).toEqual(["reserve", "reminder"]);
  await it.run(11 * minuteMs);
  expect(verbs(it)).toEqual(["reserve", "reminder", "reservation ended"]);
});

test("a short reservation ends without a reminder, and one that is made longer is announced later", async () => {
  await using it = openStage();
  await ask(it, { verb: "reserve", forMs: 10 * minuteMs });
  await it.run(9 * minuteMs);
  expect(verbs(it)).toEqual(["reserve"]);
  await ask(it, { verb: "reserve", forMs: 30 * minuteMs });
  await it.run(19 * minuteMs);
  expect(verbs(it)).toEqual(["reserve", "reserve"]);
  await it.run(2 * minuteMs);
  expect(verbs(it)).toEqual(["reserve", "reserve", "reminder"]);
});

test("a pause that ended while no factory ran is over with the first turn", async () => {
  await using it = openStage();
  const now = { bootId: "boot-0", uptimeMs: 5 };
  const until = deadlineIn(hourMs, { now, wallMs: it.clock.wallMs() - 2 * hourMs });
  const intent = { kind: "paused", who: "ann", note: "", sinceMs: 0, until, isAfterJob: false } as const;
  it.store.setIntent("a", intent, []);
  const known = openMemory(it.store, it.clock);
  turnIntents({ ...it.factory, known });
  expect([it.store.intents().size, verbs(it)]).toEqual([0, ["pause ended"]]);
});

test("a pause after the job lets one more job run, and its time begins with that job's end", async () => {
  await using it = openStage();
  await it.run(5_000);
  const { lines } = await ask(it, { verb: "pause", isAfterJob: true, forMs: hourMs });
  expect(lines).toEqual(["a: paused by ann for 1 h, after its next job"]);
  await it.run(2 * hourMs);
  await runsJob(it, "job-1");
  expect(it.store.intents().get("a")).toMatchObject({ isAfterJob: false, until: null });
  it.queue.push("job-2");
  await endJob(it);
  await it.run(hourMs - minuteMs);
  expect(it.instance()).toBeUndefined();
  await it.run(2 * minuteMs);
  expect(it.instance()).toMatchObject({ job: "job-2" });
});

test("a pause after the job waits on when that job comes to nothing", async () => {
  await using it = openStage(twoBeds);
  await it.run(5_000);
  await ask(it, { verb: "pause", testbed: "b" });
  await ask(it, { verb: "pause", isAfterJob: true });
  it.fate = (call) => (call === "arm a_1" ? { kind: "failed", reason: "no power" } : undefined);
  it.queue.push("job-1");
  await it.runUntil(() => it.count(/^arm a_1/) > 0);
  await it.runUntil(() => it.instance() === undefined);
  await it.run(1_000);
  expect(it.store.intents().get("a")?.isAfterJob).toBe(true);
});

test("F122 a job that is leased and not begun goes to another testbed when an operator takes its own", async () => {
  await using it = openStage(twoBeds);
  await it.run(5_000);
  const armed = Promise.withResolvers<undefined>();
  it.fate = (call) => (call === "arm a_1" ? armed.promise : undefined);
  it.queue.push("job-1");
  await it.runUntil(() => it.count(/^arm a_1/) > 0);
  // It lets this one run.
  const later = await ask(it, { verb: "pause", isAfterJob: true });
  expect(later.lines).toEqual(["a: paused by ann, after the job that it has; job job-1 runs on"]);
  const { lines } = await ask(it, { verb: "reserve", forMs: hourMs });
  expect(lines[0]).toEndWith("job job-1 is not begun here: it goes to another testbed, or back to the queue");
  armed.resolve(undefined);
  await it.runUntil(() => it.instance("b")?.phase === "running");
  expect(it.calls.filter((call) => /^(create|go|stop)/.test(call))).toEqual([
    "stop a_1",
    "create job-1",
    "go b_1",
  ]);
  expect(it.store.latest().find(({ testbed }) => testbed === "a")).toMatchObject({
    phase: "dropped",
    endCause: "withheld",
    endReason: "the testbed is reserved by ann",
  });
  expect(it.store.health().size).toBe(0);
});

test("a job for which no other testbed is there lapses, and a testbed that is given back takes the next one at once", async () => {
  await using it = openStage();
  await it.run(5_000);
  const armed = Promise.withResolvers<undefined>();
  it.fate = (call) => (call === "arm a_1" ? armed.promise : undefined);
  it.queue.push("job-1");
  await it.runUntil(() => it.count(/^arm a_1/) > 0);
  await ask(it, { verb: "pause" });
  armed.resolve(undefined);
  await it.runUntil(() => it.said.some((line) => line.includes("its lease is left to lapse")));
  await it.run(5_000);
  expect(it.count(/^create/)).toBe(0);
  it.queue.push("job-2");
  expect((await ask(it, { verb: "resume" })).lines).toEqual([
    "a: no longer paused by ann",
    "a: it takes jobs",
  ]);
  await it.run(3_000);
  expect(it.instance()).toMatchObject({ job: "job-2" });
});

test("a job whose worker was asked for, and one that runs, are never touched", async () => {
  await using it = openStage();
  await it.run(5_000);
  const made = Promise.withResolvers<undefined>();
  it.fate = (call) => (call.startsWith("create") ? made.promise : undefined);
  it.queue.push("job-1");
  await it.runUntil(() => it.count(/^create/) > 0);
  await ask(it, { verb: "quarantine" });
  made.resolve(undefined);
  await it.runUntil(() => it.instance()?.phase === "running");
  await ask(it, { verb: "reserve" });
  await it.run(2 * minuteMs);
  expect(it.instance()).toMatchObject({ job: "job-1", phase: "running" });
  for (const record of it.factory.known.instances.values()) record.jobName = "flash";
  expect((await ask(it, { verb: "reserve" })).lines[0]).toEndWith('; job "flash" (job-1) runs on');
});

const kinds = ["pause", "reserve", "quarantine"] as const;
test.each(kinds.flatMap((before) => kinds.map((after) => [before, after] as const)))(
  "somebody else's %s meets a %s: a pause gives way to what is no reservation, and a reservation to nothing",
  async (before, after) => {
    await using it = openStage();
    await ask(it, { verb: before }, "ann");
    const isOther = after !== "reserve" && (before === after || before === "pause");
    const answer = await ask(it, { verb: after }, "bob");
    expect(answer.isDone).toBe(isOther);
    const ends = { pause: "resume", reserve: "release", quarantine: "trust" };
    if (!isOther) expect(answer.lines.join()).toMatch(new RegExp(`by ann.*\`${ends[before]} a\` ends that$`));
    // One's own is replaced.
    expect((await ask(it, { verb: after }, isOther ? "bob" : "ann")).isDone).toBe(true);
  },
);

test("what is taken back is only what is there, and somebody else's reservation only if that is wanted", async () => {
  await using it = openStage();
  expect(await ask(it, { verb: "resume" })).toEqual({ isDone: true, lines: ["a is not paused"] });
  await ask(it, { verb: "reserve" });
  const not = await ask(it, { verb: "resume" });
  expect(not.isDone).toBe(false);
  expect(not.lines.join()).toMatch(/^a is not paused, but reserved by ann until .*; `release a` ends that$/);
  expect((await ask(it, { verb: "release" }, "bob")).isDone).toBe(false);
  expect(it.store.intents().size).toBe(1);
  expect((await ask(it, { verb: "release", isForced: true }, "bob")).isDone).toBe(true);
  expect(verbs(it)).toEqual(["reserve", "release"]);
  expect(it.store.intents().size).toBe(0);
});

test("trust ends an operator's quarantine and the factory's own at once", async () => {
  await using it = openStage();
  const health = { strikes: 3, retryAt: { bootId: "boot-1", uptimeMs: 9e9 }, reason: "no power" };
  it.store.setHealth("a", health);
  testbedMemory(it.factory.known, "a").health = health;
  await ask(it, { verb: "quarantine" });
  const answer = await ask(it, { verb: "trust", note: "repaired" });
  expect(answer.lines[0]).toBe("a: no longer quarantined by ann");
  expect([it.store.intents().size, it.store.health().size]).toEqual([0, 0]);
  it.store.setHealth("a", health);
  testbedMemory(it.factory.known, "a").health = health;
  expect((await ask(it, { verb: "trust" })).lines[0]).toBe(
    "a: no longer quarantined by the factory: no power",
  );
  it.queue.push("job-1");
  await it.run(5_000);
  expect(it.instance()).toMatchObject({ job: "job-1" });
});

test("recover looks at a testbed again at once, and forgets its failures", async () => {
  await using it = openStage({ config: configOf([testbedOf({ host: "lab-3" })]) });
  await it.run(5_000);
  it.fate = (call) => (call === "reach a" ? { ok: false, reason: "no route" } : undefined);
  await it.run(5 * minuteMs);
  it.fate = () => undefined;
  const before = it.count(/^reach a/);
  expect((await ask(it, { verb: "recover" })).isDone).toBe(true);
  await it.run(100);
  expect(it.count(/^reach a/)).toBe(before + 1);
});

test("F123 an act that cannot be committed is not done and changes nothing, and the factory runs on", async () => {
  await using it = openStage();
  await it.run(1_000);
  const other = new Database(join(it.directory, "data.sqlite3"));
  other.run("BEGIN IMMEDIATE");
  const answer = await ask(it, { verb: "pause" });
  expect(answer.isDone).toBe(false);
  expect(answer.lines.join()).toStartWith("cannot write the database: ");
  expect(testbedMemory(it.factory.known, "a").intent).toBeNull();
  other.close();
  await runsJob(it, "job-1");
});

test("an end that cannot be committed is tried again, without the loop running hot", async () => {
  await using it = openStage();
  await ask(it, { verb: "pause", forMs: minuteMs });
  const other = new Database(join(it.directory, "data.sqlite3"));
  other.run("BEGIN IMMEDIATE");
  await it.run(minuteMs - 1_000);
  const before = it.turns.length;
  await it.run(10_000);
  expect(it.turns.length - before).toBeLessThan(60);
  other.close();
  await it.run(5_000);
  expect(it.store.intents().size).toBe(0);
});

test("an act of one who has gone is not carried out", async () => {
  await using it = openStage();
  const gone = new AbortController();
  void it.daemon.act(actSchema.parse({ verb: "pause", testbed: "a" }), "ann", gone.signal);
  gone.abort();
  await it.run(1_000);
  expect(it.store.intents().size).toBe(0);
});

test("with a thousand testbeds under an operator's hand a turn goes through none of them until one is due", async () => {
  await using it = openStage({
    config: configOf(Array.from({ length: 1_000 }, (_, index) => testbedOf({ name: `t-${index}` }))),
  });
  const { known, clock } = it.factory;
  const moment = { now: { bootId: clock.bootId, uptimeMs: clock.uptimeMs() }, wallMs: clock.wallMs() };
  for (let index = 0; index < 1_000; index += 1) {
    const until = deadlineIn(hourMs + index, moment);
    const intent = {
      kind: "reserved",
      who: "ann",
      note: "",
      sinceMs: moment.wallMs,
      until,
      isAfterJob: false,
    } as const;
    testbedMemory(known, `t-${index}`).intent = intent;
  }
  const waiting = {
    kind: "paused",
    who: "ann",
    note: "",
    sinceMs: 0,
    until: null,
    isAfterJob: true,
  } as const;
  testbedMemory(known, "t-0").intent = waiting;
  let walks = 0;
  const walk = known.testbeds[Symbol.iterator].bind(known.testbeds);
  known.testbeds[Symbol.iterator] = () => {
    walks += 1;
    return walk();
  };
  for (let turn = 0; turn < 100; turn += 1) turnIntents(it.factory);
  expect(walks).toBe(1);
});

describe("recover of a service's board", () => {
  const url = "http://lab-3:9090";
  const open = (rows: Instance[] = []) => {
    const it = openStage({ config: configOf([testbedOf({ spRunnerUrl: url })]), rows });
    const answer = Promise.withResolvers<unknown>();
    const told: string[] = [];
    const recover = (board: string): Promise<unknown> => {
      told.push(board);
      return answer.promise;
    };
    const factory = { ...it.factory, openRunner: () => ({ recover }) } as unknown as Factory;
    return { it, factory, told, answer };
  };
  const who = { who: "ann", note: "" };

  test("tells the service once, and nothing is begun there until it has answered", async () => {
    const { it, factory, told, answer } = open();
    await using _ = it;
    const asked = recoverTestbed(factory, "a", who);
    expect(entries(it)).toMatchObject([{ verb: "recover", answer: `sp-runner ${url} recovers its board` }]);
    expect(recoverTestbed(factory, "a", who)).toBeNull();
    expect([told, factory.known.busy.has("testbed a")]).toEqual([["a"], true]);
    answer.resolve({ ok: true, value: { status: "ok", message: "power cycled" } });
    expect(await asked).toEqual({ isDone: true, lines: ["a: sp-runner says: ok power cycled"] });
    expect(factory.known.busy.has("testbed a")).toBe(false);
  });

  test("does not keep the operator waiting for longer than ten seconds", async () => {
    const { it, factory, answer } = open();
    await using _ = it;
    const asked = recoverTestbed(factory, "a", who);
    await it.clock.advance(10_000);
    expect((await asked)?.lines).toEqual([
      "a: sp-runner was told to recover its board, and has not answered yet",
    ]);
    answer.resolve({ ok: false, message: "gone" });
    await it.clock.advance(10);
    expect(factory.known.busy.size).toBe(0);
  });

  test("is refused while a job is on it, or while somebody else has reserved it", async () => {
    const busy = open([instanceOf({ phase: "running" })]);
    await using _ = busy.it;
    expect(await recoverTestbed(busy.factory, "a", who)).toMatchObject({ isDone: false });
    const free = open();
    await using __ = free.it;
    const reserved = {
      kind: "reserved",
      who: "bob",
      note: "",
      sinceMs: 0,
      until: null,
      isAfterJob: false,
    } as const;
    testbedMemory(free.factory.known, "a").intent = reserved;
    expect(await recoverTestbed(free.factory, "a", who)).toMatchObject({ isDone: false });
    expect([busy.told, free.told]).toEqual([[], []]);
  });
});
