/** The calls of a factory (lib/devserver/README.md "The factory's calls"). */
import { z } from "zod";
import { callingFactory, factoryOwnWorker, requireRow, requireUlid } from "./callers.ts";
import { created } from "../model/exchange.ts";
import { optional, text, time, truth } from "./json-body.ts";
import { appendJobEvent, assignJob, requireAssignable } from "../model/jobs.ts";
import { renewLease, takeLease } from "../model/leases.ts";
import { metadataShape } from "../model/metadata.ts";
import { call, jsonCall, type Route } from "./routes.ts";
import { requireStreamName } from "../model/stream-name.ts";
import { associateWorker, createWorker, deleteWorker, factoryView } from "../model/workers.ts";

const leaseShape = z.object({ supported_targets: z.array(text) });
const createShape = z.object({ target: text, job: optional(text), wait_for_flush: truth.default(false) });
const associateShape = z.object({ private: text, ip: optional(text), metadata: optional(metadataShape) });
const appendShape = z.object({ stream: text, time, payload: text });

export const factoryRoutes: Route[] = [
  call("GET", "/0/factory/ping", (exchange) => {
    callingFactory(exchange).lastPingMs = exchange.state.now().wallMs;
    return { ok: true };
  }),

  jsonCall("POST", "/0/factory/lease", leaseShape, (exchange, body) => {
    // The one call that reads its ids before it looks at the token.
    const targets = new Set(body.supported_targets.map(requireUlid));
    const factory = callingFactory(exchange);
    factory.lastPingMs = exchange.state.now().wallMs;
    const lease = takeLease(exchange.state, factory, targets);
    return { lease: lease === null ? null : { target: lease.target.id, job: lease.job.id } };
  }),

  call("POST", "/0/factory/lease/{job}", (exchange) => {
    const factory = callingFactory(exchange);
    const job = exchange.state.jobs.get(requireUlid(exchange.params["job"]));
    return renewLease(exchange.state, factory, job);
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
    return created(factoryView(worker));
  }),

  call("GET", "/0/factory/workers", (exchange) =>
    Array.from(callingFactory(exchange).workers.values(), factoryView),
  ),

  call("GET", "/0/factory/worker/{worker}", (exchange) => {
    const factory = callingFactory(exchange);
    const id = requireUlid(exchange.params["worker"]);
    // Only here a worker that never existed is not a conflict.
    if (!exchange.state.workers.has(id)) return { worker: null };
    const worker = factoryOwnWorker(exchange);
    return { worker: factory.workers.has(id) ? factoryView(worker) : null };
  }),

  jsonCall("PATCH", "/0/factory/worker/{worker}", associateShape, (exchange, body) =>
    associateWorker(factoryOwnWorker(exchange), body),
  ),

  // A line is kept if there is a job to keep it for, and dropped silently if there will never be one.
  jsonCall("POST", "/0/factory/worker/{worker}/append", appendShape, (exchange, line) => {
    const { job, isRecycled, isDeleted } = factoryOwnWorker(exchange);
    requireStreamName(line.stream);
    if (job !== null && !job.isComplete) appendJobEvent(exchange.state, job, line);
    return { retry: job === null && !isRecycled && !isDeleted };
  }),

  call("POST", "/0/factory/worker/{worker}/flush", (exchange) => {
    factoryOwnWorker(exchange).waitsForFlush = false;
  }),

  call("DELETE", "/0/factory/worker/{worker}", (exchange) => {
    deleteWorker(exchange.state, factoryOwnWorker(exchange));
    return true;
  }),
];
