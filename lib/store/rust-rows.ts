/**
 * The Rust factory's rows: taken over where none of ours is beside them. Where their agents are, and whether they live, is not
 * known here.
 */
import type { Database } from "bun:sqlite";
import type { RustInstance, RustPlace } from "../words/domain.ts";
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
  /** Where the agent of a row was put. */
  directoryOf(row: { testbed: string; seq: number }): string;
}

export function adoptRustRows(database: Database, { nowMs, directoryOf }: RustRows): void {
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
      // `created` too: whether its agent was started is not known, so it counts as started.
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
 * A row that is open here and destroyed there was ended by somebody else: by the Rust factory, where it ran in between, or
 * by an operator, whose word it is that nothing of it runs where we cannot look. On this host we look ourselves.
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
