/** The calls of users who submit jobs (lib/devserver/README.md "Submitting a job" to "Watching a job"). */
import type { Clock } from "../../doors/clock.ts";
import { fileReply } from "./byte-range.ts";
import { callingUser, requireUlid, userOwnJob } from "./callers.ts";
import { addChunk, commitInput, inputShape, maxFileBytes, settleCommits } from "../model/commits.ts";
import { conflict, conflictWithoutCode, created, internalError } from "../model/exchange.ts";
import { cancelJob } from "../model/jobs.ts";
import { eventPage, jobPage, jobView } from "./job-lists.ts";
import { ownerView, putStoreValue, storeShape } from "../model/job-store.ts";
import { bytesCall, call, jsonCall, type Route } from "./routes.ts";
import { submissionShape, submitJob } from "../model/submission.ts";
import { watchAfter, watchJob } from "./watch.ts";

export function userRoutes(clock: Clock): Route[] {
  return [
    call("GET", "/0/whoami", (exchange) => {
      const { id, name } = callingUser(exchange);
      return { id, name };
    }),
    call("GET", "/0/quota", () => ({ max_bytes_per_input: maxFileBytes })),
    jsonCall("POST", "/0/jobs", submissionShape, (exchange, body) =>
      created({ id: submitJob(exchange.state, callingUser(exchange), body).id }),
    ),
    call("GET", "/1/jobs", (exchange) => jobPage(exchange, callingUser(exchange).jobs), {
      recent_first: "truth",
      limit: "u32",
    }),
    call("GET", "/0/job/{job}", (exchange) => jobView(userOwnJob(exchange))),
    call("GET", "/0/jobs/{job}/events", (exchange) => eventPage(userOwnJob(exchange).events, exchange), {
      minseq: "u32",
    }),
    call(
      "GET",
      "/0/jobs/{job}/watch",
      (exchange) => {
        const job = userOwnJob(exchange);
        const { query, headers, state } = exchange;
        return watchJob(
          state,
          clock,
          job,
          watchAfter(job, query.get("minseq"), headers.get("last-event-id")),
        );
      },
      { minseq: "u32" },
    ),

    bytesCall("POST", "/0/jobs/{job}/chunk", (exchange, bytes) => {
      const job = userOwnJob(exchange);
      if (!job.isWaiting) throw conflict("cannot upload chunks for job that is not waiting");
      return created({ id: addChunk(exchange.state, job, bytes) });
    }),
    jsonCall("POST", "/1/jobs/{job}/input", inputShape, (exchange, body) =>
      commitInput(exchange.state, userOwnJob(exchange), body),
    ),
    call("POST", "/0/jobs/{job}/cancel", (exchange) => {
      const job = userOwnJob(exchange);
      if (job.isComplete) throw conflictWithoutCode("cannot cancel a job that is already complete");
      cancelJob(exchange.state, job);
    }),

    call("GET", "/0/jobs/{job}/outputs", (exchange) => {
      const job = userOwnJob(exchange);
      settleCommits(exchange.state, job);
      return job.outputs.map(({ id, bytes, path }) => ({ id, size: bytes.size, path }));
    }),
    call("GET", "/0/jobs/{job}/outputs/{output}", (exchange) => {
      const job = userOwnJob(exchange);
      const id = requireUlid(exchange.params["output"]);
      settleCommits(exchange.state, job);
      const output = job.outputs.find((each) => each.id === id);
      // The real server goes on to ask its archive, which does not exist here.
      if (output === undefined) throw internalError();
      return fileReply(exchange, output);
    }),

    call("GET", "/0/jobs/{job}/store", (exchange) => ownerView(userOwnJob(exchange))),
    jsonCall("PUT", "/0/jobs/{job}/store/{name}", storeShape, (exchange, body) => {
      const job = userOwnJob(exchange);
      if (job.isComplete) throw conflict("cannot update the store for a job that is already complete");
      const name = exchange.params["name"] ?? "";
      putStoreValue(exchange.state, job, { name, ...body, source: "user" });
    }),
  ];
}
