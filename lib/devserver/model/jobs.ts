/**
 * A job's life on the server: events, assignment and its end (lib/devserver/README.md "Job
 * events", "Completing tasks and jobs").
 */
import { conflict, conflictWithoutCode } from "./exchange.ts";
import { hasOpenCommit } from "./commits.ts";
import type { Dependency, JobRecord, JobEventRecord, State, TaskRecord, WorkerRecord } from "./state.ts";
import { formatDuration, formatTime } from "./timestamps.ts";

export type JobState = "queued" | "waiting" | "running" | "completed" | "failed";

/** The first state that fits; cancelled jobs have none of their own. */
export function jobState(job: JobRecord): JobState {
  if (job.isFailed) return "failed";
  if (job.isComplete) return "completed";
  if (job.worker !== null) return "running";
  return job.isWaiting ? "waiting" : "queued";
}

/** Calls the watchers after the operation that changed the job. */
export function touchJob(job: JobRecord): void {
  if (job.watchers.size > 0) queueMicrotask(() => job.watchers.forEach((watcher) => watcher()));
}

export function appendJobEvent(
  state: State,
  job: JobRecord,
  event: { task?: number | null; stream: string; time?: string | null; payload: string },
): void {
  const row: JobEventRecord = {
    seq: job.events.length + 1,
    task: event.task ?? null,
    stream: event.stream,
    time: formatTime(state.now().wallMs),
    time_remote: event.time ?? null,
    payload: event.payload,
  };
  job.events.push(row);
  touchJob(job);
}

export function appendControl(state: State, job: JobRecord, payload: string): void {
  appendJobEvent(state, job, { stream: "control", payload });
}

export interface NewJob {
  owner: JobRecord["owner"];
  name: string;
  targetName: string;
  target: JobRecord["target"];
  outputRules: JobRecord["outputRules"];
  tasks: Omit<TaskRecord, "state">[];
  tags: Record<string, string>;
  inputs: string[];
  depends: Omit<Dependency, "isSatisfied">[];
}

export function createJob(state: State, wanted: NewJob): JobRecord {
  const submitted = state.now();
  const isWaiting = wanted.inputs.length > 0 || wanted.depends.length > 0;
  const job: JobRecord = {
    ...wanted,
    id: state.createId(),
    tasks: wanted.tasks.map((task) => ({ ...task, state: "pending" })),
    inputs: new Map(wanted.inputs.map((name) => [name, null])),
    depends: wanted.depends.map((each) => ({ ...each, isSatisfied: false })),
    isWaiting,
    isCancelled: false,
    isFailed: false,
    isComplete: false,
    worker: null,
    submitted,
    ready: isWaiting ? null : submitted,
    assigned: null,
    completed: null,
    events: [],
    chunks: new Map(),
    commits: new Map(),
    outputs: [],
    store: new Map(),
    watchers: new Set(),
  };
  state.jobs.set(job.id, job);
  state.activeJobs.add(job);
  state.unassignedJobs.add(job);
  wanted.owner.jobs.push(job);
  return job;
}

/** Even a job that is cancelled or has ended can be assigned: the loop recycles its worker within a second. */
export function requireAssignable(job: JobRecord): void {
  if (job.worker !== null) throw conflict(`job ${job.id} already assigned to worker ${job.worker.id}`);
}

/** Binds a job to a worker for good, whatever its lease and target, and even if the job is cancelled. */
export function assignJob(state: State, job: JobRecord, worker: WorkerRecord): void {
  const assigned = state.now();
  job.worker = worker;
  job.isWaiting = false;
  job.assigned = assigned;
  worker.job = job;
  state.unassignedJobs.delete(job);
  const by = [`factory ${worker.factory.name}`, ...(worker.private === null ? [] : [worker.private])];
  const queuedMs = assigned.uptimeMs - (job.ready ?? job.submitted).uptimeMs;
  const queued = `(queued for ${formatDuration(queuedMs)})`;
  appendControl(state, job, `job assigned to worker ${worker.id} [${by.join(", ")}] ${queued}`);
}

/** All inputs are there: the job may be leased. */
export function releaseJob(state: State, job: JobRecord): void {
  job.isWaiting = false;
  job.ready = state.now();
  const waited = formatDuration(job.ready.uptimeMs - job.submitted.uptimeMs);
  appendControl(state, job, `job dependencies complete; ready to run (waiting for ${waited})`);
}

/** The loop does the rest within a second. */
export function cancelJob(state: State, job: JobRecord): void {
  if (job.isCancelled) return;
  job.isCancelled = true;
  appendControl(state, job, "job cancelled");
}

/**
 * Ends a job, unless it has ended already. Open tasks are marked failed, but only a task that was reported as failed makes the
 * job fail. A cancelled job's tasks stay as they are.
 */
export function completeJob(state: State, job: JobRecord, hasFailed: boolean): void {
  if (job.isComplete) return;
  const failedTask = job.tasks.some((task) => task.state === "failed");
  if (!job.isCancelled) {
    for (const [index, task] of job.tasks.entries()) {
      if (task.state !== "pending") continue;
      task.state = "failed";
      appendControl(state, job, `task ${index} was incomplete, marked failed`);
    }
    if (failedTask && !hasFailed) appendControl(state, job, "job failed because at least one task failed");
  }
  job.isComplete = true;
  job.isFailed = hasFailed || failedTask;
  job.isWaiting = false;
  job.completed = state.now();
  state.activeJobs.delete(job);
  state.unassignedJobs.delete(job);
  touchJob(job);
}

/** The end that the worker reports, which the server may refuse. */
export function completeJobByWorker(state: State, job: JobRecord, hasFailed: boolean): void {
  if (job.isComplete) return;
  if (hasOpenCommit(state, job)) {
    throw conflictWithoutCode(
      "cannot complete job: cannot complete job while file commit tasks are still in progress",
    );
  }
  if (job.isCancelled && !hasFailed) {
    throw conflictWithoutCode(`cannot complete job: conflict: job ${job.id} cancelled; cannot succeed`);
  }
  completeJob(state, job, hasFailed);
}

/** The first verdict stays. */
export function completeTask(job: JobRecord, task: TaskRecord, hasFailed: boolean): void {
  if (job.isComplete) throw conflict(`job ${job.id} is already complete`);
  if (task.state !== "pending") return;
  task.state = hasFailed ? "failed" : "completed";
  touchJob(job);
}
