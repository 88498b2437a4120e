/** The calls of a job's agent (lib/devserver/README.md "The agent's calls"). */
import { callingWorker, requireUlid, workerOwnJob } from "./callers.ts";
import { addChunk, commitOutput, commitOutputAtOnce, outputShape } from "../model/commits.ts";
import { conflict, json, noSuchRow, nothing, type Exchange } from "../model/exchange.ts";
import { fileReply } from "./byte-range.ts";
import { putStoreValue, storeShape } from "../model/job-store.ts";
import { listOf, optional, struct, text, time, truth, u32, u64 } from "./json-body.ts";
import { appendJobEvent, completeJobByWorker, completeTask } from "../model/jobs.ts";
import { bytesCall, call, jsonCall, type Route } from "./routes.ts";
import type { Job } from "../model/state.ts";
import { requireStreamName } from "../model/stream-name.ts";
import {
  agentView,
  appendWorkerEvent,
  bootstrapWorker,
  completeDiagnostics,
  enableDiagnostics,
  failWorker,
} from "../model/workers.ts";

const eventFields = { stream: text, time, payload: text };
const eventShape = struct("WorkerAppendJob", eventFields);
const taskEventShape = struct("WorkerAppendJobOrTask", { task: optional(u32), ...eventFields });
const failedShape = struct("WorkerComplete", { failed: truth });

/** A job that takes these events, all of them, or the refusal. */
function openJob(exchange: Exchange, events: { stream: string }[]): Job {
  const job = workerOwnJob(exchange);
  for (const { stream } of events) requireStreamName(stream);
  if (job.isComplete) throw conflict("job already complete, cannot append");
  return job;
}

export const workerRoutes: Route[] = [
  jsonCall(
    "POST",
    "/0/worker/bootstrap",
    struct("WorkerBootstrap", { bootstrap: text, token: text }),
    (exchange, body) => json(201, { id: bootstrapWorker(exchange.state, body).id }),
  ),

  call("GET", "/0/worker/ping", (exchange) => {
    const worker = callingWorker(exchange);
    worker.lastPing = exchange.state.now();
    return json(200, agentView(exchange.state, worker));
  }),

  jsonCall("POST", "/0/worker/fail", struct("WorkerFail", { reason: optional(text) }), (exchange, body) => {
    failWorker(exchange.state, callingWorker(exchange), body.reason ?? "agent reported failure");
    return nothing;
  }),

  jsonCall("POST", "/0/worker/append", listOf(struct("WorkerAppend", eventFields)), (exchange, body) => {
    const worker = callingWorker(exchange);
    for (const { stream } of body) requireStreamName(stream);
    for (const event of body) appendWorkerEvent(exchange.state, worker, event);
    return nothing;
  }),

  call("POST", "/0/worker/diagnostics/enable", (exchange) => {
    enableDiagnostics(exchange.state, callingWorker(exchange));
    return nothing;
  }),

  jsonCall(
    "POST",
    "/0/worker/diagnostics/complete",
    struct("WorkerCompleteDiagnostics", { hold: truth }),
    (exchange, body) => {
      completeDiagnostics(exchange.state, callingWorker(exchange), body.hold);
      return nothing;
    },
  ),

  jsonCall("POST", "/1/worker/job/{job}/append", listOf(taskEventShape), (exchange, body) => {
    const job = openJob(exchange, body);
    for (const event of body) appendJobEvent(exchange.state, job, event);
    return nothing;
  }),

  jsonCall("POST", "/0/worker/job/{job}/append", eventShape, (exchange, body) => {
    appendJobEvent(exchange.state, openJob(exchange, [body]), body);
    return nothing;
  }),

  jsonCall("POST", "/0/worker/job/{job}/task/{task:u32}/append", eventShape, (exchange, body) => {
    appendJobEvent(exchange.state, openJob(exchange, [body]), {
      ...body,
      task: Number(exchange.params["task"]),
    });
    return nothing;
  }),

  jsonCall("POST", "/0/worker/job/{job}/task/{task:u32}/complete", failedShape, (exchange, body) => {
    const job = workerOwnJob(exchange);
    const task = job.tasks[Number(exchange.params["task"])];
    if (task === undefined) throw noSuchRow();
    completeTask(job, task, body.failed);
    return nothing;
  }),

  jsonCall("POST", "/0/worker/job/{job}/complete", failedShape, (exchange, body) => {
    completeJobByWorker(exchange.state, workerOwnJob(exchange), body.failed);
    return nothing;
  }),

  call("GET", "/0/worker/job/{job}/inputs/{input}", (exchange) => {
    const job = workerOwnJob(exchange);
    const id = requireUlid(exchange.params["input"]);
    const file = [...job.inputs.values()].find((each) => each?.id === id) ?? null;
    if (file === null) throw noSuchRow();
    return fileReply(exchange, file);
  }),

  // Fixed for the whole server: neither token nor job is looked at.
  call("GET", "/0/worker/job/{job}/quota", ({ state }) =>
    json(200, { max_bytes_per_output: state.settings.maxBytesPerFile }),
  ),

  bytesCall("POST", "/0/worker/job/{job}/chunk", (exchange, bytes) =>
    json(201, { id: addChunk(exchange.state, workerOwnJob(exchange), bytes) }),
  ),

  jsonCall("POST", "/1/worker/job/{job}/output", outputShape, (exchange, body) =>
    json(200, commitOutput(exchange.state, workerOwnJob(exchange), body)),
  ),

  jsonCall(
    "POST",
    "/0/worker/job/{job}/output",
    struct("WorkerAddOutput", { path: text, size: u64, chunks: listOf(text) }),
    (exchange, body) => {
      commitOutputAtOnce(exchange.state, workerOwnJob(exchange), body);
      return nothing;
    },
  ),

  call("GET", "/0/worker/job/{job}/store/{name}", (exchange) => {
    const stored = workerOwnJob(exchange).store.get(exchange.params["name"] ?? "");
    return json(200, {
      value: stored === undefined ? null : { value: stored.value, secret: stored.isSecret },
    });
  }),

  jsonCall("PUT", "/0/worker/job/{job}/store/{name}", storeShape, (exchange, body) => {
    const job = workerOwnJob(exchange);
    const name = exchange.params["name"] ?? "";
    putStoreValue(exchange.state, job, { name, ...body, source: "worker" });
    return nothing;
  }),
];
