/** How well each testbed is: the lab's failures in a row, and what keeps jobs from it. One row a testbed, if there is something. */
import type { Database } from "bun:sqlite";
import type { Health, Trouble } from "../words/domain.ts";
import { hasTable } from "./file.ts";
import { momentSchema } from "./row.ts";

export function readHealth(database: Database): Map<string, Health> {
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
}

/** Null: no failure since its last good job. */
export function writeHealth(database: Database, testbed: string, health: Health | null): void {
  if (health === null) {
    database.query("DELETE FROM factory_health WHERE testbed_name = ?").run(testbed);
    return;
  }
  database
    .query(
      "INSERT OR REPLACE INTO factory_health (testbed_name, strikes, retry_at, reason) VALUES (?, ?, ?, ?)",
    )
    .run(testbed, health.strikes, JSON.stringify(health.retryAt), health.reason);
}

export function readTroubles(database: Database): Map<string, Trouble> {
  // An older version may have written the file and may still be running.
  if (!hasTable(database, "factory_trouble")) return new Map();
  const rows = database
    .query<{ testbed_name: string; reason: string; since_ms: number; recoveries: number }, []>(
      "SELECT * FROM factory_trouble",
    )
    .all();
  return new Map(
    rows.map(({ testbed_name, since_ms: sinceMs, ...rest }) => [testbed_name, { ...rest, sinceMs }]),
  );
}

/** Null: nothing keeps jobs from it. */
export function writeTrouble(database: Database, testbed: string, trouble: Trouble | null): void {
  if (trouble === null) {
    database.query("DELETE FROM factory_trouble WHERE testbed_name = ?").run(testbed);
    return;
  }
  database
    .query(
      "INSERT OR REPLACE INTO factory_trouble (testbed_name, reason, since_ms, recoveries) VALUES (?, ?, ?, ?)",
    )
    .run(testbed, trouble.reason, trouble.sinceMs, trouble.recoveries);
}
