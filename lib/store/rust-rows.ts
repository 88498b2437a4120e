/**
 * Takes over rows of the Rust factory that have no row of ours. It does not know where their agents are, or whether they
 * are alive.
 */
import type { Database } from "bun:sqlite";
import type { RustInstance } from "../words/domain.ts";
import type { RustPlace } from "../words/place.ts";
import { Secret } from "../words/secret.ts";
import { insert } from "./row.ts";
import { justBegun } from "../words/just-begun.ts";

interface RustRow {
  testbed_name: string;
  seq: number;
  worker: string;
  target: string;
  state: string;
  bootstrap: string;
  flushed: number;
}

export interface RustRows {
  /** For messages. */
  path: string;
  nowMs: number;
  /** The agent's directory for a row. */
  directoryOf(row: { testbed: string; seq: number }): string;
}

export function adoptRustRows(database: Database, { nowMs, directoryOf }: RustRows): void {
  // Our instances without a worker have no row there, so a Rust factory that ran in between may have used the same seq.
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
  const phases: Record<string, RustInstance["phase"]> = { destroying: "destroying", destroyed: "destroyed" };
  for (const row of rows) {
    const place: RustPlace = {
      way: "rust",
      at: "unknown",
      directory: directoryOf({ testbed: row.testbed_name, seq: row.seq }),
      agent: "external",
    };
    const phase = phases[row.state] ?? "running";
    insert(database, {
      ...justBegun,
      testbed: row.testbed_name,
      seq: row.seq,
      // Also for `created`: we do not know whether the agent was started, so it counts as started.
      phase,
      target: row.target,
      job: null,
      isBound: false,
      cookie: null,
      place,
      leasedAt: { bootId: "", uptimeMs: 0 },
      worker: row.worker,
      bootstrap: new Secret(row.bootstrap),
      isFlushed: row.flushed !== 0,
      startTimeoutMs: 300_000,
      jobTimeoutMs: null,
      silenceTimeoutMs: null,
      begunMs: nowMs,
      endedMs: row.state === "destroyed" ? nowMs : null,
    });
  }
}

const cleared = "it was marked destroyed in the database";

/**
 * If a row is open in our table and destroyed in the Rust factory's, somebody else ended it: the Rust factory, or an operator
 * who vouches that nothing of it is left on another host. Rows of this host are left alone, because we can look here.
 */
export function clearMarkedRows(database: Database): void {
  database
    .query(
      `UPDATE factory_instance AS ours
       SET place = json_set(place, '$.way', 'cleared'), end_reason = coalesce(end_reason, $cleared),
         untold = CASE phase WHEN 'running' THEN $cleared ELSE untold END,
         phase = CASE phase WHEN 'stopped' THEN phase ELSE 'destroying' END
       WHERE (cookie = '' OR place ->> '$.ssh' IS NOT NULL OR place ->> '$.spRunnerUrl' IS NOT NULL) AND phase NOT IN ('destroyed', 'dropped') AND EXISTS (SELECT 1 FROM instance AS theirs
         WHERE ours.testbed_name = theirs.testbed_name AND ours.seq = theirs.seq AND theirs.state = 'destroyed')`,
    )
    .run({ cleared });
}
