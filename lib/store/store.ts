/**
 * The database: the Rust factory's table of instances, which we keep up to date, and our own tables beside it.
 * After a restart the factory knows only what was committed here. Only this folder uses SQL.
 */
import type { Database } from "bun:sqlite";
import { parseSummary, type ConfigSummary } from "../config/summary.ts";
import {
  canMove,
  type Changes,
  type Health,
  type Instance,
  instanceName,
  type Trouble,
} from "../words/domain.ts";
import type { Intent } from "../words/intent.ts";
import type { JobEntry, JournalQuery, Noted, Recorded } from "../words/journal.ts";
import {
  busyTimeoutMs,
  cannotOpen,
  hasTable,
  isPassing,
  migrate,
  openDatabase,
  openReadOnly,
  tryWriting,
} from "./file.ts";
import { readHealth, readTroubles, writeHealth, writeTrouble } from "./health.ts";
import { checked, insert, instanceOf, overwrite } from "./row.ts";
import { type EndedInstance, endedAmong, pruneEnded } from "./history.ts";
import { readIntents, writeIntent } from "./intents.ts";
import { lastJobs, note, pruneJournal, readJournal } from "./journal.ts";
import { readTold, writeTold } from "./told.ts";
import { adoptRustRows, clearMarkedRows, type RustRows } from "./rust-rows.ts";

export { isFactoryRunning, isPassing, lockStore } from "./file.ts";

export interface Store {
  /** Instances that are neither destroyed nor dropped, oldest first. */
  open(): Instance[];
  /** The last instance of each testbed, in any phase. */
  latest(): Instance[];
  /** Null: not on record. */
  instance(named: { testbed: string; seq: number }): Instance | null;
  /** Ended instances, the latest end first. */
  ended(): Instance[];
  /** The ended instances of the directories `<testbed>_<seq>`, the latest end first. */
  endedAmong(directoryNames: string[]): EndedInstance[];
  /** Deletes up to `most` instances that ended before this wall-clock ms, but keeps each testbed's last. Returns the count. */
  prune(beforeMs: number, most: number): number;
  /** The largest seq of a testbed among the rows; 0 if it has none. */
  largestSeq(testbed: string): number;
  /** Commits a new instance. Throws if its testbed has an open one. */
  begin(instance: Instance): Instance;
  /** Commits the changes, and what the journal says of them; returns the new record. Throws if the phase would move backward. */
  advance(instance: Instance, changes: Changes, noted?: Noted): Instance;
  intents(): Map<string, Intent>;
  /** Commits what an operator wants of a testbed, and the journal's entries about it. Null: nothing any more. */
  setIntent(testbed: string, intent: Intent | null, noted: Noted[]): void;
  /** Commits entries of the journal. */
  note(noted: Noted[]): void;
  journal(query: JournalQuery): Recorded[];
  /** The last so many jobs of each testbed, in the order of their ends. */
  lastJobs(most: number): JobEntry[];
  /** Deletes up to `most` entries from before this wall-clock ms, or of which `kept` are younger. Returns the count. */
  pruneJournal(beforeMs: number, most: number, kept: number): number;
  /** Commits all that `work` does with this store, or none of it. */
  atOnce(work: () => void): void;
  health(): Map<string, Health>;
  /** Commits it, and what the journal says of it. */
  setHealth(testbed: string, health: Health | null, noted?: Noted[]): void;
  troubles(): Map<string, Trouble>;
  setTrouble(testbed: string, trouble: Trouble | null): void;
  /** Commits all of them or none, with what the journal says of them. */
  setTroubles(troubles: ReadonlyMap<string, Trouble | null>, noted?: Noted[]): void;
  /** Conditions that somebody was told of and that last. */
  told(): Set<string>;
  setTold(names: ReadonlySet<string>): void;
  /** The configuration that the last start read; null: not known. */
  configSummary(): ConfigSummary | null;
  setConfigSummary(summary: ConfigSummary): void;
  /** Rewrites a row unchanged; throws if nothing can be committed. */
  tryWriting(): void;
  close(): void;
}

/** The part that can be used while a factory may be writing. */
export type StoreReader = Pick<
  Store,
  | "open"
  | "latest"
  | "instance"
  | "ended"
  | "health"
  | "troubles"
  | "intents"
  | "journal"
  | "lastJobs"
  | "configSummary"
  | "close"
>;

