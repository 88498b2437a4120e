/** What this process knows, as one snapshot for whoever asks on the control socket. */
import type { Look, Observation } from "../policy/observation.ts";
import { liveSnapshot } from "../status/live-snapshot.ts";
import type { PastJobs } from "../status/past-jobs.ts";
import type { Snapshot } from "../status/snapshot.ts";
import { version } from "../words/version.ts";
import { type Factory, lookup, observe } from "./memory.ts";

export function takeSnapshot(
  factory: Pick<Factory, "known" | "config" | "clock">,
  { mode, database }: { mode: Observation["mode"]; database: string },
): Snapshot {
  const { known, clock } = factory;
  const wallMs = clock.wallMs();
  // Infinite until it has begun.
  const ranMs = Math.max(0, clock.uptimeMs() - known.startedMs);
  return liveSnapshot({
    seen: observe(factory, mode),
    wallMs,
    factory: { version: version.version, startedMs: wallMs - ranMs, database },
    remarks: known.remarks,
    past: known.pastJobs,
    jobs: lookup(known.instances, ({ endsAtMs, jobName, look }) => ({
      name: jobName,
      silentMs: unusualSilenceMs(jobName, look, known.pastJobs),
      endsAtMs,
    })),
    testbeds: lookup(known.testbeds, ({ trouble, endedMs }) => ({ trouble, endedMs })),
  });
}

/** Null: other jobs of its name were silent for as long, or it is not known. */
function unusualSilenceMs(
  jobName: string | null,
  look: Pick<Look, "atMs" | "printedMs"> | null,
  pastJobs: PastJobs,
): number | null {
  const silentMs = look === null ? 0 : look.atMs - look.printedMs;
  return jobName !== null && pastJobs.isUnusual(jobName, silentMs) ? silentMs : null;
}
