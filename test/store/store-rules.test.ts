/** What a start trusts in its database, and what it does not change. */
import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, spyOn, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { openFiles } from "../../lib/doors/files.ts";
import type { Instance } from "../../lib/words/domain.ts";
import {
  isFactoryRunning,
  isPassing,
  lockStore,
  openStore,
  openStoreForReading,
  type Store,
} from "../../lib/store/store.ts";
import { isAdditive, leastVersion, tables, tryReading } from "../../lib/store/file.ts";
import { instanceOf, type Said } from "../policy/scenes.ts";

let directory = "";
let path = "";
let opened: { close(): void }[] = [];

beforeEach(() => {
  directory = mkdtempSync(`${tmpdir()}/store-rules-`);
  path = `${directory}/data.sqlite3`;
});
afterEach(() => {
  for (const each of opened) each.close();
  opened = [];
  rmSync(directory, { recursive: true });
});

function open(): Store {
  const store = openStore({ path, nowMs: 1000, directoryOf: () => "/work/x" });
  opened.push(store);
  return store;
}

/** The same file, opened by another program. */
function openRaw(): Database {
  const database = new Database(path, { strict: true });
  opened.push(database);
  return database;
}

const local: Instance["place"] = { way: "local", directory: "/work/bed-1_7", agent: "external" };
const ssh = {
  host: "h",
  user: "u",
  port: null,
  key: null,
  hostKey: null,
  elevation: null,
  uid: 1,
};

function begin(store: Store, changes: Said = {}): Instance {
  return store.begin(instanceOf({ testbed: "bed-1", seq: 7, phase: "running", ...changes }));
}

/** An operator does this with sqlite3, and the Rust factory when it ends an instance. */
function markDestroyed(store: Store, instance: Instance): void {
  store.advance(instance, { isFlushed: true });
  openRaw().run("UPDATE instance SET state = 'destroyed'");
}

test("a row of this host that somebody marked destroyed stays open: its agent may be alive, and we can look", () => {
  const store = open();
  markDestroyed(store, begin(store, { worker: "w", place: local }));
  expect(open().open()).toMatchObject([{ phase: "running", place: local, endReason: null, untold: null }]);
});

test("a stopped row of another host that somebody marked destroyed stays stopped", () => {
  const store = open();
  markDestroyed(store, begin(store, { worker: "w", phase: "stopped", place: { ...local, way: "ssh", ssh } }));
  expect(open().open()).toMatchObject([{ phase: "stopped", isCleared: true }]);
});

test("the largest seq includes rows that have ended", () => {
  const store = open();
  const instance = begin(store, { worker: "w", phase: "stopped" });
  store.advance(instance, { phase: "destroyed", endedMs: 9 });
  begin(store, { seq: 3, phase: "preparing" });
  expect(open().largestSeq("bed-1")).toBe(7);
});

test("a start with nothing to change commits nothing", () => {
  begin(open(), { worker: "w" });
  const raw = openRaw();
  const version = (): unknown => raw.query("PRAGMA data_version").get();
  const before = version();
  open();
  expect(version()).toEqual(before);
});

test("an update keeps the causes of ends, and an older version can still read the file", () => {
  const store = open();
  const end = (seq: number, endReason: string): void => {
    const ended = begin(store, { testbed: `bed-${seq}`, seq });
    store.advance(ended, { phase: "destroying", endReason, endCause: "agent killed" });
  };
  end(1, "the job is done");
  end(2, "the server recycles the worker");
  end(3, "the agent was killed");
  const causes = (): unknown =>
    open()
      .open()
      .map(({ endCause }) => endCause);
  expect(causes()).toEqual(["agent killed", "agent killed", "agent killed"]);
  const raw = openRaw();
  // A cause of a version after this one.
  raw.run("UPDATE factory_instance SET end_cause = 'flood' WHERE seq = 3");
  expect(causes()).toEqual(["agent killed", "agent killed", null]);
  // As a version before this one left it: it has no such column and the same version.
  raw.run("ALTER TABLE factory_instance DROP COLUMN end_cause; DROP TABLE factory_additions");
  raw.run("DROP TABLE factory_intent; DROP TABLE factory_journal; DROP TABLE factory_told");
  expect(raw.query("SELECT version FROM factory_schema").get()).toEqual({ version: 6 });
  const reader = openStoreForReading(path);
  const expected = ["job done", "worker recycled", null];
  expect(reader?.open().map(({ endCause }) => endCause)).toEqual(expected as Instance["endCause"][]);
  reader?.close();
  expect(causes()).toEqual(expected);
  expect(
    open()
      .open()
      .map(({ endReason }) => endReason),
  ).toContain("the agent was killed");
});

