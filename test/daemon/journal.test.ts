/** What the journal has beside jobs and acts: health, faults and the server, one entry a change, in the commit of that change. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { noteNow } from "../../lib/daemon/journal.ts";
import { takeIn } from "../../lib/daemon/server-findings.ts";
import { sweep } from "../../lib/daemon/sweep.ts";
import { clearStrikes, strike } from "../../lib/daemon/testbed-memory.ts";
import { commitTroubles } from "../../lib/daemon/trouble.ts";
import { dayMs } from "../../lib/words/duration.ts";
import { jobOf } from "../policy/scenes.ts";
import { openStage, type Stage } from "./stage.ts";

/** In short. */
const entries = ({ store }: Stage): string[] =>
  store.journal({ most: 100 }).map(({ entry }) => {
    if (entry.what === "health") return `${entry.testbed ?? "all"}: ${entry.is}: ${entry.reason}`;
    return "is" in entry ? `${entry.what}: ${entry.is}` : entry.what;
  });

test("failures in a row, the quarantine and the recovery are noted", async () => {
  await using it = openStage();
  for (const reason of ["no power", "no power", "no serial line"]) strike(it.factory, "a", reason);
  clearStrikes(it.factory, "a", "a job was done");
  clearStrikes(it.factory, "a", "a job was done");
  expect(entries(it)).toEqual([
    "a: strike: no power",
    "a: strike: no power",
    "a: quarantined: no serial line",
    "a: recovered: a job was done",
  ]);
});

test("a fault is noted when it begins and when it ends, not at each look, and not when only a number in it changes", async () => {
  await using it = openStage();
  const see = (reason: string | null): void => commitTroubles(it.factory, new Map([["a", reason]]));
  for (const reason of [null, "12 MB left", "11 MB left", "11 MB left", "no agent", null, null]) see(reason);
  expect(entries(it)).toEqual([
    "a: trouble: 12 MB left",
    "a: trouble: no agent",
    "a: trouble over: no agent",
  ]);
});

test("testbeds that share a fault share its entry, with the first of their names", async () => {
  await using it = openStage();
  const all = Array.from({ length: 12 }, (_, index) => `b${index}`);
  commitTroubles(it.factory, new Map([...all.map((name) => [name, "no disk"] as const), ["c", "no agent"]]));
  expect(entries(it)).toEqual([
    "all: trouble: no disk (b0, b1, b2, b3, b4, b5, b6, b7, b8, b9 and 2 more)",
    "c: trouble: no agent",
  ]);
});

test("a fault that cannot be committed is noted with the next look", async () => {
  await using it = openStage();
  const other = new Database(`${it.directory}/data.sqlite3`);
  other.run("BEGIN IMMEDIATE");
  expect(() => commitTroubles(it.factory, new Map([["a", "no disk"]]))).toThrow();
  other.run("ROLLBACK");
  other.close();
  expect(entries(it)).toEqual([]);
  commitTroubles(it.factory, new Map([["a", "no disk"]]));
  expect(entries(it)).toEqual(["a: trouble: no disk"]);
});

test("a token that is refused, and taken again, is noted once each", async () => {
  await using it = openStage();
  for (const isTokenGood of [true, false, false, true, true])
    takeIn(it.factory, { kind: "done", isTokenGood });
  expect(entries(it)).toEqual(["server: refuses the token", "server: takes the token again"]);
});

test("a server that goes away for two minutes is two entries", async () => {
  await using it = openStage();
  await it.runUntil(() => it.count(/^lease/) > 0);
  it.fate = (call) =>
    /^(lease|list|ping)/.test(call)
      ? { ok: false, refusal: "no answer", status: null, message: "no" }
      : undefined;
  await it.run(120_000);
  it.fate = () => undefined;
  await it.run(60_000);
  expect(entries(it)).toEqual(["server: does not answer", "server: answers again"]);
});

test("on a full disk an entry without a row is left out, and nothing else fails", async () => {
  await using it = openStage();
  const other = new Database(`${it.directory}/data.sqlite3`);
  other.run("BEGIN IMMEDIATE");
  noteNow(it.factory, { what: "factory", is: "started", lines: [] });
  other.run("ROLLBACK");
  other.close();
  expect(entries(it)).toEqual([]);
});

test("entries go with the rows, 90 days after general.keep, a bounded number at a time", async () => {
  await using it = openStage();
  const { store, clock } = it;
  const keptMs = (14 + 90) * dayMs;
  const old = Array.from({ length: 2_500 }, (_, seq) => ({
    atMs: clock.wallMs() - keptMs - 1,
    entry: jobOf({ seq }),
  }));
  store.note([...old, { atMs: clock.wallMs() - keptMs, entry: jobOf({ seq: 9_999 }) }]);
  const pruned: number[] = [];
  const prune = store.pruneJournal;
  store.pruneJournal = (beforeMs, most, kept) => {
    expect(kept).toBe(1_000_000);
    const count = prune(beforeMs, most, kept);
    pruned.push(count);
    return count;
  };
  const swept = sweep(it.factory);
  await clock.advance(10_000);
  await swept;
  expect(pruned).toEqual([1000, 1000, 500]);
  expect(store.journal({ most: 10 }).map(({ entry }) => entry)).toMatchObject([{ seq: 9_999 }]);
});