/** Opens or creates the file, and takes over the Rust factory's rows. */
export function openStore(options: RustRows): Store {
  const database = openDatabase(options.path);
  try {
    migrate(database, options.path);
    database.transaction(adoptRustRows)(database, options);
    database.transaction(clearMarkedRows)(database);
    database.run(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
    return storeOn(database);
  } catch (error) {
    database.close();
    throw error;
  }
}

/**
 * Opens the file for reading only, also while a daemon writes it. Null if it has none of our tables. Throws, as each read does,
 * if what it reads is damaged: a look at the whole file would take seconds of a large one.
 */
export function openStoreForReading(path: string): StoreReader | null {
  const database = openReadOnly(path);
  try {
    if (hasTable(database, "factory_instance")) return explained(storeOn(database), path);
    database.close();
    return null;
  } catch (error) {
    database.close();
    throw cannotOpen(path, error);
  }
}

/** A read that fails names the file, and what to do. */
function explained(store: Store, path: string): StoreReader {
  const reads = Object.entries(store).map(([name, read]: [string, (...args: never[]) => unknown]) => [
    name,
    (...args: never[]) => {
      try {
        return read(...args);
      } catch (error) {
        throw cannotOpen(path, error);
      }
    },
  ]);
  return Object.fromEntries(reads) as StoreReader;
}

function storeOn(database: Database): Store {
  const isOpen = "phase NOT IN ('destroyed', 'dropped')";
  const select = (where: string, values: Record<string, string> = {}): Instance[] =>
    database.query(`SELECT * FROM factory_instance WHERE ${where}`).all(values).map(instanceOf);

  let isWaiting = true;
  const setWaiting = (is: boolean): void => {
    if (is === isWaiting) return;
    isWaiting = is;
    database.run(`PRAGMA busy_timeout = ${is ? busyTimeoutMs : 0}`);
  };

  /** If another program holds the file, one commit waits a moment; later commits do not wait until one has succeeded. */
  function commit<T>(work: () => T): T {
    try {
      const value = work();
      setWaiting(true);
      return value;
    } catch (error) {
      if (isPassing(error)) setWaiting(false);
      throw error;
    }
  }

  /** Commits `work` with the journal's entries about it. */
  function commitNoted(noted: readonly Noted[], work: () => void): void {
    commit(
      database.transaction(() => {
        work();
        for (const each of noted) note(database, each);
      }),
    );
  }

  return {
    open: () => select(`${isOpen} ORDER BY rowid`),
    latest: () =>
      select(
        "seq = (SELECT max(seq) FROM factory_instance AS x WHERE x.testbed_name = factory_instance.testbed_name)",
      ),
    instance: ({ testbed, seq }) =>
      select("testbed_name = $testbed AND seq = CAST($seq AS INTEGER)", { testbed, seq: String(seq) })[0] ??
      null,
    ended: () => select("ended_ms IS NOT NULL ORDER BY ended_ms DESC, testbed_name, seq DESC"),
    largestSeq: (testbed) =>
      database
        .query<{ seq: number | null }, [string]>(
          "SELECT max(seq) AS seq FROM factory_instance WHERE testbed_name = ?",
        )
        .get(testbed)?.seq ?? 0,
    begin: (instance) =>
      commit(
        database.transaction(() => {
          const [other] = select(`${isOpen} AND testbed_name = $testbed`, { testbed: instance.testbed });
          if (other !== undefined) throw new Error(`${instanceName(other)} is not destroyed`);
          insert(database, instance);
          return instance;
        }),
      ),
    advance: (instance, changes, noted) => {
      const { phase = instance.phase } = changes;
      if (phase !== instance.phase && !canMove(instance.phase, phase)) {
        throw new Error(`${instanceName(instance)} cannot move from ${instance.phase} to ${phase}`);
      }
      const next = checked({ ...instance, ...changes });
      commitNoted(noted === undefined ? [] : [noted], () => overwrite(database, instance, next));
      return next;
    },
    intents: () => readIntents(database),
    setIntent: (testbed, intent, noted) => commitNoted(noted, () => writeIntent(database, testbed, intent)),
    note: (noted) => commitNoted(noted, () => undefined),
    atOnce: (work) => commit(database.transaction(work)),
    journal: (query) => readJournal(database, query),
    lastJobs: (most) => lastJobs(database, most),
    pruneJournal: (beforeMs, most, kept) => commit(() => pruneJournal(database, { beforeMs, most, kept })),
    health: () => readHealth(database),
    setHealth: (testbed, health, noted = []) =>
      commitNoted(noted, () => writeHealth(database, testbed, health)),
    troubles: () => readTroubles(database),
    setTrouble: (testbed, trouble) => commit(() => writeTrouble(database, testbed, trouble)),
    setTroubles: (troubles, noted = []) =>
      commitNoted(noted, () => {
        for (const [testbed, trouble] of troubles) writeTrouble(database, testbed, trouble);
      }),
    tryWriting: () => commit(() => database.transaction(tryWriting)(database)),
    endedAmong: (names) => endedAmong(database, names),
    prune: (beforeMs, most) => commit(() => pruneEnded(database, beforeMs, most)),
    told: () => readTold(database),
    setTold: (names) => commit(() => writeTold(database, names)),
    configSummary: () => {
      if (!hasTable(database, "factory_reading")) return null;
      const row = database.query<{ reading: string }, []>("SELECT reading FROM factory_reading").get();
      return row === null ? null : parseSummary(row.reading);
    },
    setConfigSummary: (summary) => {
      database
        .query("INSERT OR REPLACE INTO factory_reading (id, reading) VALUES (1, ?)")
        .run(JSON.stringify(summary));
    },
    close: () => database.close(),
  };
}