test("a file of the next version is used, and keeps its version, if that version only added to it", () => {
  open();
  const raw = openRaw();
  raw.run("UPDATE factory_additions SET version = version + 1");
  raw.run("ALTER TABLE factory_instance ADD COLUMN note TEXT NOT NULL DEFAULT ''");
  raw.run("ALTER TABLE factory_health ADD COLUMN note TEXT");
  const version = raw.query("SELECT version FROM factory_additions").get();
  const store = open();
  begin(store, { worker: "w" });
  store.setHealth("bed-1", { strikes: 1, reason: "it hung", retryAt: { bootId: "b", uptimeMs: 1 } });
  store.tryWriting();
  expect(open().health().size).toBe(1);
  expect(raw.query("SELECT version FROM factory_additions").get()).toEqual(version);
});

test.each([
  ["CREATE TABLE a (b TEXT); CREATE INDEX c ON a (b);", true],
  ["ALTER TABLE a ADD COLUMN b TEXT", true],
  ["CREATE UNIQUE INDEX c ON a (b)", false],
  ["ALTER TABLE a RENAME COLUMN b TO c", false],
  ["CREATE TABLE a (b TEXT); DROP TABLE c", false],
  ["UPDATE a SET b = 1", false],
])("%s: adds only: %p", (migration, is) => {
  expect(isAdditive(migration)).toBe(is);
});

test("a file of the next version is refused, and keeps its version, if that version did not only add to it", () => {
  open();
  const raw = openRaw();
  raw.run(`UPDATE factory_schema SET version = ${tables.writes + 1}`);
  expect(() => tryReading(path)).toThrow(/a newer version of this program wrote it/);
  const version = raw.query("SELECT version FROM factory_schema").get();
  expect(open).toThrow(/a newer version of this program wrote it/);
  expect(raw.query("SELECT version FROM factory_schema").get()).toEqual(version);
});

test("a file that cannot be written for a while gives an error that may pass", () => {
  const spy = spyOn(Database.prototype, "run");
  const store = open();
  const database = spy.mock.contexts[0] as Database;
  spy.mockRestore();
  database.run("PRAGMA query_only = ON");
  let thrown: unknown = null;
  try {
    begin(store);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(Error);
  expect(isPassing(thrown)).toBe(true);
  database.run("PRAGMA query_only = OFF");
  begin(store);
});

test("F25 a damaged file is refused", () => {
  const store = open();
  for (let seq = 1; seq <= 200; seq++) begin(store, { testbed: `bed-${seq}` });
  for (const each of opened) each.close();
  opened = [];
  const bytes = readFileSync(path);
  // A page of the largest table's.
  bytes.fill(0xff, bytes.length - 3 * 4096, bytes.length - 2 * 4096);
  writeFileSync(path, bytes);
  expect(() => openStoreForReading(path)?.latest()).toThrow(/Cannot open the database .*malformed/);
  expect(() => tryReading(path)).toThrow(/damaged|malformed/);
});

test("which version a program must know is read without a look at the rest of the file", () => {
  const store = open();
  for (let seq = 1; seq <= 200; seq++) begin(store, { testbed: `bed-${seq}` });
  for (const each of opened) each.close();
  opened = [];
  const bytes = readFileSync(path);
  bytes.fill(0xff, bytes.length - 3 * 4096, bytes.length - 2 * 4096);
  writeFileSync(path, bytes);
  expect(leastVersion(path)).toBe(tables.reads);
});

test("isFactoryRunning() reports whether a factory runs, also before the lock's file exists", async () => {
  const { isThere } = openFiles();
  expect(await isFactoryRunning(path, isThere)).toBe(false);
  const lock = lockStore(path);
  expect(await isFactoryRunning(path, isThere)).toBe(true);
  lock?.release();
  expect(await isFactoryRunning(path, isThere)).toBe(false);
});
