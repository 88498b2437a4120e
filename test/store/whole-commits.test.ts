/** What is committed together is there together; and what a held lock costs. */
import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { tables, tryReading } from "../../lib/store/file.ts";
import { isPassing, lockStore, openStore, type Store } from "../../lib/store/store.ts";
import type { Noted } from "../../lib/words/journal.ts";
import { at } from "../policy/scenes.ts";

let directory = "";
let path = "";
let store: Store;
beforeEach(() => {
  directory = mkdtempSync(`${tmpdir()}/commits-`);
  path = `${directory}/data.sqlite3`;
  store = open();
});
afterEach(() => {
  store.close();
  rmSync(directory, { recursive: true });
});

const open = (): Store => openStore({ path, nowMs: 0, directoryOf: () => "/work/x" });

/** The file in another program. */
function inFile(use: (database: Database) => unknown): void {
  const database = new Database(path, { strict: true });
  use(database);
  database.close();
}

const unwritable: Noted[] = [
  { atMs: null as unknown as number, entry: { what: "server", is: "away", lines: [] } },
];

test("a strike is not committed without its entry in the journal", () => {
  expect(() => store.setHealth("a", { strikes: 1, reason: "r", retryAt: at(1) }, unwritable)).toThrow();
  expect(store.health().size).toBe(0);
});

test("what keeps jobs from testbeds is not committed without its entries in the journal", () => {
  const trouble = { reason: "r", sinceMs: 1, recoveries: 0 };
  expect(() => store.setTroubles(new Map([["a", trouble]]), unwritable)).toThrow();
  expect(store.troubles().size).toBe(0);
});

test("the conditions that somebody was told of are replaced together or not at all", () => {
  store.setTold(new Set(["a", "b"]));
  inFile((file) =>
    file.run(
      "CREATE TRIGGER full BEFORE INSERT ON factory_told WHEN new.name = 'd' BEGIN SELECT raise(ABORT, 'full'); END",
    ),
  );
  expect(() => store.setTold(new Set(["c", "d"]))).toThrow();
  expect(store.told()).toEqual(new Set(["a", "b"]));
});

test("a file that needs all that this version knows can be used, and one that a later version only added to can be read", () => {
  store.close();
  inFile((file) => file.run(`UPDATE factory_schema SET version = ${tables.writes}`));
  tryReading(path);
  store = open();
  inFile((file) => file.run(`UPDATE factory_additions SET version = ${tables.writes + 1}`));
  tryReading(path);
});

test("a table that a statement of our own holds is an error that may pass", () => {
  inFile((file) => {
    file.run("CREATE TABLE held (a); INSERT INTO held VALUES (1), (2)");
    let thrown: unknown = null;
    const rows = file.query("SELECT a FROM held").iterate();
    rows.next();
    try {
      file.run("DROP TABLE held");
    } catch (error) {
      thrown = error;
    }
    for (const _ of rows);
    expect([(thrown as { code?: string } | null)?.code, isPassing(thrown)]).toEqual(["SQLITE_LOCKED", true]);
  });
});

test("a held lock has no journal on the disk, which may be full; one that is refused leaves no open file", () => {
  const lock = lockStore(path);
  for (let attempt = 1; attempt <= 5; attempt += 1) expect(lockStore(path)).toBeNull();
  expect(readdirSync(directory).filter((name) => name.includes(".lock"))).toEqual(["data.sqlite3.lock"]);
  const openFiles = readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === `${path}.lock`;
    } catch {
      return false;
    }
  });
  // SQLite itself keeps one for the next attempt.
  expect(openFiles.length).toBeLessThanOrEqual(2);
  lock?.release();
});
