/**
 * What the daemon has learnt of the server: the last list of workers, since when things have been as they are, and
 * when it may be asked again. In memory only: a restart learns it all again.
 */
import type { Answer } from "../server/call.ts";
import { type Instance, instanceName, type WorkerView } from "../words/domain.ts";
import type { Worker } from "../server/factory-side.ts";
import type { ServerView } from "./observation.ts";
import { limits } from "./times-and-limits.ts";

export interface KnownServer extends ServerView {
  list: { askedAtMs: number; workers: Map<string, Worker> } | null;
  missingSinceMs: Map<string, number>;
  recordedMs: Map<string, number>;
  firstListedMs: Map<string, number>;
  /** The server creates this factory's workers held; a job bound to one would run anyway. */
  areWorkersBornHeld: boolean;
  failuresInARow: number;
}

export function newServerView(): KnownServer {
  return {
    list: null,
    isListWanted: true,
    missingSinceMs: new Map(),
    recordedMs: new Map(),
    firstListedMs: new Map(),
    lastSettledMs: Number.NEGATIVE_INFINITY,
    retryAtMs: Number.NEGATIVE_INFINITY,
    answeringSinceMs: null,
    silentSinceMs: null,
    backSinceMs: null,
    leaseDueMs: Number.NEGATIVE_INFINITY,
    lastPingMs: Number.NEGATIVE_INFINITY,
    isTokenRefused: false,
    refusedSinceMs: null,
    areWorkersBornHeld: false,
    failuresInARow: 0,
  };
}

/** What the last list says of an instance's worker. */
export function workerView(instance: Instance, server: ServerView): WorkerView {
  const { list } = server;
  const name = instanceName(instance);
  if (instance.worker === null || list === null) return "unseen";
  const recordedMs = server.recordedMs.get(name);
  if (recordedMs !== undefined && list.askedAtMs <= recordedMs) return "unseen";
  const worker = list.workers.get(instance.worker);
  if (worker === undefined) {
    const sinceMs = server.missingSinceMs.get(name) ?? list.askedAtMs;
    return list.askedAtMs - sinceMs >= limits.confirmMs ? "gone" : "missing";
  }
  if (worker.private !== null && worker.private !== name) {
    // An operator has looked: the worker belongs to the other instance, and this one has none.
    return instance.isCleared ? "gone" : "foreign";
  }
  if (worker.hold) return "held";
  if (worker.recycle) return "recycle";
  // Before the association our own worker has no `private` yet; after it, the list is the older of the two.
  if (worker.private === null && instance.phase !== "created") return "unseen";
  return worker.online ? "online" : "offline";
}

/** Takes a good list in. `open` are the open instances, `askedAtMs` the moment before it was asked for. */
export function replaceList(
  server: KnownServer,
  workers: Worker[],
  askedAtMs: number,
  open: Iterable<Instance>,
): void {
  const byId = new Map(workers.map((worker) => [worker.id, worker]));
  server.firstListedMs = new Map(
    workers.map((worker) => [worker.id, firstListedMs(server, worker, askedAtMs)] as const),
  );
  const missing = new Map<string, number>();
  const recorded = new Map<string, number>();
  for (const instance of open) {
    const recordedMs = server.recordedMs.get(instanceName(instance));
    if (recordedMs !== undefined) recorded.set(instanceName(instance), recordedMs);
    if (instance.worker === null || byId.has(instance.worker)) continue;
    const name = instanceName(instance);
    if (askedAtMs <= (recordedMs ?? Number.NEGATIVE_INFINITY)) continue;
    missing.set(name, server.missingSinceMs.get(name) ?? askedAtMs);
  }
  server.missingSinceMs = missing;
  server.recordedMs = recorded;
  server.list = { askedAtMs, workers: byId };
  server.isListWanted = false;
}

/** For an unassociated worker only lists count that were asked for after the last request for one was settled. */
function firstListedMs(server: KnownServer, worker: Worker, askedAtMs: number): number {
  const before = server.firstListedMs.get(worker.id) ?? askedAtMs;
  return worker.private === null && before <= server.lastSettledMs ? askedAtMs : before;
}

/** Takes in one worker as just read; null: it is deleted. A list asked for before this read is older than it. */
export function updateWorker(server: KnownServer, id: string, worker: Worker | null): void {
  if (worker === null) server.list?.workers.delete(id);
  else server.list?.workers.set(id, worker);
}

/** Statuses of a gateway before a server that is not there. */
const gatewayStatuses = [502, 503, 504];

/** Whether a failed call says that the server as a whole does not answer, not just this call. */
export function isOutage(answer: Answer<unknown>): boolean {
  if (answer.ok || answer.refusal !== "no answer") return false;
  return answer.status === null || gatewayStatuses.includes(answer.status);
}

export function recordAnswer(server: KnownServer, nowMs: number): void {
  server.answeringSinceMs ??= nowMs;
  if (server.silentSinceMs !== null) server.backSinceMs = nowMs;
  server.silentSinceMs = null;
  server.failuresInARow = 0;
  server.retryAtMs = Number.NEGATIVE_INFINITY;
}

/** `fraction` is from 0 to 1: jitter, so that factories do not come back all at once. */
export function recordSilence(server: KnownServer, nowMs: number, fraction: number): void {
  server.answeringSinceMs = null;
  server.silentSinceMs ??= nowMs;
  // Calls that were under way together fail together: they count once.
  if (nowMs < server.retryAtMs) return;
  server.retryAtMs = nowMs + backOffMs(server.failuresInARow, fraction);
  server.failuresInARow += 1;
}

/** 1 s, doubling to 30 s, each up to a quarter shorter or longer. */
export function backOffMs(failuresBefore: number, fraction: number): number {
  return Math.min(limits.backOffMs * 2 ** failuresBefore, limits.longestBackOffMs) * (0.75 + fraction / 2);
}
