/**
 * Opens, locks and migrates the database file, and explains its errors. row.ts knows the content of rows.
 */
import { Database, SQLiteError } from "bun:sqlite";
import { errorText, FactoryError, fullDiskHint, isDiskFull } from "../words/failure.ts";

/** The daemon's whole loop waits for up to this time while another program, such as `sqlite3`, writes the file. */
export const busyTimeoutMs = 250;

/**
 * Versions of our own tables; the Rust factory's user_version does not change. Append only. After a migration that only
 * adds (see README.md), the previous version can still use the file, so an update can be rolled back.
 */
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
  // The Rust factory's rows have no cookie, and its file may have two open rows of one testbed.
  `DROP INDEX factory_instance_open;
   CREATE UNIQUE INDEX factory_instance_open ON factory_instance (testbed_name)
     WHERE phase NOT IN ('destroyed', 'dropped') AND cookie <> '';`,
  `CREATE TABLE factory_trouble (
     testbed_name TEXT PRIMARY KEY, reason TEXT NOT NULL, since_ms INTEGER NOT NULL, recoveries INTEGER NOT NULL
   ) STRICT;`,
  // Earlier versions wrote it in `clear`; nothing reads it any more.
  `CREATE TABLE factory_word (
     testbed_name TEXT NOT NULL, seq INTEGER NOT NULL, because TEXT NOT NULL, is_obeyed INTEGER, answer TEXT,
     PRIMARY KEY (testbed_name, seq)
   ) STRICT;`,
  "CREATE TABLE factory_reading (id INTEGER PRIMARY KEY CHECK (id = 1), reading TEXT NOT NULL) STRICT;",
  // Finds rows to prune by age without a scan of the whole table.
  "CREATE INDEX factory_instance_ended ON factory_instance (ended_ms) WHERE ended_ms IS NOT NULL;",
  "ALTER TABLE factory_instance ADD COLUMN end_cause TEXT;",
  // `intent` and `entry` are JSON: what they hold is checked when it is read.
  `CREATE TABLE factory_intent (testbed_name TEXT PRIMARY KEY, intent TEXT NOT NULL) STRICT;
   CREATE TABLE factory_journal (
     id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, what TEXT NOT NULL, testbed_name TEXT, job TEXT, job_name TEXT,
     entry TEXT NOT NULL
   ) STRICT;
   CREATE INDEX factory_journal_testbed ON factory_journal (testbed_name);
   CREATE INDEX factory_journal_at ON factory_journal (at_ms);
   CREATE INDEX factory_journal_name ON factory_journal (job_name) WHERE job_name IS NOT NULL;
   CREATE INDEX factory_journal_job ON factory_journal (job) WHERE job IS NOT NULL;`,
  "CREATE TABLE factory_told (name TEXT PRIMARY KEY) STRICT;",
];

/** Whether a version that does not know this migration can still write the file. A unique index would refuse its rows. */
export function isAdditive(migration: string): boolean {
  const statements = migration.split(";").filter((each) => each.trim() !== "");
  return statements.every((each) =>
    /^\s*(?:CREATE TABLE|CREATE INDEX|ALTER TABLE \w+ ADD COLUMN)\s/.test(each),
  );
}

/** `factory_schema` is never below this: older programs would run these migrations again. */
const knownToAll = 6;

/** `writes`: the version that this program migrates a file to. `reads`: the version that a program must know to use it then. */
export const tables = {
  writes: migrations.length,
  reads: Math.max(knownToAll, migrations.findLastIndex((migration) => !isAdditive(migration)) + 1),
};

/** The Rust factory's schema, version 2. */
const rustSchema = `
  CREATE TABLE instance (
    testbed_name TEXT NOT NULL, seq INTEGER NOT NULL, worker TEXT NOT NULL, target TEXT NOT NULL,
    state TEXT NOT NULL, bootstrap TEXT NOT NULL, flushed INTEGER NOT NULL,
    PRIMARY KEY (testbed_name, seq)
  );
  CREATE INDEX instance_active ON instance (state) WHERE state NOT IN ('destroyed');`;

/** Takes a lock that ends with the process, so that only one factory writes `path`. Null: another factory holds it. */
export function lockStore(path: string): { release(): void } | null {
  const lock = openDatabase(`${path}.lock`);
  try {
    // isFactoryRunning() may hold a read lock for a moment.
    lock.run("PRAGMA busy_timeout = 250");
    // A journal on the disk finds no room on a full one, where a roll-back to an older version must work.
    lock.run("PRAGMA journal_mode = MEMORY");
    lock.run("BEGIN EXCLUSIVE");
    return { release: () => lock.close() };
  } catch (error) {
    lock.close();
    if (errorText(error).includes("locked")) return null;
    throw cannotOpen(`${path}.lock`, error);
  }
}

/** Whether a factory holds the lock of `path`. It does not disturb that factory, and does not create the lock's file. */
export async function isFactoryRunning(
  path: string,
  isThere: (path: string) => Promise<boolean>,
): Promise<boolean> {
  if (!(await isThere(`${path}.lock`))) return false;
  let lock: Database | null = null;
  try {
    lock = new Database(`${path}.lock`, { readonly: true, strict: true });
    hasTable(lock, "any");
    return false;
  } catch (error) {
    if (errorText(error).includes("locked")) return true;
    throw cannotOpen(`${path}.lock`, error);
  } finally {
    lock?.close();
  }
}

