/** What is kept of ended instances: a real store, and hosts that have the directories which a test names. */
import { Database, type SQLQueryBindings } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, spyOn, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sweep } from "../../lib/daemon/sweep.ts";
import { type Instance, type Phase, phases } from "../../lib/words/domain.ts";
import type { Host } from "../../lib/hosts/host.ts";
import type { Log } from "../../lib/words/logger.ts";
import type { TidyResult } from "../../lib/hosts/minder/minder-answer.ts";
import { openStore, type Store } from "../../lib/store/store.ts";
import { insert } from "../../lib/store/row.ts";
import { configOf, instanceOf, type Said } from "../policy/scenes.ts";
import { createSettableClock } from "../lab/settable-clock.ts";
import { openMemory, type Factory } from "../../lib/daemon/memory.ts";
import { nextSeq, learnSeqs, testbedMemory } from "../../lib/daemon/testbed-memory.ts";

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const dayMs = 24 * 3_600_000;
const limits = { keepDays: 14, keepBytes: 1000 };

let directory: string;
let path: string;
let store: Store;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sweep-"));
  path = join(directory, "data.sqlite3");
  store = openStore({ path, nowMs: 0, directoryOf: () => directory });
});
afterEach(() => {
  store.close();
  rmSync(directory, { recursive: true, force: true });
});

interface Row extends Said {
  /** `<testbed>_<seq>` */
  name: string;
  agoMs?: number;
}

/** A factory whose rows are these, and whose work directories hold these: bytes by directory name. */
function open(rows: Row[], here: Record<string, number> = {}) {
  const clock = createSettableClock();
  const database = new Database(path, { strict: true });
  for (const { name, agoMs = 0, ...over } of rows) {
    const [, testbed = "", seq = ""] = /^(.*)_(\d+)$/.exec(name) ?? [];
    const place: Instance["place"] = { way: "local", directory: `/w/${name}`, agent: "external" };
    const phase: Phase = over.phase ?? "destroyed";
    const endedMs = phase === "destroyed" || phase === "dropped" ? clock.wallMs() - agoMs : null;
    insert(database, instanceOf({ testbed, seq: Number(seq), place, endedMs, ...over, phase }));
  }
  database.close();
  const removed: string[] = [];
  const looked: string[] = [];
  const said: { result: TidyResult; release: (() => void) | null; underWay: number; most: number } = {
    result: { kind: "tidied", left: null },
    release: null,
    underWay: 0,
    most: 0,
  };
  const hostOf = (name: string | null, kept: Record<string, number>): Host => {
    const minder = {
      kept: async () => {
        looked.push(name ?? "here");
        said.underWay += 1;
        said.most = Math.max(said.most, said.underWay);
        await Promise.resolve();
        await Promise.resolve();
        said.underWay -= 1;
        const directories = Object.entries(kept).map(([each, bytes]) => ({ directory: `/w/${each}`, bytes }));
        return { ok: true, directories };
      },
      remove: (each: string) => {
        removed.push(each.replace("/w/", ""));
        return Promise.resolve(said.result);
      },
    };
    const ssh = name === null ? null : { host: name, user: "lab", port: null };
    return { minder, workDirectory: "/w", ssh } as unknown as Host;
  };
  const known = openMemory(store, clock);
  const config = configOf([]);
  Object.assign(config.general, limits);
  const hosts = { here: hostOf(null, here) };
  const factory = { config, store, clock, log: silent, hosts, known } as unknown as Factory;
  const reach = (name: string, kept: Record<string, number> = {}): void =>
    void (testbedMemory(known, name).reached = { ok: true, atMs: 0, host: hostOf(name, kept) });
  return { factory, clock, removed, looked, said, reach };
}

const rowsLeft = (table: string): string[] => {
  const database = new Database(path, { strict: true });
  const query = `SELECT testbed_name || '_' || seq AS name FROM ${table} ORDER BY testbed_name, seq`;
  const names = database.query<{ name: string }, []>(query).all();
  database.close();
  return names.map(({ name }) => name);
};

