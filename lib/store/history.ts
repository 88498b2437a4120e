/** Rows of ended instances: finds them by their directories, and prunes them by age. */
import type { Database } from "bun:sqlite";

/** What is needed to remove an instance's directory. */
export interface EndedInstance {
  testbed: string;
  seq: number;
  cookie: string;
  directory: string;
  /** Null: it ran on this host. */
  host: string | null;
  /** Wall-clock ms. */
  endedMs: number;
}

/** The ended instances of the directories `<testbed>_<seq>`, the latest end first. */
export function endedAmong(database: Database, directoryNames: string[]): EndedInstance[] {
  const keys = directoryNames.flatMap((name) => {
    const match = /^(.+)_([1-9]\d{0,14})$/.exec(name);
    return match === null ? [] : [[match[1], Number(match[2])]];
  });
  return database
    .query<EndedInstance, { keys: string }>(
      `SELECT i.testbed_name AS testbed, i.seq, i.cookie, i.place ->> '$.directory' AS directory,
         i.place ->> '$.ssh.host' AS host, i.ended_ms AS endedMs
       FROM json_each($keys) AS n CROSS JOIN factory_instance AS i
         ON i.testbed_name = n.value ->> 0 AND i.seq = n.value ->> 1
       WHERE i.ended_ms IS NOT NULL ORDER BY i.ended_ms DESC, i.testbed_name, i.seq DESC`,
    )
    .all({ keys: JSON.stringify(keys) });
}

/**
 * Deletes up to `most` rows that ended before `beforeMs` (wall clock), here and in the Rust factory's table, from which they
 * would return at the next start. Each testbed keeps its largest seq, so that no seq is used twice. Returns the count.
 */
export function pruneEnded(database: Database, beforeMs: number, most: number): number {
  return database.transaction(() => {
    const pruned = database
      .query<{ testbed_name: string; seq: number }, { beforeMs: number; most: number }>(
        `DELETE FROM factory_instance WHERE rowid IN (
           SELECT old.rowid FROM factory_instance AS old
           WHERE old.ended_ms < $beforeMs AND EXISTS (
             SELECT 1 FROM factory_instance AS later WHERE later.testbed_name = old.testbed_name AND later.seq > old.seq)
           ORDER BY old.ended_ms LIMIT $most)
         RETURNING testbed_name, seq`,
      )
      .all({ beforeMs, most });
    const theirs = database.query("DELETE FROM instance WHERE testbed_name = ? AND seq = ?");
    for (const { testbed_name: testbed, seq } of pruned) theirs.run(testbed, seq);
    return pruned.length;
  })();
}
