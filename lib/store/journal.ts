/** The journal's rows: written with the commit that they tell of, read by `history` and by what is made of it. */
import type { Database } from "bun:sqlite";
import {
  entrySchema,
  type JobEntry,
  type JournalQuery,
  type Noted,
  type Recorded,
} from "../words/journal.ts";
import { hasTable } from "./file.ts";
import { json } from "./row.ts";

const entryOf = json(entrySchema);

export function note(database: Database, { atMs, entry }: Noted): void {
  const { testbed = null, job = null, jobName = null } = entry as Partial<Record<string, string | null>>;
  database
    .query(
      "INSERT INTO factory_journal (at_ms, what, testbed_name, job, job_name, entry) VALUES (?, ?, ?, ?, ?, ?)",
    )
    .run(atMs, entry.what, testbed, job, jobName, JSON.stringify(entry));
}

/** The oldest first. What another version wrote in another form is left out. */
export function readJournal(database: Database, query: JournalQuery): Recorded[] {
  // An older version may have written the file and may still be running.
  if (!hasTable(database, "factory_journal")) return [];
  const { testbed, job, jobName, what, sinceMs, beforeId, most } = query;
  const conditions = [
    testbed === undefined ? null : "testbed_name = $testbed",
    job === undefined ? null : "job >= $job AND job < $job || '~'",
    jobName === undefined ? null : "job_name = $jobName",
    what === undefined ? null : "what IN (SELECT value FROM json_each($what))",
    // By the id, so that a page is read and no more; `+` keeps the index of at_ms, whose rows would have to be sorted, out of it.
    sinceMs === undefined
      ? null
      : `id >= (SELECT id FROM factory_journal WHERE at_ms >= $sinceMs ORDER BY at_ms, id LIMIT 1)
         AND +at_ms >= $sinceMs`,
    beforeId === undefined ? null : "id < $beforeId",
  ].filter((each) => each !== null);
  const values = { testbed, job, jobName, what: what && JSON.stringify(what), sinceMs, beforeId, most };
  const given = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
  const rows = database
    .query<{ id: number; at_ms: number; entry: string }, Record<string, string | number>>(
      `SELECT id, at_ms, entry FROM factory_journal
       ${conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`} ORDER BY id DESC LIMIT $most`,
    )
    .all(given as Record<string, string | number>);
  return rows.toReversed().flatMap(({ id, at_ms: atMs, entry }) => {
    const parsed = entryOf.safeParse(entry);
    return parsed.success ? [{ id, atMs, entry: parsed.data }] : [];
  });
}

/** The last `most` jobs of each testbed, in the order of their ends. It reads no more rows than that. */
export function lastJobs(database: Database, most: number): JobEntry[] {
  if (!hasTable(database, "factory_journal")) return [];
  const testbeds = database
    .query<{ name: string }, []>(
      `WITH RECURSIVE testbed (name) AS (
         SELECT min(testbed_name) FROM factory_journal
         UNION ALL
         SELECT (SELECT min(testbed_name) FROM factory_journal WHERE testbed_name > name)
         FROM testbed WHERE name IS NOT NULL)
       SELECT name FROM testbed WHERE name IS NOT NULL`,
    )
    .all();
  return testbeds
    .flatMap(({ name: testbed }) => readJournal(database, { testbed, what: ["job"], most }))
    .toSorted((one, other) => one.id - other.id)
    .flatMap(({ entry }) => (entry.what === "job" ? entry : []));
}

/** Deletes up to `most` entries that are from before `beforeMs`, or of which `kept` are younger. Returns the count. */
export function pruneJournal(
  database: Database,
  { beforeMs, most, kept }: { beforeMs: number; most: number; kept: number },
): number {
  const last = database.query<{ id: number | null }, []>("SELECT max(id) AS id FROM factory_journal").get();
  const remove = (where: string, limit: number, atMost: number): number =>
    database
      .query(
        `DELETE FROM factory_journal WHERE id IN (SELECT id FROM factory_journal WHERE ${where} LIMIT ?)`,
      )
      .run(limit, atMost).changes;
  const old = remove("at_ms < ?", beforeMs, most);
  return old + remove("id <= ?", (last?.id ?? 0) - kept, most - old);
}
