/** When a job is told that a time limit is about to end it, and in which words. Pure. */
import { elapsedMs, type Instance, type LimitKey, type Moment } from "../words/domain.ts";
import { showRoughly, writeDuration } from "../words/duration.ts";
import { jobTimeoutAt, silentAt } from "./job-timeouts.ts";
import { limits } from "./times-and-limits.ts";
import type { Look, Observation } from "./observation.ts";

/** A limit of an instance, and when it ends the job, in ms of uptime. */
export interface Announced {
  instance: Instance;
  limit: LimitKey;
  endsAtMs: number;
}

/** What is to be announced, and when: five minutes before the end, or in the middle of a limit under ten minutes. */
export function announcementsOf(
  instance: Instance,
  look: Look,
  seen: Observation,
): (Announced & { dueMs: number })[] {
  const { jobTimeoutMs, silenceTimeoutMs, announced } = instance;
  const found: (Announced & { dueMs: number })[] = [];
  const jobAtMs = jobTimeoutAt(instance, seen.now);
  if (jobAtMs !== null && jobTimeoutMs !== null && announcedMs(announced.job_timeout, seen.now) === null) {
    const dueMs = jobAtMs - leadMs(jobTimeoutMs);
    found.push({ instance, limit: "job_timeout", endsAtMs: jobAtMs, dueMs });
  }
  const silentAtMs = silentAt(instance, look, seen);
  if (silentAtMs !== null && silenceTimeoutMs !== null) {
    const dueMs = silentAtMs - leadMs(silenceTimeoutMs);
    const saidMs = announcedMs(announced.silence_timeout, seen.now);
    // Once for each silence. Only a look from after it was due proves that nothing was printed until then.
    const isSaid = saidMs !== null && saidMs >= silentAtMs - silenceTimeoutMs;
    if (!isSaid && look.atMs >= dueMs)
      found.push({ instance, limit: "silence_timeout", endsAtMs: silentAtMs, dueMs });
  }
  return found;
}

/** When a silent job is to be looked at, so that its end can be announced; null: it need not be. */
export function silenceLookAt(instance: Instance, look: Look, seen: Observation): number | null {
  const silentAtMs = silentAt(instance, look, seen);
  const { silenceTimeoutMs } = instance;
  return silentAtMs === null || silenceTimeoutMs === null ? null : silentAtMs - leadMs(silenceTimeoutMs);
}

/** What the job's owner reads. */
export function announcement(instance: Instance, limit: LimitKey, leftMs: number): string {
  const limitMs = limit === "job_timeout" ? instance.jobTimeoutMs : instance.silenceTimeoutMs;
  const unless = limit === "silence_timeout" ? " unless it prints something" : "";
  return `the testbed's factory will end this job in ${showRoughly(leftMs)}${unless}: ${limit} ${writeDuration(limitMs ?? 0)}`;
}

function leadMs(limitMs: number): number {
  return Math.min(limits.announceMs, limitMs / 2);
}

/** Null: not yet, or in another boot, since which the limit counts anew. */
function announcedMs(moment: Moment | undefined, now: Moment): number | null {
  return moment === undefined || elapsedMs(moment, now) === null ? null : moment.uptimeMs;
}
