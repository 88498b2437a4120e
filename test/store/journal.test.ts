/** The journal and the intents as rows: what is read back, what other versions do with them, what goes, and a crash. */
import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { openStore, openStoreForReading, type Store } from "../../lib/store/store.ts";
import type { Instance } from "../../lib/words/domain.ts";
import type { Intent } from "../../lib/words/intent.ts";
import type { ActEntry, Entry, Noted } from "../../lib/words/journal.ts";
import { at, instanceOf, jobOf } from "../policy/scenes.ts";

let directory = "";
let path = "";
let store: Store;
beforeEach(() => {
  directory = mkdtempSync(`${tmpdir()}/journal-test-`);
  path = `${directory}/data.sqlite3`;
  store = open();
});
afterEach(() => {
  store.close();
  rmSync(directory, { recursive: true });
});

const open = (): Store => openStore({ path, nowMs: 0, directoryOf: () => "/work/x" });

/** The file in another program. */
function inFile<T>(use: (database: Database) => T): T {
  const database = new Database(path, { strict: true });
  try {
    return use(database);
  } finally {
    database.close();
  }
}

const job = (atMs: number, over: Parameters<typeof jobOf>[0] = {}): Noted => ({ atMs, entry: jobOf(over) });
const act: ActEntry = {
  what: "act",
  verb: "pause",
  testbed: "a",
  who: "ann",
  note: "new probe",
  untilMs: null,
  answer: "paused",
};
const others: Entry[] = [
  act,
  { what: "health", testbed: "b", is: "strike", reason: "no power" },
  { what: "server", is: "away", lines: ["it does not answer"] },
];

describe("the journal", () => {
  test("gives back what was noted, the oldest first", () => {
    const noted = [...others.map((entry, index) => ({ atMs: index, entry })), job(9)];
    store.note(noted);
    expect(store.journal({ most: 10 })).toEqual(noted.map((each, index) => ({ ...each, id: index + 1 })));
    expect(store.journal({ most: 2 }).map(({ id }) => id)).toEqual([3, 4]);
    const reader = openStoreForReading(path);
    expect(reader?.journal({ most: 10 })).toHaveLength(4);
    reader?.close();
  });

  test("is searched by testbed, job, its name, kind and time, and page by page", () => {
    store.note([
      job(1, { testbed: "a", job: "J1", jobName: "flash" }),
      job(2, { testbed: "b", job: "J2", jobName: "flash" }),
      job(3, { testbed: "a", job: "J3", jobName: "update" }),
      { atMs: 4, entry: act },
    ]);
    const ids = (query: Omit<Parameters<Store["journal"]>[0], "most">, most = 10): number[] =>
      store.journal({ ...query, most }).map(({ id }) => id);
    expect(ids({ testbed: "a" })).toEqual([1, 3, 4]);
    expect(ids({ job: "J2" })).toEqual([2]);
    expect([ids({ job: "J" }), ids({ job: "J22" }), ids({ job: "I" })]).toEqual([[1, 2, 3], [], []]);
    expect(ids({ jobName: "flash" })).toEqual([1, 2]);
    expect(ids({ testbed: "a", what: ["job"] })).toEqual([1, 3]);
    expect(ids({ what: ["act", "server"] })).toEqual([4]);
    expect([ids({ sinceMs: 3 }), ids({ sinceMs: 5 }), ids({ sinceMs: 2, testbed: "a" })]).toEqual([
      [3, 4],
      [],
      [3, 4],
    ]);
    expect(ids({ beforeId: 3 })).toEqual([1, 2]);
    expect(ids({ beforeId: 3 }, 1)).toEqual([2]);
  });

  test("of each testbed gives the last jobs only, in the order of their ends", () => {
    for (let seq = 1; seq <= 4; seq += 1) {
      store.note([
        job(seq, { testbed: "a", seq }),
        job(seq, { testbed: "b", seq }),
        { atMs: seq, entry: act },
      ]);
    }
    const seen = store.lastJobs(2).map(({ testbed, seq }) => `${testbed}/${seq}`);
    expect(seen).toEqual(["a/3", "b/3", "a/4", "b/4"]);
  });

  test("leaves out what another version wrote in another form", () => {
    store.note([job(1), job(2)]);
    inFile((database) => {
      database.run("UPDATE factory_journal SET entry = json_set(entry, '$.what', 'weather') WHERE id = 1");
      database.run(
        "INSERT INTO factory_journal SELECT 3, 3, what, 'a', NULL, NULL, '{\"what\":\"job\"}' FROM factory_journal WHERE id = 2",
      );
      database.run("INSERT INTO factory_journal SELECT 4, 4, 'job', 'a', NULL, NULL, 'no JSON'");
    });
    expect(store.journal({ most: 10 }).map(({ id }) => id)).toEqual([2]);
    expect(store.lastJobs(10)).toHaveLength(1);
  });

  test("keeps an entry whose cause only another version knows", () => {
    store.note([job(1)]);
    inFile((database) =>
      database.run("UPDATE factory_journal SET entry = json_set(entry, '$.cause', 'meteor')"),
    );
    expect(store.journal({ most: 1 })[0]?.entry).toMatchObject({ what: "job", cause: null });
  });

  test("is pruned to the latest so many, whatever their age", () => {
    store.note([1, 2, 3, 4, 5].map((atMs) => job(atMs)));
    expect(store.pruneJournal(0, 100, 2)).toBe(3);
    expect(store.journal({ most: 10 }).map(({ atMs }) => atMs)).toEqual([4, 5]);
  });

  test("is pruned by age, a bounded number at a time, and counts on", () => {
    store.note([1, 2, 3, 4].map((atMs) => job(atMs)));
    expect(store.pruneJournal(4, 2, 100)).toBe(2);
    expect(store.pruneJournal(4, 2, 100)).toBe(1);
    expect(store.pruneJournal(4, 2, 100)).toBe(0);
    store.note([job(5)]);
    expect(store.journal({ most: 10 }).map(({ id, atMs }) => [id, atMs])).toEqual([
      [4, 4],
      [5, 5],
    ]);
  });

  test("has an entry exactly if the change that it is about is committed", () => {
    const begun = store.begin(instanceOf({ phase: "preparing" }));
    const noted = job(1);
    expect(() =>
      store.advance({ ...begun, phase: "creating" } as Instance, { phase: "dropped" }, noted),
    ).toThrow();
    expect(store.journal({ most: 1 })).toEqual([]);
    expect(() =>
      store.advance(begun, { phase: "dropped" }, { ...noted, atMs: null as unknown as number }),
    ).toThrow();
    expect(store.open()).toHaveLength(1);
    store.advance(begun, { phase: "dropped" }, noted);
    expect(store.open()).toEqual([]);
    expect(store.journal({ most: 1 })).toHaveLength(1);
  });
});

