/**
 * The database: the Rust factory's table of instances, carried on as it is, and ours beside it.
 * What is committed here is what a restart knows. Only this file speaks SQL.
 */
import { Database, SQLiteError } from "bun:sqlite";
import { z } from "zod";
import {
  canMove,
  type Health,
  type Instance,
  instanceName,
  type Moment,
  type Phase,
  type Place,
  rustState,
} from "./domain.ts";
import { errorText, FactoryError } from "./failure.ts";
import { Secret } from "./secret.ts";

export interface Store {
  /** Instances that are not destroyed or dropped, oldest first. */
  open(): Instance[];
  /** The last instance of each testbed, whatever its phase. */
  latest(): Instance[];
  /** Instances that ended, the one that ended last first. */
  ended(): Instance[];
  /** The largest seq of a testbed among the rows; 0 where there are none. */
  largestSeq(testbed: string): number;
  /** Commits a new instance. Throws where its testbed has an open one. */
  begin(instance: Instance): Instance;
  /** Commits what changed and returns the new record. Throws on a phase that would move backward. */
  advance(instance: Instance, changes: Partial<Omit<Instance, "testbed" | "seq">>): Instance;
  health(): Map<string, Health>;
  setHealth(testbed: string, health: Health | null): void;
  close(): void;
}

/** Versions of our own tables; the Rust factory's user_version stays as it knows it. Append only. */
const migrations = [
  `CREATE TABLE factory_instance (
     testbed_name TEXT NOT NULL, seq INTEGER NOT NULL, phase TEXT NOT NULL, target TEXT NOT NULL,
     job TEXT, is_bound INTEGER NOT NULL, cookie TEXT NOT NULL, place TEXT NOT NULL,
     leased_at TEXT NOT NULL, create_sent_at TEXT, worker TEXT, bootstrap TEXT, went_at TEXT,
     is_online INTEGER NOT NULL, is_flushed INTEGER NOT NULL, limits TEXT NOT NULL,
     end_reason TEXT, untold TEXT, begun_ms INTEGER NOT NULL, ended_ms INTEGER,
     PRIMARY KEY (testbed_name, seq)
   ) STRICT;
   CREATE UNIQUE INDEX factory_instance_open ON factory_instance (testbed_name)
     WHERE phase NOT IN ('destroyed', 'dropped');
   CREATE TABLE factory_health (
     testbed_name TEXT PRIMARY KEY, strikes INTEGER NOT NULL, retry_at TEXT NOT NULL, reason TEXT NOT NULL
   ) STRICT;`,
];

/** The Rust factory's schema, version 2. */
const rustSchema = `
  CREATE TABLE instance (
    testbed_name TEXT NOT NULL, seq INTEGER NOT NULL, worker TEXT NOT NULL, target TEXT NOT NULL,
    state TEXT NOT NULL, bootstrap TEXT NOT NULL, flushed INTEGER NOT NULL,
    PRIMARY KEY (testbed_name, seq)
  );
  CREATE INDEX instance_active ON instance (state) WHERE state NOT IN ('destroyed');`;

const momentSchema = z.object({ bootId: z.string(), uptimeMs: z.number() });
const json = <T>(schema: z.ZodType<T>): z.ZodType<T> =>
  z.preprocess(
    (text): unknown => (typeof text === "string" ? JSON.parse(text) : text),
    schema,
  ) as z.ZodType<T>;
const rowSchema = z.object({
  testbed_name: z.string(),
  seq: z.number().int(),
  phase: z.enum([
    "preparing",
    "creating",
    "created",
    "starting",
    "running",
    "destroying",
    "stopped",
    "destroyed",
    "dropped",
  ]),
  target: z.string(),
  job: z.string().nullable(),
  is_bound: z.number(),
  cookie: z.string(),
  place: json(
    z.object({
      way: z.enum(["local", "ssh", "sp-runner", "unknown"]),
      directory: z.string(),
      agent: z.enum(["external", "built-in"]),
    }),
  ),
  leased_at: json(momentSchema),
  create_sent_at: json(momentSchema.nullable()),
  worker: z.string().nullable(),
  bootstrap: z.string().nullable(),
  went_at: json(momentSchema.nullable()),
  is_online: z.number(),
  is_flushed: z.number(),
  limits: json(
    z.object({
      startTimeoutMs: z.number(),
      jobTimeoutMs: z.number().nullable(),
      silenceTimeoutMs: z.number().nullable(),
    }),
  ),
  end_reason: z.string().nullable(),
  untold: z.string().nullable(),
  begun_ms: z.number(),
  ended_ms: z.number().nullable(),
});

