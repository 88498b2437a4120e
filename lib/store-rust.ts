/** Rows of the Rust factory that have none of ours beside them: taken over as they are. */
import type { Database } from "bun:sqlite";
import { instanceName, type Phase, type Place } from "./domain.ts";
import { FactoryError } from "./failure.ts";
import { Secret } from "./secret.ts";
import { insert } from "./store-row.ts";

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

export function adoptRustRows(database: Database, { path, nowMs, directoryOf }: RustRows): void {
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
