/** The calls of a job's agent (lib/devserver/README.md "The agent's calls"). */
import { z } from "zod";
import { callingWorker, requireUlid, workerOwnJob } from "./callers.ts";
import { addChunk, commitOutput, maxFileBytes, outputShape } from "../model/commits.ts";
import { conflict, created, noSuchRow, type Exchange } from "../model/exchange.ts";
import { fileReply } from "./byte-range.ts";
import { putStoreValue, storeShape } from "../model/job-store.ts";
import { optional, text, time, truth, u32 } from "./json-body.ts";
import { appendJobEvent, completeJobByWorker, completeTask } from "../model/jobs.ts";
import { bytesCall, call, jsonCall, type Route } from "./routes.ts";
import { requireStreamName } from "../model/stream-name.ts";
import {
  agentView,
  appendWorkerEvent,
  bootstrapWorker,
  completeDiagnostics,
  enableDiagnostics,
  failWorker,
} from "../model/workers.ts";

const eventShape = z.object({ stream: text, time, payload: text });
const jobEventShape = eventShape.extend({ task: optional(u32) });
const failedShape = z.object({ failed: truth });

/** Takes all of the events, or none. */
function appendToJob(exchange: Exchange, events: z.output<typeof eventShape>[]): void {
  const job = workerOwnJob(exchange);
  for (const { stream } of events) requireStreamName(stream);
  if (job.isComplete) throw conflict("job already complete, cannot append");
  for (const event of events) appendJobEvent(exchange.state, job, event);
}

export const workerRoutes: Route[] = [
  jsonCall("POST", "/0/worker/bootstrap", z.object({ bootstrap: text, token: text }), ({ state }, body) =>
    created({ id: bootstrapWorker(state, body).id }),
  ),
  call("GET", "/0/worker/ping", (exchange) => {
    const worker = callingWorker(exchange);
    worker.lastPing = exchange.state.now();
    return agentView(exchange.state, worker);
  }),
  jsonCall("POST", "/0/worker/fail", z.object({ reason: optional(text) }), (exchange, { reason }) =>
    failWorker(exchange.state, callingWorker(exchange), reason ?? "agent reported failure"),
  ),
  jsonCall("POST", "/0/worker/append", z.array(eventShape), (exchange, body) => {
    const worker = callingWorker(exchange);
    for (const { stream } of body) requireStreamName(stream);
    for (const event of body) appendWorkerEvent(exchange.state, worker, event);
  }),
  call("POST", "/0/worker/diagnostics/enable", (exchange) =>
    enableDiagnostics(exchange.state, callingWorker(exchange)),
  ),
  jsonCall("POST", "/0/worker/diagnostics/complete", z.object({ hold: truth }), (exchange, { hold }) =>
    completeDiagnostics(exchange.state, callingWorker(exchange), hold),
  ),

  jsonCall("POST", "/1/worker/job/{job}/append", z.array(jobEventShape), appendToJob),
  jsonCall("POST", "/0/worker/job/{job}/append", eventShape, (exchange, event) =>
    appendToJob(exchange, [event]),
  ),
  jsonCall("POST", "/0/worker/job/{job}/task/{task:u32}/complete", failedShape, (exchange, { failed }) => {
    const job = workerOwnJob(exchange);
    const task = job.tasks[Number(exchange.params["task"])];
    if (task === undefined) throw noSuchRow();
    completeTask(job, task, failed);
  }),
  jsonCall("POST", "/0/worker/job/{job}/complete", failedShape, (exchange, { failed }) =>
    completeJobByWorker(exchange.state, workerOwnJob(exchange), failed),
  ),

  call("GET", "/0/worker/job/{job}/inputs/{input}", (exchange) => {
    const job = workerOwnJob(exchange);
    const id = requireUlid(exchange.params["input"]);
    const file = [...job.inputs.values()].find((each) => each?.id === id) ?? null;
    if (file === null) throw noSuchRow();
    return fileReply(exchange, file);
  }),
  // The same for the whole server: the token and the job are not checked.
  call("GET", "/0/worker/job/{job}/quota", () => ({ max_bytes_per_output: maxFileBytes })),
  bytesCall("POST", "/0/worker/job/{job}/chunk", (exchange, bytes) =>
    created({ id: addChunk(exchange.state, workerOwnJob(exchange), bytes) }),
  ),
  jsonCall("POST", "/1/worker/job/{job}/output", outputShape, (exchange, body) =>
    commitOutput(exchange.state, workerOwnJob(exchange), body),
  ),

  call("GET", "/0/worker/job/{job}/store/{name}", (exchange) => {
    const stored = workerOwnJob(exchange).store.get(exchange.params["name"] ?? "");
    return { value: stored === undefined ? null : { value: stored.value, secret: stored.isSecret } };
  }),
  jsonCall("PUT", "/0/worker/job/{job}/store/{name}", storeShape, (exchange, body) => {
    const name = exchange.params["name"] ?? "";
    putStoreValue(exchange.state, workerOwnJob(exchange), { name, ...body, source: "worker" });
  }),
];
