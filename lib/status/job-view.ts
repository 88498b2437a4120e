/** An open instance as the snapshot shows it: the job, its times, and when its testbed is likely to be free. Pure. */
import { elapsedMs, type Instance, instanceName, type Moment } from "../words/domain.ts";
import { ulidMs } from "../words/ulid.ts";
import type { RunningJob, TestbedSnapshot, TestbedState } from "./snapshot.ts";

/** This moment, by both clocks: the wall's is only shown. */
export interface Present {
  now: Moment;
  wallMs: number;
}

/** What past jobs tell (past-jobs.ts). */
export interface Past {
  recent(testbed: string): TestbedSnapshot["recent"];
  /** In ms, from the agent's start to the job's end. */
  took(jobName: string, testbed: string): readonly number[];
}

/** A moment on the wall clock; null: one of another boot. */
export function wallOf(moment: Moment | null, { now, wallMs }: Present): number | null {
  const agoMs = moment === null ? null : elapsedMs(moment, now);
  return agoMs === null ? null : wallMs - agoMs;
}

export function stateOf({ phase }: Instance): Extract<TestbedState, "preparing" | "running" | "ending"> {
  switch (phase) {
    case "preparing":
    case "creating":
    case "created":
    case "starting":
      return "preparing";
    case "running":
      return "running";
    case "destroying":
    case "stopped":
    case "destroyed":
    case "dropped":
      return "ending";
  }
}

export function jobView(
  instance: Instance,
  present: Present,
  { name, silentMs, stuck }: Pick<RunningJob, "name" | "silentMs" | "stuck">,
): RunningJob {
  const { job, worker, begunMs, wentAt, endReason } = instance;
  return {
    id: job,
    name,
    instance: instanceName(instance),
    worker,
    queuedMs: job === null ? null : ulidMs(job),
    leasedMs: begunMs,
    wentMs: wallOf(wentAt, present),
    endReason,
    stuck,
    silentMs,
  };
}

/** Of the jobs of this name, those count that took longer than this one has. */
export function freeAt(
  { name, wentMs, endReason }: RunningJob,
  testbed: string,
  { past, wallMs }: { past: Pick<Past, "took">; wallMs: number },
): TestbedSnapshot["freeAt"] {
  if (name === null || endReason !== null) return null;
  const startMs = wentMs ?? wallMs;
  const longer = past.took(name, testbed).filter((ms) => startMs + ms > wallMs);
  const [middle, shortest, longest] = quantiles(longer, [0.5, 0.1, 0.9]);
  if (middle === undefined || shortest === undefined || longest === undefined) return null;
  const [ms, earliestMs, latestMs] = [startMs + middle, startMs + shortest, startMs + longest];
  return { ms, earliestMs, latestMs, jobs: longer.length };
}

/** The values below which these shares of all of them lie; undefined: there are none. */
export function quantiles(values: readonly number[], shares: number[]): (number | undefined)[] {
  const sorted = values.toSorted((one, other) => one - other);
  return shares.map((share) => sorted[Math.round(share * (sorted.length - 1))]);
}
