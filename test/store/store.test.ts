import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, spyOn, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { type Instance, type Phase, rustState } from "../../lib/words/domain.ts";
import { FactoryError } from "../../lib/words/failure.ts";
import { Secret } from "../../lib/words/secret.ts";
import { cannotOpen } from "../../lib/store/file.ts";
import { isPassing, lockStore, openStore, openStoreForReading, type Store } from "../../lib/store/store.ts";
import { at, instanceOf, openPhases, type Said, hasWorker } from "../policy/scenes.ts";
import { testAsMortal } from "../lab/mortal.ts";

let directory = "";
let path = "";
let opened: { close(): void }[] = [];
let children: Bun.Subprocess[] = [];

beforeEach(() => {
  directory = mkdtempSync(`${tmpdir()}/store-test-`);
  path = `${directory}/data.sqlite3`;
});

afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(children.map(({ exited }) => exited));
  for (const each of opened) each.close();
  children = [];
  opened = [];
  rmSync(directory, { recursive: true, force: true });
});

function open(nowMs = 1000): Store {
  const directoryOf = ({ testbed, seq }: { testbed: string; seq: number }): string =>
    `/work/${testbed}_${seq}`;
  const store = openStore({ path, nowMs, directoryOf });
  opened.push(store);
  return store;
}

/** A store, and the connection that it writes with. */
function openSeen(): { store: Store; database: Database } {
  const spy = spyOn(Database.prototype, "run");
  try {
    return { store: open(), database: spy.mock.contexts[0] as Database };
  } finally {
    spy.mockRestore();
  }
}

/** The same file, opened by another program, for example the Rust factory or sqlite3. */
function openRaw(): Database {
  const database = new Database(path, { strict: true });
  opened.push(database);
  return database;
}

const fresh = (over: Said = {}): Instance => instanceOf({ phase: "preparing", ...over });
const plain = (instance: Instance | undefined): unknown => ({
  ...instance,
  bootstrap: instance?.bootstrap?.reveal() ?? null,
});

interface RustRow {
  testbed_name: string;
  seq: number;
  worker: string;
  target: string;
  state: string;
  bootstrap: string;
  flushed: number;
}
const rustRows = (): RustRow[] =>
  openRaw().query<RustRow, []>("SELECT * FROM instance ORDER BY testbed_name, seq").all();