describe("sweep() removes a directory", () => {
  test.each([
    [14 * dayMs, []],
    [14 * dayMs + 1, ["a_1"]],
    [-dayMs, []],
  ])("by age: one that ended %i ms ago", async (agoMs, gone) => {
    const { factory, removed } = open([{ name: "a_1", agoMs }], { a_1: 1 });
    expect(await sweep(factory)).toEqual({ kind: "done" });
    expect(removed).toEqual(gone);
  });

  test.each([
    [[400, 300, 300], []],
    [[400, 300, 301], ["a_1"]],
    [[1000, 1, 0], ["a_2"]],
    // What is removed takes no room: one that is too large on its own takes nothing with it.
    [[1001, 500, 500], ["a_3"]],
    [[600, 500, 400], ["a_2"]],
  ])("by size, the newest first kept: %j of 1000 bytes", async ([third = 0, second = 0, first = 0], gone) => {
    const rows = [1, 2, 3].map((seq) => ({ name: `a_${seq}`, agoMs: 1000 - seq }));
    const { factory, removed } = open(rows, { a_1: first, a_2: second, a_3: third });
    await sweep(factory);
    expect(removed).toEqual(gone);
  });

  test("that stays is counted", async () => {
    const { factory, removed, said } = open(
      [
        { name: "a_1", agoMs: 2 },
        { name: "a_2", agoMs: 1 },
      ],
      { a_1: 600, a_2: 1200 },
    );
    said.result = { kind: "refused", reason: "it is not proved dead" };
    expect(await sweep(factory)).toEqual({
      kind: "failed",
      reason: "cannot remove /w/a_2: it is not proved dead",
    });
    expect(removed).toEqual(["a_2", "a_1"]);
  });

  test("of an ended instance of its own host and work directory, and no other", async () => {
    const old = 99 * dayMs;
    const ssh = { ...instanceOf().place, directory: "/w/d_1", ssh: { host: "h" } } as Instance["place"];
    const { factory, removed } = open(
      [
        { name: "a_1", agoMs: old, place: { ...instanceOf().place, directory: "/elsewhere/a_1" } },
        { name: "b_1", phase: "running" },
        { name: "c_2", agoMs: old, phase: "dropped" },
        { name: "d_1", agoMs: old, place: ssh },
      ],
      { a_1: 1, b_1: 1, c_2: 1, d_1: 1, "lost+found": 1, e_1: 1, c_02: 1 },
    );
    await sweep(factory);
    expect(removed).toEqual(["c_2"]);
  });
});

describe("sweep() looks at hosts", () => {
  test("a few at a time, each once an hour, and a new one at once and alone", async () => {
    const { factory, clock, looked, said, reach } = open([]);
    const names = Array.from({ length: 9 }, (_, index) => `h${index}`);
    for (const name of names) reach(name);
    await sweep(factory);
    expect([looked.toSorted(), said.most]).toEqual([
      ["h0", "h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8", "here"],
      4,
    ]);
    expect(factory.known.sweptMs).toBe(clock.uptimeMs());
    const firstMs = clock.uptimeMs();
    looked.length = 0;
    await clock.advance(1_800_000);
    reach("new");
    await sweep(factory);
    expect([looked, factory.known.sweptMs]).toEqual([["new"], firstMs]);
    looked.length = 0;
    await clock.advance(1_799_999);
    await sweep(factory);
    expect(looked).toEqual([]);
    await clock.advance(1);
    await sweep(factory);
    expect(looked.toSorted()).toEqual([...names, "here"].toSorted());
  });

  test("again, after one that did not tell what is kept there", async () => {
    const { factory, looked, reach } = open([]);
    reach("bench-1");
    const host = testbedMemory(factory.known, "bench-1").reached?.host;
    if (host === undefined) throw new Error("it is not reached");
    const { kept } = host.minder;
    host.minder.kept = () => Promise.resolve({ ok: false, reason: "the connection was lost" });
    expect(await sweep(factory)).toMatchObject({ kind: "failed" });
    expect(factory.known.sweptMs).toBeNull();
    host.minder.kept = kept;
    expect(await sweep(factory)).toEqual({ kind: "done" });
    expect(looked).toEqual(["here", "bench-1"]);
    expect(factory.known.sweptMs).not.toBeNull();
  });

  test("once where several testbeds hang on one", async () => {
    const { factory, looked, reach } = open([]);
    reach("h");
    testbedMemory(factory.known, "another").reached = testbedMemory(factory.known, "h").reached;
    await sweep(factory);
    expect(looked.toSorted()).toEqual(["h", "here"]);
  });
});

