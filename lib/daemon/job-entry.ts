/** How a job came out, and its entry in the journal, which is committed with the end of its instance. */
import type { EndRecord } from "../hosts/minder/minder-answer.ts";
import { type Changes, type Instance, isRust } from "../words/domain.ts";
import type { JobEntry } from "../words/journal.ts";
import { ulidMs } from "../words/ulid.ts";
import { advance, memoryOf } from "./instance-memory.ts";
import type { Factory } from "./memory.ts";

type Judged = Pick<JobEntry, "result" | "reason" | "jobName">;

/** Of an instance that had a worker. `record`: what the agent's files say; null: nothing. */
export function judgeEnd(
  { endCause, endReason }: Pick<Instance, "endCause" | "endReason">,
  isStarted: boolean,
  record: EndRecord | null,
): Judged {
  const { jobName, verdict } = record ?? { jobName: null, verdict: null };
  if (verdict !== null) {
    return { jobName, result: verdict.is === "completed" ? "passed" : "failed", reason: verdict.why };
  }
  // Neither the external agent nor the server tells a factory whether the job was good.
  if (endCause === "job done") return { jobName, result: "ended", reason: null };
  // The server recycles the worker of a job that was completed, too: without the agent's files both look alike.
  if (endCause === "worker recycled" && isStarted && jobName === null)
    return { jobName, result: "ended", reason: null };
  if (endCause === "worker recycled") {
    return {
      jobName,
      result: "cancelled",
      reason: "by its owner, an administrator or the server's time limit",
    };
  }
  return { jobName, result: "lost", reason: endReason };
}

/** `instance`: as it is when it has ended. */
function entryOf(
  { known, clock }: Pick<Factory, "known" | "clock">,
  instance: Instance,
  record: EndRecord | null,
): JobEntry {
  const { testbed, seq, job, target, wentAt, begunMs, endCause, endReason, phase } = instance;
  const { isFromEarlierBoot, endsAtMs, jobName, longestSilenceMs } = memoryOf(known, instance);
  // The Rust factory did not record when it started an agent.
  const isStarted = isRust(instance) || wentAt !== null;
  const bootMs = clock.wallMs() - clock.uptimeMs();
  const isOfThisBoot = wentAt?.bootId === clock.bootId && !isFromEarlierBoot;
  const judged: Judged =
    phase === "dropped"
      ? { result: "not begun", reason: endReason, jobName: null }
      : judgeEnd(instance, isStarted, record);
  return {
    what: "job",
    testbed,
    seq,
    job,
    target,
    queuedMs: job === null ? null : ulidMs(job),
    leasedMs: begunMs,
    isStarted,
    wentMs: wentAt === null || !isOfThisBoot ? null : bootMs + wentAt.uptimeMs,
    // Where the end was decided by an earlier run, until now.
    endedMs: bootMs + (endsAtMs ?? clock.uptimeMs()),
    cause: endCause,
    silentMs: longestSilenceMs,
    ...judged,
    // Its directory may be out of reach now, and a look has shown the name.
    jobName: judged.jobName ?? jobName,
  };
}

/**
 * Commits the end of an instance and, in the same commit, its entry. A job that is refused is often leased again at once: of
 * those that were not begun, each cause is noted once until a job is begun on the testbed.
 */
export function finish(
  factory: Pick<Factory, "clock" | "known" | "store">,
  instance: Instance,
  changes: Changes & { phase: "destroyed" | "dropped" },
  record: EndRecord | null,
): { ended: Instance; entry: JobEntry } {
  const { known, clock } = factory;
  const entry = entryOf(factory, { ...instance, ...changes } as Instance, record);
  const atMs = clock.wallMs();
  const noted = known.pastJobs.isRepeated(entry) ? undefined : { atMs, entry };
  const ended = advance(factory, instance, { ...changes, endedMs: atMs }, noted);
  known.pastJobs.take(entry);
  known.tally.take(entry);
  // Begun there: nobody else can have it any more.
  if (entry.job !== null && entry.result !== "not begun") known.meant.delete(entry.job);
  return { ended, entry };
}