/** Opens or creates the file, and takes over rows of the Rust factory. `directoryOf` says where their agents were put. */
export function openStore(options: {
  path: string;
  nowMs: number;
  directoryOf(row: { testbed: string; seq: number }): string;
}): Store {
  const database = openDatabase(options.path, { readonly: false });
  try {
    migrate(database, options.path);
    database.transaction(adoptRustRows)(database, options);
    return storeOn(database);
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Opens the file for reading only, while a daemon may be writing it; null where there is none yet. */
export function openStoreForReading(path: string): Pick<Store, "latest" | "health" | "close"> | null {
  try {
    const database = new Database(path, { readonly: true, strict: true });
    database.run("PRAGMA busy_timeout = 5000");
    if (hasTable(database, "factory_instance")) return storeOn(database);
    database.close();
    return null;
  } catch {
    return null;
  }
}

/** Holds a lock that ends with the process, so that no second factory writes `path`. Null: another one holds it. */
export function lockStore(path: string): { release(): void } | null {
  const lock = openDatabase(`${path}.lock`, { readonly: false });
  try {
    lock.run("PRAGMA busy_timeout = 0");
    lock.run("BEGIN EXCLUSIVE");
    return { release: () => lock.close() };
  } catch (error) {
    lock.close();
    if (errorText(error).includes("locked")) return null;
    throw cannotOpen(`${path}.lock`, error);
  }
}

function openDatabase(path: string, { readonly }: { readonly: boolean }): Database {
  try {
    return new Database(path, readonly ? { readonly, strict: true } : { create: true, strict: true });
  } catch (error) {
    throw cannotOpen(path, error);
  }
}

function cannotOpen(path: string, error: unknown): FactoryError {
  return new FactoryError(`Cannot open the database ${path}: ${errorText(error)}`, {
    hint: "Its directory must exist and be writable by this user, on a local disk; -d names another file",
    cause: error,
  });
}

function hasTable(database: Database, name: string): boolean {
  return database.query("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?").get(name) !== null;
}

function migrate(database: Database, path: string): void {
  try {
    database.run("PRAGMA busy_timeout = 5000");
    database.run("PRAGMA journal_mode = WAL");
    // Every commit is on the disk before the effect that it announces.
    database.run("PRAGMA synchronous = FULL");
    database.transaction(() => {
      if (!hasTable(database, "instance")) {
        database.run(rustSchema);
        database.run("PRAGMA user_version = 2");
      }
      database.run("CREATE TABLE IF NOT EXISTS factory_schema (version INTEGER NOT NULL) STRICT");
      const row = database.query<{ version: number }, []>("SELECT version FROM factory_schema").get();
      const version = row?.version ?? 0;
      if (version > migrations.length) {
        throw new FactoryError(`Cannot use the database ${path}: a newer version of this program wrote it`, {
          hint: "Install that version, or name another file with -d",
        });
      }
      for (const migration of migrations.slice(version)) database.run(migration);
      database.run("DELETE FROM factory_schema");
      database.run("INSERT INTO factory_schema VALUES (?)", [migrations.length]);
    })();
  } catch (error) {
    throw error instanceof FactoryError ? error : cannotOpen(path, error);
  }
}

interface RustRow {
  testbed_name: string;
  seq: number;
  worker: string;
  target: string;
  state: string;
  bootstrap: string;
  flushed: number;
}

function adoptRustRows(
  database: Database,
  { path, nowMs, directoryOf }: Parameters<typeof openStore>[0],
): void {
  // An instance of ours without a worker has no row there: a Rust factory that ran in between may have used its seq.
  database.run(
    `DELETE FROM factory_instance AS ours WHERE worker IS NULL AND EXISTS (SELECT 1 FROM instance AS theirs
       WHERE ours.testbed_name = theirs.testbed_name AND ours.seq = theirs.seq)`,
  );
  const rows = database
    .query<RustRow, []>(
      `SELECT * FROM instance AS theirs WHERE NOT EXISTS (SELECT 1 FROM factory_instance AS ours
         WHERE ours.testbed_name = theirs.testbed_name AND ours.seq = theirs.seq)`,
    )
    .all();
  const phases: Record<string, Phase> = { destroying: "destroying", destroyed: "destroyed" };
  for (const row of rows) {
    const place: Place = {
      way: "unknown",
      directory: directoryOf({ testbed: row.testbed_name, seq: row.seq }),
      agent: "external",
    };
    const phase = phases[row.state] ?? "running";
    if (phase !== "destroyed") refuseSecondOpen(database, row, path);
    insert(database, {
      testbed: row.testbed_name,
      seq: row.seq,
      // `created` too: whether its agent was started is not known, so it counts as started.
      phase,
      target: row.target,
      job: null,
      isBound: false,
      cookie: "",
      place,
      leasedAt: { bootId: "", uptimeMs: 0 },
      createSentAt: null,
      worker: row.worker,
      bootstrap: new Secret(row.bootstrap),
      wentAt: null,
      isOnline: false,
      isFlushed: row.flushed !== 0,
      startTimeoutMs: 300_000,
      jobTimeoutMs: null,
      silenceTimeoutMs: null,
      endReason: null,
      untold: null,
      begunMs: nowMs,
      endedMs: row.state === "destroyed" ? nowMs : null,
    });
  }
}

/** Which of two is the one that runs on the testbed, nobody here can know. */
function refuseSecondOpen(database: Database, { testbed_name, seq }: RustRow, path: string): void {
  const other = database
    .query<{ seq: number }, [string]>(
      "SELECT seq FROM factory_instance WHERE testbed_name = ? AND phase NOT IN ('destroyed', 'dropped')",
    )
    .get(testbed_name);
  if (other === null) return;
  const names = [other.seq, seq].map((each) => instanceName({ testbed: testbed_name, seq: each }));
  throw new FactoryError(`Cannot use the database ${path}: ${names.join(" and ")} are both not destroyed`, {
    hint: "Let the factory that wrote it end them, or name another file with -d",
  });
}

function insert(database: Database, instance: Instance): void {
  const columns = columnsOf(instance);
  const names = Object.keys(columns);
  database
    .query(
      `INSERT INTO factory_instance (testbed_name, seq, ${names.join(", ")})
       VALUES ($testbed_name, $seq, ${names.map((name) => `$${name}`).join(", ")})`,
    )
    .run({ testbed_name: instance.testbed, seq: instance.seq, ...columns });
}

function columnsOf(instance: Instance): Record<string, string | number | null> {
  const moment = (value: Moment | null): string | null => (value === null ? null : JSON.stringify(value));
  const { startTimeoutMs, jobTimeoutMs, silenceTimeoutMs } = instance;
  return {
    phase: instance.phase,
    target: instance.target,
    job: instance.job,
    is_bound: Number(instance.isBound),
    cookie: instance.cookie,
    place: JSON.stringify(instance.place),
    leased_at: moment(instance.leasedAt),
    create_sent_at: moment(instance.createSentAt),
    worker: instance.worker,
    bootstrap: instance.bootstrap?.reveal() ?? null,
    went_at: moment(instance.wentAt),
    is_online: Number(instance.isOnline),
    is_flushed: Number(instance.isFlushed),
    limits: JSON.stringify({ startTimeoutMs, jobTimeoutMs, silenceTimeoutMs }),
    end_reason: instance.endReason,
    untold: instance.untold,
    begun_ms: instance.begunMs,
    ended_ms: instance.endedMs,
  };
}

function instanceOf(row: unknown): Instance {
  const columns = rowSchema.parse(row);
  return {
    testbed: columns.testbed_name,
    seq: columns.seq,
    phase: columns.phase,
    target: columns.target,
    job: columns.job,
    isBound: columns.is_bound !== 0,
    cookie: columns.cookie,
    place: columns.place,
    leasedAt: columns.leased_at,
    createSentAt: columns.create_sent_at,
    worker: columns.worker,
    bootstrap: columns.bootstrap === null ? null : new Secret(columns.bootstrap),
    wentAt: columns.went_at,
    isOnline: columns.is_online !== 0,
    isFlushed: columns.is_flushed !== 0,
    ...columns.limits,
    endReason: columns.end_reason,
    untold: columns.untold,
    begunMs: columns.begun_ms,
    endedMs: columns.ended_ms,
  };
}

function storeOn(database: Database): Store {
  const select = (where: string): Instance[] =>
    database.query(`SELECT * FROM factory_instance WHERE ${where}`).all().map(instanceOf);

  /** Only over the record that `before` is: an older one must not undo what was committed since. */
  function write(before: Instance, instance: Instance): void {
    const columns = columnsOf(instance);
    const sets = Object.keys(columns).map((name) => `${name} = $${name}`);
    const { changes } = database
      .query(
        `UPDATE factory_instance SET ${sets.join(", ")}
         WHERE testbed_name = $testbed_name AND seq = $seq AND phase = $before`,
      )
      .run({ testbed_name: instance.testbed, seq: instance.seq, before: before.phase, ...columns });
    if (changes !== 1) throw new Error(`${instanceName(instance)} is not ${before.phase} in the database`);
    const state = rustState(instance.phase);
    if (state === null || instance.worker === null) return;
    database
      .query(
        `INSERT INTO instance VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET state = excluded.state, flushed = excluded.flushed`,
      )
      .run(
        instance.testbed,
        instance.seq,
        instance.worker,
        instance.target,
        state,
        instance.bootstrap?.reveal() ?? "",
        Number(instance.isFlushed),
      );
  }

  return {
    open: () => select("phase NOT IN ('destroyed', 'dropped') ORDER BY begun_ms, testbed_name"),
    latest: () =>
      select(
        "seq = (SELECT max(seq) FROM factory_instance AS x WHERE x.testbed_name = factory_instance.testbed_name)",
      ),
    ended: () => select("ended_ms IS NOT NULL ORDER BY ended_ms DESC, testbed_name, seq DESC"),
    largestSeq: (testbed) =>
      database
        .query<{ seq: number | null }, [string]>(
          "SELECT max(seq) AS seq FROM factory_instance WHERE testbed_name = ?",
        )
        .get(testbed)?.seq ?? 0,
    begin: (instance) => {
      insert(database, instance);
      return instance;
    },
    advance: (instance, changes) => {
      const next = { ...instance, ...changes };
      if (next.phase !== instance.phase && !canMove(instance.phase, next.phase)) {
        throw new Error(`${instanceName(instance)} cannot move from ${instance.phase} to ${next.phase}`);
      }
      database.transaction(write)(instance, next);
      return next;
    },
    health: () => {
      const rows = database
        .query<{ testbed_name: string; strikes: number; retry_at: string; reason: string }, []>(
          "SELECT * FROM factory_health",
        )
        .all();
      return new Map(
        rows.map(({ testbed_name, strikes, retry_at, reason }) => [
          testbed_name,
          { strikes, reason, retryAt: momentSchema.parse(JSON.parse(retry_at)) },
        ]),
      );
    },
    setHealth: (testbed, health) => {
      if (health === null) {
        database.query("DELETE FROM factory_health WHERE testbed_name = ?").run(testbed);
        return;
      }
      database
        .query("INSERT OR REPLACE INTO factory_health VALUES (?, ?, ?, ?)")
        .run(testbed, health.strikes, JSON.stringify(health.retryAt), health.reason);
    },
    close: () => database.close(),
  };
}

/** SQLite's own codes for what passes: another writer, a full disk, a file system that is read-only for a while. */
const passingCodes = ["SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_READONLY"];

/** Whether an error of the store's says that nothing was written and that it may go better later. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof SQLiteError)) return false;
  return passingCodes.some((code) => error.code?.startsWith(code) === true);
}
