/** The calls of a factory (lib/devserver/README.md "The factory's calls"). */
import { callingFactory, factoryOwnWorker, requireRow, requireUlid } from "./callers.ts";
import { json, nothing, type Exchange, type Reply } from "../model/exchange.ts";
import { defaulted, listOf, optional, struct, text, time, truth } from "./json-body.ts";
import { appendJobEvent, assignJob, requireAssignable } from "../model/jobs.ts";
import { renewLease, takeLease } from "../model/leases.ts";
import { metadataShape } from "../model/metadata.ts";
import { call, jsonCall, type Route } from "./routes.ts";
import { requireStreamName } from "../model/stream-name.ts";
import { associateWorker, createWorker, deleteWorker, factoryView } from "../model/workers.ts";

const leaseShape = struct("FactoryWhatsNext", { supported_targets: listOf(text) });
const createShape = struct("FactoryWorkerCreate", {
  target: text,
  job: optional(text),
  wait_for_flush: defaulted(truth, () => false),
});
const associateShape = struct("FactoryWorkerAssociate", {
  private: text,
  ip: optional(text),
  metadata: optional(metadataShape),
});
const appendShape = struct("FactoryWorkerAppend", { stream: text, time, payload: text });

export const factoryRoutes: Route[] = [
  call("GET", "/0/factory/ping", (exchange) => {
    callingFactory(exchange).lastPingMs = exchange.state.now().wallMs;
    return json(200, { ok: true });
  }),

  jsonCall("POST", "/0/factory/lease", leaseShape, (exchange, body) => {
    // The one call that reads its ids before it asks who calls.
    const targets = new Set(body.supported_targets.map(requireUlid));
    const factory = callingFactory(exchange);
    factory.lastPingMs = exchange.state.now().wallMs;
    const lease = takeLease(exchange.state, factory, targets);
    return json(200, { lease: lease === null ? null : { target: lease.target.id, job: lease.job.id } });
  }),

  call("POST", "/0/factory/lease/{job}", (exchange) => {
    const factory = callingFactory(exchange);
    const job = exchange.state.jobs.get(requireUlid(exchange.params["job"]));
    return json(200, renewLease(exchange.state, factory, job));
  }),

  jsonCall("POST", "/0/factory/worker", createShape, (exchange, body) => {
    const { state } = exchange;
    const factory = callingFactory(exchange);
    const targetId = requireUlid(body.target);
    const jobId = body.job === null ? null : requireUlid(body.job);
    const target = requireRow(state.targets, targetId);
    const job = jobId === null ? null : requireRow(state.jobs, jobId);
    if (job !== null) requireAssignable(job);
    const worker = createWorker(state, { factory, target, waitsForFlush: body.wait_for_flush });
    if (job !== null) assignJob(state, job, worker);
    return json(201, factoryView(worker));
  }),

  call("GET", "/0/factory/workers", (exchange) => {
    const factory = callingFactory(exchange);
    return json(200, Array.from(factory.workers.values(), factoryView));
  }),

  call("GET", "/0/factory/worker/{worker}", (exchange) => {
    const factory = callingFactory(exchange);
    const id = requireUlid(exchange.params["worker"]);
    // Only here a worker that never was is no conflict.
    if (!exchange.state.workers.has(id)) return json(200, { worker: null });
    const worker = factoryOwnWorker(exchange);
    return json(200, { worker: factory.workers.has(id) ? factoryView(worker) : null });
  }),

  jsonCall("PATCH", "/0/factory/worker/{worker}", associateShape, (exchange, body) => {
    associateWorker(factoryOwnWorker(exchange), body);
    return nothing;
  }),

  jsonCall("POST", "/0/factory/worker/{worker}/append", appendShape, appendLine),

  call("POST", "/0/factory/worker/{worker}/flush", (exchange) => {
    factoryOwnWorker(exchange).waitsForFlush = false;
    return nothing;
  }),

  call("DELETE", "/0/factory/worker/{worker}", (exchange) => {
    deleteWorker(exchange.state, factoryOwnWorker(exchange));
    return json(200, true);
  }),
];

/** A line is kept once there is a job to keep it for; where there will never be one it is dropped in silence. */
function appendLine(exchange: Exchange, line: { stream: string; time: string; payload: string }): Reply {
  const { job, isRecycled, isDeleted } = factoryOwnWorker(exchange);
  requireStreamName(line.stream);
  if (job === null) return json(200, { retry: !isRecycled && !isDeleted });
  if (!job.isComplete) appendJobEvent(exchange.state, job, line);
  return json(200, { retry: false });
}