describe("an intent", () => {
  const intent: Intent = {
    kind: "reserved",
    who: "ann",
    note: "bench work",
    sinceMs: 1,
    until: { wallMs: 2, at: at(3) },
    isAfterJob: true,
  };

  test("is there until it is taken back, with what the journal says of it", () => {
    store.setIntent("a", intent, [{ atMs: 1, entry: act }]);
    store.setIntent("b", { ...intent, until: null }, []);
    store.setIntent("b", { ...intent, kind: "paused", until: null }, []);
    store.close();
    store = open();
    expect(store.intents()).toEqual(
      new Map([
        ["a", intent],
        ["b", { ...intent, kind: "paused", until: null }],
      ]),
    );
    store.setIntent("a", null, [{ atMs: 2, entry: { ...act, verb: "release" } }]);
    expect([...store.intents().keys()]).toEqual(["b"]);
    expect(store.journal({ most: 10 })).toHaveLength(2);
  });

  test("is not changed if its entry cannot be committed", () => {
    expect(() => store.setIntent("a", intent, [{ atMs: null as unknown as number, entry: act }])).toThrow();
    expect(store.intents().size).toBe(0);
  });
});

describe("other versions", () => {
  test("a file from an early version has no journal and no intents, and gets them", () => {
    store.close();
    rmSync(path);
    inFile((database) => database.run(readFileSync(`${import.meta.dir}/rows-before-0.2.sql`, "utf8")));
    const reader = openStoreForReading(path);
    expect([reader?.journal({ most: 1 }), reader?.lastJobs(1), reader?.intents().size]).toEqual([[], [], 0]);
    reader?.close();
    store = open();
    store.note([job(1)]);
    store.setIntent("a", null, []);
    expect(store.journal({ most: 1 })).toHaveLength(1);
  });

  test("what the version before does with a file that has these tables leaves them as they are", () => {
    store.note([job(1)]);
    const row = readFileSync(`${import.meta.dir}/rows-before-0.2.sql`, "utf8").split("\n")[28] ?? "";
    // It ends nothing in the journal, and has the column of the last migration before these.
    inFile((database) => database.run(row.replace(/\);$/, ", NULL);")));
    store.close();
    store = open();
    expect(store.journal({ most: 9 })).toHaveLength(1);
    expect(store.latest().map(({ testbed }) => testbed)).toEqual(["here"]);
  });

  test("an intent that only another version can read keeps jobs from its testbed", () => {
    inFile((database) => {
      database.run("INSERT INTO factory_intent VALUES ('a', '{\"kind\":\"on holiday\"}')");
      database.run("INSERT INTO factory_intent VALUES ('b', 'no JSON')");
    });
    for (const testbed of ["a", "b"])
      expect(store.intents().get(testbed)).toMatchObject({ kind: "paused", until: null, isAfterJob: false });
  });
});

test("after SIGKILL at any moment an entry is there exactly if its instance's end is", async () => {
  for (const count of [1, 3, 8, 21]) {
    store.close();
    for (const name of ["", "-wal", "-shm"]) rmSync(`${path}${name}`, { force: true });
    const child = Bun.spawn([process.execPath, `${import.meta.dir}/store-child.ts`, "note", path], {
      stdout: "pipe",
      stderr: "inherit",
    });
    let said = "";
    for await (const part of child.stdout) {
      said += new TextDecoder().decode(part);
      if (said.split("\n").length > count) child.kill("SIGKILL");
    }
    await child.exited;
    store = open();
    const noted = store.journal({ most: 100_000 }).map(({ entry }) => entry.what === "job" && entry.seq);
    const ended = store.ended().map(({ seq }) => seq);
    expect(noted).toEqual(ended.toReversed());
    // What was reported is there, and at most one more.
    const reported = said.split("\n").filter((line) => line.endsWith("dropped")).length;
    expect([0, 1]).toContain(noted.length - reported);
  }
}, 60_000);
