/**
 * A worker's life on the server: created by a factory, taken by an agent, recycled, held, deleted (lib/devserver/README.md
 * "Creating a worker" to "Recycle, hold and delete").
 */
import { conflict, internalError, noSuchRow, notAuthorised } from "./exchange.ts";
import { appendControl, completeJob, jobState } from "./jobs.ts";
import type { Metadata } from "./metadata.ts";
import { settleCommits } from "./commits.ts";
import type { FactoryRecord, JobRecord, State, TargetRecord, WorkerRecord } from "./state.ts";
import { formatOptionalTime, formatTime } from "./timestamps.ts";

export function createWorker(
  state: State,
  wanted: { factory: FactoryRecord; target: TargetRecord; waitsForFlush: boolean },
): WorkerRecord {
  const created = state.now();
  const reason = "factory is configured to hold all created workers";
  const worker: WorkerRecord = {
    ...wanted,
    id: state.createId(),
    bootstrap: state.createToken(64),
    created,
    token: null,
    private: null,
    ip: null,
    metadata: null,
    lastPing: null,
    isRecycled: false,
    isDeleted: false,
    hold: wanted.factory.holdsWorkers ? { timeMs: created.wallMs, reason } : null,
    hasDiagnostics: false,
    job: null,
    events: [],
  };
  state.workers.set(worker.id, worker);
  state.workersByBootstrap.set(worker.bootstrap, worker);
  state.activeWorkers.add(worker);
  wanted.factory.workers.set(worker.id, worker);
  return worker;
}

/** The first `private` and the first metadata stay; the address may change any time. */
export function associateWorker(
  worker: WorkerRecord,
  given: { private: string; ip: string | null; metadata: Metadata | null },
): void {
  if (worker.isDeleted || (worker.private ?? given.private) !== given.private) throw notAuthorised();
  if (worker.metadata !== null && given.metadata !== null) {
    if (!Bun.deepEquals(worker.metadata, given.metadata, true)) throw notAuthorised();
  }
  worker.private = given.private;
  worker.ip = given.ip ?? worker.ip;
  worker.metadata ??= given.metadata;
}

export function bootstrapWorker(state: State, given: { bootstrap: string; token: string }): WorkerRecord {
  const worker = state.workersByBootstrap.get(given.bootstrap);
  if (worker === undefined) throw noSuchRow();
  if (worker.isDeleted || worker.private === null) throw notAuthorised();
  if (worker.token !== null && worker.token !== given.token) throw notAuthorised();
  const holder = state.workersByToken.get(given.token);
  if (holder !== undefined && holder !== worker) throw internalError();
  worker.token = given.token;
  worker.lastPing = state.now();
  state.workersByToken.set(given.token, worker);
  return worker;
}

/** The row stays, so that the id is known as deleted; the token is invalid at once. */
export function deleteWorker(state: State, worker: WorkerRecord): void {
  worker.isDeleted = true;
  if (worker.token !== null) state.workersByToken.delete(worker.token);
  state.activeWorkers.delete(worker);
  worker.factory.workers.delete(worker.id);
}

export function appendWorkerEvent(
  state: State,
  worker: WorkerRecord,
  event: { stream: string; time?: string | null; payload: string },
): void {
  worker.events.push({
    seq: worker.events.length + 1,
    stream: event.stream,
    time: formatTime(state.now().wallMs),
    time_remote: event.time ?? null,
    payload: event.payload,
  });
}

/** An administrator's hold, which leaves no event. */
export function holdWorker(state: State, worker: WorkerRecord, reason: string): void {
  if (worker.isDeleted) throw conflict(`worker ${worker.id} is deleted; cannot be held`);
  if (worker.hold !== null) {
    const { timeMs, reason: earlier } = worker.hold;
    const hold = `Hold { time: ${formatTime(timeMs)}, reason: ${JSON.stringify(earlier)} }`;
    throw conflict(`worker ${worker.id} is already on hold: ${hold}`);
  }
  worker.hold = { timeMs: state.now().wallMs, reason };
}

