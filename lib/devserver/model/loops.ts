/**
 * What the server does by itself, every 1, 47 and 73 seconds (lib/devserver/README.md "Loops").
 */
import { settleCommits } from "./commits.ts";
import { appendControl, assignJob, completeJob, releaseJob } from "./jobs.ts";
import { dropLeases } from "./leases.ts";
import type { Dependency, JobRecord, State, WorkerRecord } from "./state.ts";
import { failWorker } from "./workers.ts";

const idleMs = 30 * 60_000;
const silenceMs = 10 * 60_000;

/** Every second. */
export function tickState(state: State): void {
  dropLeases(state);
  recycleWorkers(state);
  for (const job of state.unassignedJobs) if (job.isWaiting) wakeJob(state, job);
  settleJobs(state);
}

function recycleWorkers(state: State): void {
  const { uptimeMs } = state.now();
  for (const worker of state.activeWorkers) {
    if (worker.isRecycled || worker.hold !== null || worker.hasDiagnostics) continue;
    const hasNoAgent = worker.token === null && uptimeMs - worker.created.uptimeMs > idleMs;
    if (hasNoAgent || worker.job?.isComplete === true) worker.isRecycled = true;
  }
}

/** A waiting job is ready when its dependencies ended as it requires and all its inputs are stored. */
function wakeJob(state: State, job: JobRecord): void {
  if (job.isCancelled) return;
  for (const dependency of job.depends) {
    if (dependency.isSatisfied || !dependency.prior.isComplete) continue;
    const why = unmetWish(dependency);
    if (why !== null) {
      appendControl(state, job, why);
      return completeJob(state, job, true);
    }
    dependency.isSatisfied = true;
    if (dependency.copyOutputs) copyOutputs(state, job, dependency);
  }
  settleCommits(state, job);
  const isReady = job.depends.every((each) => each.isSatisfied);
  if (isReady && [...job.inputs.values()].every((file) => file !== null)) releaseJob(state, job);
}

function unmetWish({ prior, onFailed, onCompleted }: Dependency): string | null {
  const about = `this job depends on job ${prior.id} (${prior.name})`;
  if (prior.isFailed) {
    return onFailed ? null : `${about} completing, but it has failed; failing job`;
  }
  return onCompleted ? null : `${about} failing but it has completed; failing job`;
}

/** `/work/f` of the dependency `pre` is the input `pre/work/f`. */
function copyOutputs(state: State, job: JobRecord, { name, prior }: Dependency): void {
  settleCommits(state, prior);
  for (const { path, bytes } of prior.outputs) {
    job.inputs.set(`${name}/${path.replace(/^\/+/, "")}`, { id: state.createId(), bytes });
  }
}

/** Fails jobs that were cancelled or lost their worker, and assigns the others to free workers of their target. */
function settleJobs(state: State): void {
  const free = freeWorkers(state);
  for (const job of state.activeJobs) {
    const { worker } = job;
    if (job.isCancelled) {
      if (worker !== null) worker.isRecycled = true;
      completeJob(state, job, true);
    } else if (worker !== null) {
      if (!worker.isDeleted && !worker.isRecycled) continue;
      appendControl(state, job, "worker failed without completing job");
      completeJob(state, job, true);
    } else if (!job.isWaiting) {
      const next = free.get(job.target.id)?.pop();
      if (next !== undefined) assignJob(state, job, next);
    }
  }
}

/** By target; the newest is last and is taken first. */
function freeWorkers(state: State): Map<string, WorkerRecord[]> {
  const free = new Map<string, WorkerRecord[]>();
  for (const worker of state.activeWorkers) {
    const isFree = worker.token !== null && !worker.isRecycled && worker.hold === null && worker.job === null;
    if (!isFree) continue;
    const queue = free.get(worker.target.id);
    if (queue === undefined) free.set(worker.target.id, [worker]);
    else queue.push(worker);
  }
  return free;
}

/** Every 47 seconds: jobs that run too long, and workers without a job. */
export function reviewWorkers(state: State): void {
  const { uptimeMs } = state.now();
  const most = state.settings.maxRuntimeSeconds;
  for (const worker of state.activeWorkers) {
    if (worker.isRecycled || worker.hold !== null) continue;
    const { job } = worker;
    if (job === null) {
      if (worker.token !== null && uptimeMs - worker.created.uptimeMs > idleMs) worker.isRecycled = true;
    } else if (!job.isComplete && job.assigned !== null) {
      const seconds = Math.floor((uptimeMs - job.assigned.uptimeMs) / 1000);
      if (seconds <= most) continue;
      appendControl(state, job, `job duration ${seconds} exceeds ${most} seconds; aborting`);
      worker.isRecycled = true;
    }
  }
}

/** Every 47 seconds, but only after canJudgeSilence(): agents could not ping a server that was down. */
export function failSilentWorkers(state: State): void {
  const { uptimeMs } = state.now();
  for (const worker of state.activeWorkers) {
    if (worker.isRecycled || worker.hold !== null || worker.lastPing === null) continue;
    if (uptimeMs - worker.lastPing.uptimeMs > silenceMs)
      failWorker(state, worker, "agent became unresponsive");
  }
}

export function canJudgeSilence(state: State): boolean {
  return state.now().uptimeMs - state.started.uptimeMs > silenceMs;
}

/** Every 73 seconds: removes the chunks of ended jobs. Assembled files stay. */
export function dropChunks(state: State): void {
  for (const job of state.jobs.values()) if (job.isComplete) job.chunks.clear();
}