function failureOf(action: () => unknown): FactoryError {
  try {
    action();
  } catch (error) {
    if (error instanceof FactoryError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

describe("store", () => {
  test("returns an instance after a restart as it was committed", () => {
    const whole = fresh({
      phase: "created",
      job: null,
      isBound: false,
      place: { way: "sp-runner", directory: "/w/ü 'x'", agent: "built-in", spRunnerUrl: "http://h" },
      leasedAt: at(12.5, "boot-9"),
      createSentAt: at(13),
      worker: "worker-1",
      bootstrap: new Secret("secret ' \u0001"),
      wentAt: at(14),
      isOnline: true,
      isFlushed: true,
      jobTimeoutMs: 7,
      silenceTimeoutMs: 8,
      endReason: "ünd\nso",
      endCause: "agent killed",
      untold: "told",
      endedMs: 9,
    });
    open().begin(whole);
    expect(open().open().map(plain)).toEqual([plain(whole)]);
    const sparse = fresh({ testbed: "b" });
    open().begin(sparse);
    expect(plain(open().open()[1])).toEqual(plain(sparse));
  });

  test("commits only what changed", () => {
    const store = open();
    const begun = store.begin(fresh());
    const next = store.advance(begun, { phase: "created", worker: "w", bootstrap: new Secret("b") });
    expect(plain(next)).toEqual({
      ...(plain(begun) as object),
      phase: "created",
      worker: "w",
      bootstrap: "b",
    });
    expect(open().open().map(plain)).toEqual([plain(next)]);
  });

  test("moves a phase only forward, and a refused change leaves the row unchanged", () => {
    const phases: readonly Phase[] = [...openPhases, "destroyed", "dropped"];
    for (const [index, from] of phases.entries()) {
      const store = open();
      const begun = store.begin(fresh({ testbed: from }));
      const there =
        from === "preparing"
          ? begun
          : store.advance(begun, { phase: from, worker: hasWorker(from) ? "w" : null });
      for (const to of phases.slice(0, index)) {
        expect(() => store.advance(there, { phase: to })).toThrow(`cannot move from ${from} to ${to}`);
      }
      expect(store.latest().find(({ testbed }) => testbed === from)?.phase).toBe(from);
    }
  });

  test("refuses to change an outdated record", () => {
    const store = open();
    const begun = store.begin(fresh());
    store.advance(begun, { phase: "running", worker: "w" });
    expect(() => store.advance(begun, { phase: "created", worker: "other" })).toThrow("is not preparing");
    expect(() => store.advance(fresh({ seq: 99 }), { phase: "created", worker: "w" })).toThrow(
      "is not preparing",
    );
    expect(
      open()
        .open()
        .map(({ seq, phase, worker }) => [seq, phase, worker]),
    ).toEqual([[7, "running", "w"]]);
    expect(rustRows()).toHaveLength(1);
  });

  test("has at most one open instance for each testbed, also if another program writes", () => {
    const store = open();
    const first = store.begin(fresh({ seq: 1 }));
    expect(() => store.begin(fresh({ seq: 2 }))).toThrow("a/1 is not destroyed");
    store.advance(first, { phase: "dropped" });
    store.begin(fresh({ seq: 2 }));
    expect(() => openRaw().run("UPDATE factory_instance SET phase = 'running'")).toThrow("UNIQUE");
    expect(store.open().map(({ seq }) => seq)).toEqual([2]);
  });

  test("never uses a seq twice", () => {
    const store = open();
    store.advance(store.begin(fresh({ seq: 1 })), { phase: "dropped" });
    expect(() => store.begin(fresh({ seq: 1 }))).toThrow("UNIQUE");
    expect(store.largestSeq("a")).toBe(1);
    expect(store.largestSeq("b")).toBe(0);
  });

  test("lists open, latest and ended instances", () => {
    const store = open();
    const end = (seq: number, endedMs: number, testbed = "a"): void => {
      store.advance(store.begin(fresh({ testbed, seq })), { phase: "dropped", endedMs });
    };
    end(1, 50);
    end(2, 70);
    end(1, 60, "b");
    store.begin(fresh({ seq: 3, begunMs: 2 }));
    store.begin(fresh({ testbed: "c", seq: 4, begunMs: 1 }));
    const names = (instances: Instance[]): string[] =>
      instances.map(({ testbed, seq }) => `${testbed}/${seq}`);
    // In the order of their starts, even if the wall clock jumped.
    expect(names(store.open())).toEqual(["a/3", "c/4"]);
    expect(names(store.latest()).toSorted()).toEqual(["a/3", "b/1", "c/4"]);
    expect(names(store.ended())).toEqual(["a/2", "b/1", "a/1"]);
  });

  test("keeps a testbed's trouble until it is over", () => {
    const store = open();
    const trouble = { reason: "no route", sinceMs: 17, recoveries: 2 };
    store.setTrouble("a", { ...trouble, recoveries: 1 });
    store.setTrouble("a", trouble);
    store.setTrouble("b", trouble);
    store.setTrouble("b", null);
    expect([...open().troubles()]).toEqual([["a", trouble]]);
  });

  test("keeps health until it is cleared", () => {
    const store = open();
    const health = { strikes: 2, retryAt: at(5), reason: "it fell" };
    store.setHealth("a", { ...health, strikes: 1 });
    store.setHealth("a", health);
    store.setHealth("b", health);
    store.setHealth("b", null);
    expect([...open().health()]).toEqual([["a", health]]);
  });

  test("keeps the summary of the last configuration, and ignores one that another version wrote", () => {
    const store = open();
    expect(store.configSummary()).toBeNull();
    const summary = { hash: "h", testbeds: [], targets: [{ name: "t", id: null }] };
    store.setConfigSummary({ ...summary, hash: "g" });
    store.setConfigSummary(summary);
    expect(open().configSummary()).toEqual(summary);
    openRaw().run("UPDATE factory_reading SET reading = '{}'");
    expect(open().configSummary()).toBeNull();
  });

  test("does not show secrets when a record is printed", () => {
    const store = open();
    store.begin(fresh({ bootstrap: new Secret("canary") }));
    expect(JSON.stringify(store.open()) + Bun.inspect(store.open())).not.toContain("canary");
  });
});

describe("the file", () => {
  test("is in WAL mode, and every commit is synced", () => {
    const { database } = openSeen();
    // 2 is FULL.
    expect(database.query("PRAGMA synchronous").get()).toEqual({ synchronous: 2 });
    expect(database.query("PRAGMA busy_timeout").get()).toEqual({ timeout: 250 });
    expect(openRaw().query("PRAGMA journal_mode").get()).toEqual({ journal_mode: "wal" });
  });

  test("can be opened again and again", () => {
    for (let time = 0; time < 3; time += 1) open().close();
    expect(openRaw().query("SELECT version FROM factory_schema").all()).toEqual([{ version: 6 }]);
  });

  test("in a missing directory gives an error for the user", () => {
    path = `${directory}/missing/data.sqlite3`;
    const failure = failureOf(() => open());
    expect(failure.message).toContain(path);
    expect(failure.hint).toContain("-d");
    expect(failure.exitCode).toBe(2);
    expect(failureOf(() => lockStore(path)).message).toContain(`${path}.lock`);
    expect(existsSync(`${directory}/missing`)).toBe(false);
  });

  test("F25 that is a directory or not a database gives an error for the user, and is not changed", () => {
    mkdirSync(path);
    expect(failureOf(() => open()).message).toContain(path);
    rmSync(path, { recursive: true });
    writeFileSync(path, "precious notes, no database ".repeat(100));
    expect(failureOf(() => open()).message).toMatch(/not a database/);
    expect(statSync(path).size).toBe(2800);
  });

  test("of a newer version is refused with a hint and not changed", () => {
    open().close();
    openRaw().run("UPDATE factory_schema SET version = 999");
    const failure = failureOf(() => open());
    expect(failure.message).toContain("newer version");
    expect(failure.hint).toContain("-d");
    expect(openRaw().query("SELECT version FROM factory_schema").all()).toEqual([{ version: 999 }]);
  });

  test("is closed if it cannot be used", () => {
    open().close();
    openRaw().run("UPDATE factory_schema SET version = 999");
    const spy = spyOn(Database.prototype, "close");
    try {
      failureOf(() => open());
      expect(spy).toHaveBeenCalledTimes(1);
    } finally {
      spy.mockRestore();
    }
  });

  test("F24 that another program writes gives errors that may pass; only the first commit waits, until one succeeds again", () => {
    const { store, database } = openSeen();
    const begun = store.begin(fresh());
    const waitMs = (): unknown => database.query("PRAGMA busy_timeout").get();
    const other = openRaw();
    other.run("BEGIN IMMEDIATE");
    expect(waitMs()).toEqual({ timeout: 250 });
    for (let commit = 1; commit <= 3; commit += 1) {
      expect(isPassing(errorOf(() => store.advance(begun, { phase: "creating" })))).toBe(true);
      expect(waitMs()).toEqual({ timeout: 0 });
    }
    expect(isPassing(errorOf(() => store.tryWriting()))).toBe(true);
    other.run("ROLLBACK");
    store.tryWriting();
    expect(waitMs()).toEqual({ timeout: 250 });
  });

  test("on a full disk makes tryWriting() fail, because that really writes", () => {
    const store = open();
    const logBytes = (): number => statSync(`${path}-wal`).size;
    const before = logBytes();
    store.tryWriting();
    expect(logBytes()).toBeGreaterThan(before);
    expect(openRaw().query("SELECT count(*) AS rows FROM factory_schema").get()).toEqual({ rows: 1 });
  });

  test("F23 on a full disk gives an error that may pass, and loses nothing", () => {
    const { store, database } = openSeen();
    const { page_count } = database.query<{ page_count: number }, []>("PRAGMA page_count").get() ?? {
      page_count: 0,
    };
    const begun = store.begin(fresh());
    database.run(`PRAGMA max_page_count = ${page_count}`);
    const thrown = errorOf(() => store.advance(begun, { phase: "created", worker: "w".repeat(100_000) }));
    expect(isPassing(thrown)).toBe(true);
    database.run("PRAGMA max_page_count = 1000000");
    expect(
      open()
        .open()
        .map(({ phase }) => phase),
    ).toEqual(["preparing"]);
    store.advance(begun, { phase: "created", worker: "w" });
  });

  test("our own errors do not count as errors that may pass", () => {
    const store = open();
    store.begin(fresh({ seq: 1 }));
    expect(isPassing(errorOf(() => store.begin(fresh({ seq: 2 }))))).toBe(false);
    expect(isPassing(Object.assign(new Error("database is locked"), { code: "SQLITE_BUSY" }))).toBe(false);
  });
});

function errorOf(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
}

describe("the Rust factory's table", () => {
  test("is created exactly as that factory creates it", () => {
    open();
    const raw = openRaw();
    expect(raw.query("PRAGMA user_version").get()).toEqual({ user_version: 2 });
    const columns = raw.query<{ name: string; pk: number }, []>("PRAGMA table_info(instance)").all();
    expect(columns.map(({ name }) => name)).toEqual([
      "testbed_name",
      "seq",
      "worker",
      "target",
      "state",
      "bootstrap",
      "flushed",
    ]);
    expect(columns.filter(({ pk }) => pk > 0).map(({ name }) => name)).toEqual(["testbed_name", "seq"]);
    const index = raw
      .query<{ sql: string }, []>("SELECT sql FROM sqlite_schema WHERE name = 'instance_active'")
      .get();
    expect(index?.sql).toContain("WHERE state NOT IN ('destroyed')");
  });

  test("follows every phase", () => {
    const store = open();
    let instance = store.begin(fresh());
    expect(rustRows()).toEqual([]);
    for (const phase of openPhases.slice(1)) {
      const worker = phase === "creating" ? null : "worker-1";
      instance = store.advance(instance, { phase, worker, bootstrap: new Secret("b") });
      const state = rustState(phase);
      const row = {
        testbed_name: "a",
        seq: 7,
        worker: "worker-1",
        target: instance.target,
        bootstrap: "b",
        flushed: 0,
      };
      expect(rustRows()).toEqual(state === null ? [] : [{ ...row, state }]);
    }
    store.advance(instance, { phase: "destroyed", isFlushed: true });
    expect(rustRows().map(({ state, flushed }) => [state, flushed])).toEqual([["destroyed", 1]]);
  });

  test("has no row of an instance that never had a worker", () => {
    const store = open();
    store.advance(store.advance(store.begin(fresh()), { phase: "creating" }), { phase: "dropped" });
    expect(rustRows()).toEqual([]);
  });

  const rustSchema = `
    CREATE TABLE instance (
      testbed_name TEXT NOT NULL, seq INTEGER NOT NULL, worker TEXT NOT NULL, target TEXT NOT NULL,
      state TEXT NOT NULL, bootstrap TEXT NOT NULL, flushed INTEGER NOT NULL,
      PRIMARY KEY (testbed_name, seq));
    CREATE INDEX instance_active ON instance (state) WHERE state NOT IN ('destroyed');
    PRAGMA user_version = 2;`;

  function writeRustRows(rows: [string, number, string, number][]): void {
    const raw = openRaw();
    raw.run(rustSchema);
    const insert = raw.query("INSERT INTO instance VALUES (?, ?, ?, ?, ?, ?, ?)");
    for (const [testbed, seq, state, flushed] of rows) {
      insert.run(
        testbed,
        seq,
        `worker-${testbed}${seq}`,
        "target-1",
        state,
        `boot-${testbed}${seq}`,
        flushed,
      );
    }
  }

  test("is taken over: instances that may run count as running, destroyed ones stay destroyed", () => {
    writeRustRows([
      ["a", 1, "destroyed", 1],
      ["a", 2, "created", 0],
      ["b", 5, "running", 1],
      ["c", 9, "destroying", 1],
    ]);
    const before = rustRows();
    const store = open(4242);
    const taken = store.open().map(({ testbed, seq, phase, worker, isFlushed, wentAt, job, place }) => ({
      name: `${testbed}/${seq}`,
      phase,
      worker,
      isFlushed,
      wentAt,
      job,
      place,
    }));
    const rest = { wentAt: null, job: null };
    const placeOf = (name: string): Instance["place"] => ({
      way: "rust",
      at: "unknown",
      directory: `/work/${name}`,
      agent: "external",
    });
    expect(taken).toEqual([
      {
        name: "a/2",
        phase: "running",
        worker: "worker-a2",
        isFlushed: false,
        place: placeOf("a_2"),
        ...rest,
      },
      { name: "b/5", phase: "running", worker: "worker-b5", isFlushed: true, place: placeOf("b_5"), ...rest },
      {
        name: "c/9",
        phase: "destroying",
        worker: "worker-c9",
        isFlushed: true,
        place: placeOf("c_9"),
        ...rest,
      },
    ]);
    expect(store.open()[0]?.bootstrap?.reveal()).toBe("boot-a2");
    expect(store.open().some(({ isBound, isOnline }) => isBound || isOnline)).toBe(false);
    expect(store.ended().map(({ testbed, seq, endedMs }) => [testbed, seq, endedMs])).toEqual([
      ["a", 1, 4242],
    ]);
    expect(store.largestSeq("a")).toBe(2);
    expect(rustRows()).toEqual(before);
    expect(openRaw().query("PRAGMA user_version").get()).toEqual({ user_version: 2 });
  });

  test("is taken over once, and its rows then advance like our own", () => {
    writeRustRows([["a", 2, "created", 0]]);
    const [adopted] = open().open();
    if (adopted === undefined) throw new Error("it was not taken over");
    open().advance(adopted, { phase: "destroyed", endedMs: 1 });
    expect(rustRows().map(({ state }) => state)).toEqual(["destroyed"]);
    expect(open().open()).toEqual([]);
    expect(open().ended()).toHaveLength(1);
  });

  test("takes over what the Rust factory added after it ran in between", () => {
    open().close();
    const raw = openRaw();
    raw.run("INSERT INTO instance VALUES ('a', 3, 'w', 't', 'running', 'b', 0)");
    expect(
      open()
        .open()
        .map(({ seq }) => seq),
    ).toEqual([3]);
  });

  test("wins if the Rust factory reused the seq of an instance of ours that never had a worker", () => {
    const store = open();
    store.advance(store.begin(fresh({ seq: 1 })), { phase: "dropped" });
    store.begin(fresh({ seq: 2 }));
    store.close();
    const raw = openRaw();
    raw.run("INSERT INTO instance VALUES ('a', 1, 'w1', 't', 'destroyed', 'b', 1)");
    raw.run("INSERT INTO instance VALUES ('a', 2, 'w2', 't', 'running', 'b', 0)");
    const found = open().open();
    expect(found.map(({ seq, phase, worker }) => [seq, phase, worker])).toEqual([[2, "running", "w2"]]);
    expect(
      open()
        .ended()
        .map(({ seq, worker }) => [seq, worker]),
    ).toEqual([[1, "w1"]]);
  });

  test("is taken over even with two open instances of one testbed, and the testbed waits for both", () => {
    writeRustRows([
      ["a", 1, "running", 0],
      ["b", 1, "running", 0],
      ["b", 2, "running", 0],
    ]);
    const store = open();
    expect(store.open().map(({ testbed, seq }) => `${testbed}/${seq}`)).toEqual(["a/1", "b/1", "b/2"]);
    expect(() => store.begin(fresh({ testbed: "b", seq: 3 }))).toThrow("b/1 is not destroyed");
    for (const instance of store.open()) store.advance(instance, { phase: "destroyed" });
    expect(store.begin(fresh({ testbed: "b", seq: 3 })).seq).toBe(3);
  });

  test("shows which instances an operator has cleared", () => {
    writeRustRows([["a", 1, "running", 0]]);
    open().close();
    openRaw().run("UPDATE instance SET state = 'destroyed'");
    const [cleared] = open().open();
    expect(cleared).toMatchObject({ phase: "destroying", untold: "it was marked destroyed in the database" });
    expect(cleared?.isCleared).toBe(true);
  });
});

describe("openStoreForReading()", () => {
  test("reads beside a writer, also while one commits", () => {
    const store = open();
    store.begin(fresh());
    store.setHealth("a", { strikes: 1, retryAt: at(1), reason: "it fell" });
    const raw = openRaw();
    raw.run("BEGIN IMMEDIATE");
    const reader = openStoreForReading(path);
    expect(reader?.latest().map(({ seq }) => seq)).toEqual([7]);
    expect(reader?.health().size).toBe(1);
    raw.run("COMMIT");
    const begun = store.begin(fresh({ testbed: "b" }));
    expect(reader?.latest()).toHaveLength(2);
    store.advance(begun, { phase: "created", worker: "w" });
    expect(reader?.latest().find(({ testbed }) => testbed === "b")?.phase).toBe("created");
    reader?.close();
  });

  test("reads while a daemon holds the lock", () => {
    const lock = lockStore(path);
    open().begin(fresh());
    const reader = openStoreForReading(path);
    expect(reader?.latest()).toHaveLength(1);
    reader?.close();
    lock?.release();
  });

  test("returns null if none of the tables is ours; names a missing file and does not create it", () => {
    expect(() => openStoreForReading(path)).toThrow(path);
    expect(existsSync(path)).toBe(false);
    openRaw().run("CREATE TABLE instance (testbed_name TEXT)");
    expect(openStoreForReading(path)).toBeNull();
  });

  test("writes nothing", () => {
    open().close();
    const reader = openStoreForReading(path) as Store;
    expect(() => reader.setHealth("a", null)).toThrow("readonly");
    reader.close();
  });
});

/** A child that runs store-child.ts, and its standard output line by line. */
function startChild(verb: "lock" | "write"): { child: Bun.Subprocess; lines: AsyncIterator<string> } {
  const child = Bun.spawn([process.execPath, `${import.meta.dir}/store-child.ts`, verb, path], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  children.push(child);
  return { child, lines: linesOf(child.stdout) };
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

describe("lockStore()", () => {
  test("gives the lock to one holder, and to another after its release", () => {
    const first = lockStore(path);
    expect(first).not.toBeNull();
    expect(lockStore(path)).toBeNull();
    first?.release();
    const second = lockStore(path);
    expect(second).not.toBeNull();
    second?.release();
  });

  test("has a separate lock for each database", () => {
    const first = lockStore(path);
    const other = lockStore(`${directory}/other.sqlite3`);
    expect(other).not.toBeNull();
    first?.release();
    other?.release();
  });

  test("keeps other processes out, and frees the lock when its holder is killed", async () => {
    const { child, lines } = startChild("lock");
    expect((await lines.next()).value).toBe("held");
    expect(lockStore(path)).toBeNull();
    child.kill("SIGKILL");
    await child.exited;
    const lock = lockStore(path);
    expect(lock).not.toBeNull();
    const refused = startChild("lock");
    expect((await refused.lines.next()).value).toBe("refused");
    lock?.release();
  });

  test("gives an error for the user if the lock's file is not a database", () => {
    writeFileSync(`${path}.lock`, "no database at all ".repeat(100));
    expect(failureOf(() => lockStore(path)).message).toContain(`${path}.lock`);
  });

  testAsMortal(import.meta.path, "gives an error for the user if the directory cannot be written", () => {
    chmodSync(directory, 0o500);
    expect(failureOf(() => lockStore(path)).message).toContain(path);
    expect(failureOf(() => open()).message).toContain(path);
    chmodSync(directory, 0o700);
  });
});

describe("a crash", () => {
  const phases = ["preparing", "running", "destroyed"];

  test("loses no commit and does not damage the file", async () => {
    // Killed at 8 arbitrary moments: every reported commit is there, and at most one more.
    let rank = 0;
    for (const count of [1, 2, 7, 20, 33, 58, 90, 140]) {
      rmSync(directory, { recursive: true });
      mkdirSync(directory);
      const { child, lines } = startChild("write");
      let told = "";
      for (let line = 0; line < count; line += 1) told = (await lines.next()).value ?? "";
      child.kill("SIGKILL");
      await child.exited;
      for (let line = await lines.next(); line.done !== true; line = await lines.next()) told = line.value;
      const [seqText = "", phase = ""] = told.split(" ");
      rank = Number(seqText) * 3 + phases.indexOf(phase);

      const store = open();
      expect(openRaw().query("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
      const [last] = store.latest();
      const found = (last?.seq ?? 0) * 3 + phases.indexOf(last?.phase ?? "");
      expect([0, 1]).toContain(found - rank);
      expect(store.open().length).toBeLessThanOrEqual(1);
      expect(store.ended()).toHaveLength((last?.seq ?? 0) - (last?.phase === "destroyed" ? 0 : 1));
      const rust = rustRows().filter(({ state }) => state !== "destroyed");
      expect(rust.map(({ seq }) => seq)).toEqual(last?.phase === "running" ? [last.seq] : []);
      store.close();
    }
    // Eight processes, on a machine that may be busy.
  }, 60_000);

  test("F22 that cuts the log of commits anywhere leaves a complete earlier state", () => {
    const store = open();
    let instance = store.begin(fresh());
    for (const phase of openPhases.slice(1)) {
      instance = store.advance(instance, { phase, worker: hasWorker(phase) ? "w" : null });
    }
    const size = statSync(`${path}-wal`).size;
    const [image, wal] = [readFileSync(path), readFileSync(`${path}-wal`)];
    let latest = openPhases.length;
    for (let cut = size; cut >= 0; cut -= 997) {
      path = `${directory}/cut-${cut}.sqlite3`;
      writeFileSync(path, image);
      writeFileSync(`${path}-wal`, wal);
      truncateSync(`${path}-wal`, cut);
      const raw = openRaw();
      expect(raw.query("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
      raw.close();
      const found = open().open()[0];
      const rank = found === undefined ? -1 : openPhases.indexOf(found.phase as (typeof openPhases)[number]);
      expect(rank).toBeLessThanOrEqual(latest);
      latest = rank;
    }
    expect(latest).toBe(-1);
  });
});

test("cannotOpen() says of a full disk that it is full", () => {
  const full = new Database(":memory:");
  full.run("PRAGMA max_page_count = 1");
  try {
    full.run("CREATE TABLE large (x)");
    throw new Error("there was room");
  } catch (error) {
    const { message, hint } = cannotOpen("/data.sqlite3", error);
    expect(message).toBe("Cannot write the database /data.sqlite3: database or disk is full");
    expect(hint).toBe("The disk is full: make room and try again");
  } finally {
    full.close();
  }
});