/** Opens the file for writing; creates it if it does not exist. */
export function openDatabase(path: string): Database {
  try {
    return new Database(path, { create: true, strict: true });
  } catch (error) {
    throw cannotOpen(path, error);
  }
}

/** Opens an existing file for reading only. */
export function openReadOnly(path: string): Database {
  try {
    const database = new Database(path, { readonly: true, strict: true });
    database.run("PRAGMA busy_timeout = 5000");
    return database;
  } catch (error) {
    throw cannotOpen(path, error);
  }
}

export function cannotOpen(path: string, error: unknown): FactoryError {
  if (isDiskFull(error)) {
    const message = `Cannot write the database ${path}: ${errorText(error)}`;
    return new FactoryError(message, { hint: fullDiskHint, cause: error });
  }
  return new FactoryError(`Cannot open the database ${path}: ${errorText(error)}`, {
    hint: /not a database|malformed|damaged/.test(errorText(error))
      ? "Move it aside, but keep it; running agents are found again without it. Or name another file with -d"
      : "Its directory must exist, be writable by this user and be on a local disk with room; or name another file with -d",
    cause: error,
  });
}

/** Throws a FactoryError that names `path` if the file is damaged. */
function examine(database: Database, path: string): void {
  try {
    const { quick_check: found } = database
      .query<{ quick_check: string }, []>("PRAGMA quick_check(1)")
      .get() ?? { quick_check: "no answer" };
    if (found !== "ok") throw new Error(`it is damaged: ${found}`);
  } catch (error) {
    throw cannotOpen(path, error);
  }
}

export function hasTable(database: Database, name: string): boolean {
  return database.query("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?").get(name) !== null;
}

/**
 * `least` is the version that a program must know to use the file; programs from before `factory_additions` check only this
 * number. `version` also counts migrations that only added.
 */
function versionsOf(database: Database): { version: number; least: number } {
  const numberIn = (table: string): number =>
    hasTable(database, table)
      ? (database.query<{ version: number }, []>(`SELECT version FROM ${table}`).get()?.version ?? 0)
      : 0;
  const least = numberIn("factory_schema");
  return { version: Math.max(least, numberIn("factory_additions")), least };
}

const tooNew = (path: string): FactoryError =>
  new FactoryError(`Cannot use the database ${path}: a newer version of this program wrote it`, {
    hint: "Install that version, or name another file with -d",
  });

/** Throws a FactoryError if this program cannot use the file. It reads the whole file and writes nothing. */
export function tryReading(path: string): void {
  const database = openReadOnly(path);
  try {
    examine(database, path);
    if (versionsOf(database).least > migrations.length) throw tooNew(path);
  } finally {
    database.close();
  }
}

/** The version that a program must know to use the file. It reads little: the daemon's loop waits for it. */
export function leastVersion(path: string): number {
  const database = openReadOnly(path);
  try {
    return versionsOf(database).least;
  } catch (error) {
    throw cannotOpen(path, error);
  } finally {
    database.close();
  }
}

export function migrate(database: Database, path: string): void {
  try {
    // At the start nothing waits for the daemon's loop yet, so wait longer for other programs.
    database.run("PRAGMA busy_timeout = 5000");
    database.run("PRAGMA journal_mode = WAL");
    // Each commit must be on the disk before the action that it records.
    database.run("PRAGMA synchronous = FULL");
    database.transaction(() => {
      if (!hasTable(database, "instance")) {
        database.run(rustSchema);
        database.run("PRAGMA user_version = 2");
      }
      if (!hasTable(database, "factory_schema")) {
        database.run("CREATE TABLE factory_schema (version INTEGER NOT NULL) STRICT");
      }
      if (!hasTable(database, "factory_additions")) {
        database.run("CREATE TABLE factory_additions (version INTEGER NOT NULL) STRICT");
      }
      const { version, least } = versionsOf(database);
      if (least > migrations.length) throw tooNew(path);
      // If nothing changes, write nothing, so that a start also works on a full disk.
      if (version >= migrations.length) return;
      for (const migration of migrations.slice(version)) database.run(migration);
      database.run("DELETE FROM factory_schema");
      database.run("INSERT INTO factory_schema (version) VALUES (?)", [tables.reads]);
      database.run("DELETE FROM factory_additions");
      database.run("INSERT INTO factory_additions (version) VALUES (?)", [migrations.length]);
    })();
  } catch (error) {
    throw error instanceof FactoryError ? error : cannotOpen(path, error);
  }
}

/** SQLite's codes for errors that may pass: another writer, a full disk, a file system that is read-only for a while. */
const passingCodes = ["SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_READONLY"];

/** Whether the store wrote nothing and a later attempt may succeed. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof SQLiteError)) return false;
  return passingCodes.some((code) => error.code?.startsWith(code) === true);
}

/** Deletes and inserts, because SQLite writes nothing for an update without changes, which succeeds on a full disk. */
export function tryWriting(database: Database): void {
  const rows = database.query<{ version: number }, []>("DELETE FROM factory_schema RETURNING version").all();
  for (const { version } of rows) database.run("INSERT INTO factory_schema (version) VALUES (?)", [version]);
}
