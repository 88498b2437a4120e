/** The calls of the people who have jobs run (lib/devserver/README.md "Submitting a job" to "Watching a job"). */
import type { Clock } from "../../doors/clock.ts";
import { fileReply } from "./byte-range.ts";
import { callingUser, requireUlid, userOwnJob } from "./callers.ts";
import { addChunk, commitInput, inputShape, settleCommits } from "../model/commits.ts";
import {
  conflict,
  conflictWithoutCode,
  internalError,
  json,
  nothing,
  type Exchange,
} from "../model/exchange.ts";
import { cancelJob } from "../model/jobs.ts";
import { jobPage, jobView } from "./job-lists.ts";
import { ownerView, putStoreValue, storeShape } from "../model/job-store.ts";
import { bytesCall, call, jsonCall, type Route } from "./routes.ts";
import type { JobOutput, WorkerEvent } from "../model/state.ts";
import { submissionShape, submitJob } from "../model/submission.ts";
import { watchAfter, watchJob } from "./watch.ts";

/** From `minseq` on, as many as one reply holds. */
export function eventPage<E extends WorkerEvent>(events: E[], { query }: Exchange): E[] {
  const minseq = Number(query.get("minseq") ?? 0);
  const first = Math.max(0, minseq - 1);
  return events.slice(first, first + 1000);
}

function ownOutput(exchange: Exchange): JobOutput {
  const job = userOwnJob(exchange);
  const id = requireUlid(exchange.params["output"]);
  settleCommits(exchange.state, job);
  const output = job.outputs.find((each) => each.id === id);
  // The real server goes on to ask its archive, which is not there.
  if (output === undefined) throw internalError();
  return output;
}

export function userRoutes(clock: Clock): Route[] {
  return [
    call("GET", "/0/whoami", (exchange) => {
      const { id, name } = callingUser(exchange);
      return json(200, { id, name });
    }),

    call("GET", "/0/quota", ({ state }) =>
      json(200, { max_bytes_per_input: state.settings.maxBytesPerFile }),
    ),

    jsonCall("POST", "/0/jobs", submissionShape, (exchange, body) =>
      json(201, { id: submitJob(exchange.state, callingUser(exchange), body).id }),
    ),

    call("GET", "/0/jobs", (exchange) => json(200, callingUser(exchange).jobs.map(jobView))),

    call("GET", "/1/jobs", (exchange) => json(200, jobPage(exchange, callingUser(exchange).jobs)), {
      recent_first: "truth",
      limit: "u32",
    }),

    call("GET", "/0/job/{job}", (exchange) => json(200, jobView(userOwnJob(exchange)))),

    call(
      "GET",
      "/0/jobs/{job}/events",
      (exchange) => json(200, eventPage(userOwnJob(exchange).events, exchange)),
      { minseq: "u32" },
    ),

    call(
      "GET",
      "/0/jobs/{job}/watch",
      (exchange) => {
        const job = userOwnJob(exchange);
        const { query, headers } = exchange;
        const after = watchAfter(job, query.get("minseq"), headers.get("last-event-id"));
        return watchJob(exchange.state, clock, job, after);
      },
      { minseq: "u32" },
    ),

    bytesCall("POST", "/0/jobs/{job}/chunk", (exchange, bytes) => {
      const job = userOwnJob(exchange);
      if (!job.isWaiting) throw conflict("cannot upload chunks for job that is not waiting");
      return json(201, { id: addChunk(exchange.state, job, bytes) });
    }),

    jsonCall("POST", "/1/jobs/{job}/input", inputShape, (exchange, body) =>
      json(200, commitInput(exchange.state, userOwnJob(exchange), body)),
    ),

    call("POST", "/0/jobs/{job}/cancel", (exchange) => {
      const job = userOwnJob(exchange);
      if (job.isComplete) throw conflictWithoutCode("cannot cancel a job that is already complete");
      cancelJob(exchange.state, job);
      return nothing;
    }),

    call("GET", "/0/jobs/{job}/outputs", (exchange) => {
      const job = userOwnJob(exchange);
      settleCommits(exchange.state, job);
      return json(
        200,
        job.outputs.map(({ id, size, path }) => ({ id, size, path })),
      );
    }),

    call("GET", "/0/jobs/{job}/outputs/{output}", (exchange) => fileReply(exchange, ownOutput(exchange))),
    call("HEAD", "/0/jobs/{job}/outputs/{output}", (exchange) => fileReply(exchange, ownOutput(exchange))),

    call("GET", "/0/jobs/{job}/store", (exchange) => json(200, ownerView(userOwnJob(exchange)))),

    jsonCall("PUT", "/0/jobs/{job}/store/{name}", storeShape, (exchange, body) => {
      const job = userOwnJob(exchange);
      if (job.isComplete) {
        throw conflict("cannot update the store for a job that is already complete");
      }
      const name = exchange.params["name"] ?? "";
      putStoreValue(exchange.state, job, { name, ...body, source: "user" });
      return nothing;
    }),
  ];
}