describe("sweep() prunes rows", () => {
  const keptMs = (14 + 90) * dayMs;

  test("90 days after their directory may go; each testbed's largest stays, and what is open", async () => {
    const { factory } = open([
      { name: "a_1", agoMs: keptMs + 1 },
      { name: "a_2", agoMs: keptMs },
      { name: "a_3", agoMs: keptMs + 1, phase: "dropped" },
      { name: "a_4", agoMs: 0 },
      { name: "b_8", agoMs: 9 * keptMs },
      { name: "b_9", agoMs: 9 * keptMs },
      { name: "c_1", agoMs: keptMs + 1 },
      ...phases.slice(0, 7).map((phase, index) => ({ name: `open${index}_1`, phase })),
      ...phases.slice(0, 7).map((_, index) => ({ name: `open${index}_2`, agoMs: keptMs + 1 })),
      ...phases.slice(0, 7).map((_, index) => ({ name: `open${index}_3` })),
    ]);
    await sweep(factory);
    expect(rowsLeft("factory_instance").filter((name) => !name.startsWith("open"))).toEqual([
      "a_2",
      "a_4",
      "b_9",
      "c_1",
    ]);
    expect(rowsLeft("factory_instance").filter((name) => name.startsWith("open"))).toEqual(
      [0, 1, 2, 3, 4, 5, 6].flatMap((index) => [`open${index}_1`, `open${index}_3`]),
    );
    expect([store.largestSeq("a"), store.largestSeq("b"), nextSeq(factory, "b")]).toEqual([4, 9, 10]);
  });

  test("of the Rust factory's table, too, so that none comes back", async () => {
    const { factory } = open(
      [1, 2, 3].map((seq) => ({ name: `a_${seq}`, agoMs: 10 * keptMs - seq, worker: `W${seq}` })),
    );
    const database = new Database(path, { strict: true });
    const add = "INSERT INTO instance VALUES ('a', ?, 'W', 'T', 'destroyed', 'B', 1)";
    for (const seq of [1, 2, 3]) database.query(add).run(seq);
    database.close();
    await sweep(factory);
    expect([rowsLeft("instance"), rowsLeft("factory_instance")]).toEqual([["a_3"], ["a_3"]]);
    store.close();
    store = openStore({ path, nowMs: 0, directoryOf: () => directory });
    expect(store.latest().map(({ seq }) => seq)).toEqual([3]);
    expect(rowsLeft("factory_instance")).toEqual(["a_3"]);
  });

  test("all that are due, a bounded number at a time", async () => {
    const rows = Array.from({ length: 2500 }, (_, index) => ({ name: `a_${index + 1}`, agoMs: 2 * keptMs }));
    const { factory, clock } = open(rows);
    const prune = spyOn(store, "prune");
    const swept = sweep(factory);
    let isOver = false;
    void swept.then(() => (isOver = true));
    while (!isOver) await clock.advance(1000);
    expect(prune.mock.results.map(({ value }) => value as number)).toEqual([1000, 1000, 499]);
    expect(rowsLeft("factory_instance")).toEqual(["a_2500"]);
  });
});

test("sweep() of 100,000 rows reads those of the directories that are there, and goes through no table", async () => {
  const names = Array.from({ length: 50 }, (_, index) => `bed-${index % 5}_${99_951 + index}`);
  const { factory } = open([], Object.fromEntries(names.map((name) => [name, 1])));
  const database = new Database(path, { strict: true });
  const { place, ...rest } = instanceOf({ phase: "destroyed", endedMs: factory.clock.wallMs() });
  database.transaction(() => {
    for (let seq = 1; seq <= 100_000; seq += 1) {
      const testbed = `bed-${(seq - 1) % 5}`;
      insert(database, { ...rest, testbed, seq, place: { ...place, directory: `/w/${testbed}_${seq}` } });
    }
  })();
  const texts = new Set<string>();
  const query = spyOn(Database.prototype, "query");
  const among = spyOn(store, "endedAmong");
  try {
    await sweep(factory);
    for (const [text] of query.mock.calls) texts.add(text);
    expect(among.mock.results.map(({ value }) => (value as unknown[]).length)).toEqual([50]);
  } finally {
    query.mockRestore();
  }
  expect(texts.size).toBeGreaterThan(0);
  for (const text of texts) {
    const values = Object.fromEntries([...text.matchAll(/\$(\w+)/g)].map(([, name = ""]) => [name, "[]"]));
    const plan = database.query<{ detail: string }, SQLQueryBindings[]>(`EXPLAIN QUERY PLAN ${text}`);
    const steps = text.includes("?") ? plan.all(...text.matchAll(/\?/g).map(() => "")) : plan.all(values);
    const scans = steps.filter(({ detail }) => /^SCAN (?!n\b|json_each)/.test(detail));
    expect(scans).toEqual([]);
  }
  database.close();
}, 60_000);

describe("nextSeq()", () => {
  test.each<[string, string[], number]>([
    ["its rows", [], 8],
    ["a work directory or a worker", ["a/12"], 13],
    ["an older one of these", ["a/12", "a/3"], 13],
    ["another testbed's", ["b/50"], 8],
    ["what is not an instance's name", ["a/0", "a/x", "a"], 8],
  ])("is one more than the largest that was seen: %s", (_, names, next) => {
    const { factory } = open([{ name: "a_7" }, { name: "a_6" }]);
    learnSeqs(factory, [...names, null]);
    expect(nextSeq(factory, "a")).toBe(next);
  });
});