/** The server's own hold. A worker that is held already keeps its reason, and gets only the event. */
function markHeld(state: State, worker: WorkerRecord, reason: string): void {
  worker.hold ??= { timeMs: state.now().wallMs, reason };
  appendWorkerEvent(state, worker, { stream: "control", payload: `marked held: ${reason}` });
}

export function releaseWorker(state: State, worker: WorkerRecord): void {
  if (worker.hold === null) return;
  worker.hold = null;
  appendWorkerEvent(state, worker, { stream: "control", payload: "hold released" });
}

/** The agent failed or fell silent: its job fails, and the worker waits for an administrator. */
export function failWorker(state: State, worker: WorkerRecord, why: string): void {
  if (worker.isRecycled || worker.isDeleted) return;
  const { job } = worker;
  const hasOpenJob = job !== null && !job.isComplete;
  if (hasOpenJob) {
    appendControl(state, job, "worker agent experienced a fatal error; aborting job");
    completeJob(state, job, true);
  }
  worker.isRecycled = true;
  markHeld(state, worker, hasOpenJob ? `${why} during job execution` : why);
}

export function enableDiagnostics(state: State, worker: WorkerRecord): void {
  if (worker.hasDiagnostics) return;
  worker.hasDiagnostics = true;
  appendWorkerEvent(state, worker, { stream: "control", payload: "post-job diagnostics enabled" });
}

export function completeDiagnostics(state: State, worker: WorkerRecord, hasFault: boolean): void {
  if (!worker.hasDiagnostics) return;
  worker.hasDiagnostics = false;
  if (hasFault) markHeld(state, worker, "post-job diagnostics reported a fault");
}

/** As its factory sees it. */
export function factoryView(worker: WorkerRecord): unknown {
  return {
    id: worker.id,
    private: worker.private,
    recycle: worker.isRecycled && worker.hold === null,
    bootstrap: worker.bootstrap,
    online: worker.token !== null,
    hold: worker.hold !== null,
    target: worker.target.id,
  };
}

/** As an administrator sees it: `recycle` is the flag itself, also of a held worker. */
export function adminView(worker: WorkerRecord): unknown {
  const { hold, job } = worker;
  return {
    id: worker.id,
    factory: worker.factory.id,
    factory_private: worker.private,
    factory_ip: worker.ip,
    target: worker.target.id,
    bootstrap: worker.token !== null,
    deleted: worker.isDeleted,
    recycle: worker.isRecycled,
    lastping: formatOptionalTime(worker.lastPing?.wallMs ?? null),
    jobs:
      job === null
        ? []
        : [{ id: job.id, name: job.name, owner: job.owner.id, state: jobState(job), tags: job.tags }],
    hold: hold === null ? null : { time: formatTime(hold.timeMs), reason: hold.reason },
    diagnostics: worker.hasDiagnostics,
  };
}

/** What each ping says, always in full: the agent must remember that it took the job. */
export function agentView(state: State, worker: WorkerRecord): unknown {
  const isWanted = !worker.isRecycled || worker.hold !== null || worker.hasDiagnostics;
  const job = worker.waitsForFlush ? null : worker.job;
  return {
    poweroff: !isWanted,
    job: job === null ? null : agentJob(state, job),
    factory_metadata: worker.metadata,
    factory_info: { id: worker.factory.id, name: worker.factory.name, private: worker.private },
  };
}

function agentJob(state: State, job: JobRecord): unknown {
  settleCommits(state, job);
  const inputs = [...job.inputs].flatMap(([name, file]) => (file === null ? [] : [{ name, id: file.id }]));
  return {
    id: job.id,
    name: job.name,
    output_rules: job.outputRules.map((each) => each.rule),
    tasks: job.tasks.map((task, id) => ({
      id,
      name: task.name,
      script: task.script,
      env_clear: task.env_clear,
      env: task.env,
      uid: task.uid ?? 0,
      gid: task.gid ?? 0,
      workdir: task.workdir ?? "/",
    })),
    inputs: inputs.toSorted((one, other) => (one.id < other.id ? -1 : 1)),
  };
}
