/** A snapshot without testbeds, until there is one of all that an observation holds. Pure. */
import type { Observation } from "../policy/observation.ts";
import { versionLine } from "../words/version.ts";
import type { Snapshot } from "./snapshot.ts";

export function emptySnapshot(
  { mode, config, leases }: Observation,
  { database, startedMs, wallMs }: { database: string; startedMs: number; wallMs: number },
): Snapshot {
  return {
    format: 1,
    madeMs: wallMs,
    source: "factory",
    factory: { isRunning: true, version: versionLine(), mode, startedMs, database },
    server: {
      url: config.general.baseurl,
      is: "not known",
      sinceMs: null,
      reason: null,
      leases: leases.length,
    },
    remarks: [],
    shared: [],
    ifStopped: null,
    testbeds: [],
  };
}
