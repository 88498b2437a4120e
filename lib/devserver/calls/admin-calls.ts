/**
 * The administrator's calls about targets, workers and jobs (lib/devserver/README.md "Workers as the administrator sees
 * them").
 */
import { z } from "zod";
import { jobOf, requireRow, requireUlid, targetOf, workerOf } from "./callers.ts";
import { created, RefusedCall } from "../model/exchange.ts";
import { eventPage, jobPage, jobView, pageOf, readPageToken } from "./job-lists.ts";
import { optional, text } from "./json-body.ts";
import { adminCall, adminJsonCall, type Route } from "./routes.ts";
import { createTarget, renameTarget } from "../model/targets.ts";
import { adminView, holdWorker, releaseWorker } from "../model/workers.ts";

const workerPageStart = z.object({ id: z.string(), active: z.boolean(), factory: z.string().nullable() });

const targetRoutes: Route[] = [
  adminJsonCall(
    "POST",
    "/0/admin/target",
    "target.write",
    z.object({ name: text, desc: text }),
    ({ state }, body) => created({ id: createTarget(state, body).id }),
  ),
  adminCall("GET", "/0/admin/targets", "target.read", ({ state }) => [...state.targets.values()]),
  adminJsonCall(
    "PUT",
    "/0/admin/targets/{target}/redirect",
    "target.write",
    z.object({ redirect: optional(text) }),
    (exchange, { redirect }) => {
      const target = targetOf(exchange);
      target.redirect = redirect === null ? null : requireRow(exchange.state.targets, redirect).id;
    },
  ),
  adminCall("PUT", "/0/admin/targets/{target}/require/{privilege}", "target.write", (exchange) => {
    targetOf(exchange).privilege = exchange.params["privilege"] ?? null;
  }),
  adminCall("DELETE", "/0/admin/targets/{target}/require", "target.write", (exchange) => {
    targetOf(exchange).privilege = null;
  }),
  adminJsonCall(
    "POST",
    "/0/admin/targets/{target}/rename",
    "target.write",
    z.object({ new_name: text, signpost_description: text }),
    (exchange, { new_name: name, signpost_description: signpost }) =>
      created({ id: renameTarget(exchange.state, targetOf(exchange), { name, signpost }).id }),
  ),
];

const workerRoutes: Route[] = [
  adminCall(
    "GET",
    "/1/workers",
    "worker.read",
    (exchange) => {
      const { query, state } = exchange;
      const token = readPageToken(exchange, workerPageStart);
      const active = token?.active ?? query.get("active") === "true";
      const asked = token === null ? query.get("factory") : token.factory;
      const factory = asked === null ? null : requireUlid(asked);
      const workers = [...(active ? state.activeWorkers : state.workers.values())];
      const wanted = workers.filter((each) => factory === null || each.factory.id === factory);
      const after = token?.id ?? null;
      return pageOf(wanted, { after, recentFirst: false }, adminView, { active, factory });
    },
    { active: "truth", limit: "u32" },
  ),
  adminCall("POST", "/0/workers/recycle", "worker.write", ({ state }) => {
    for (const worker of state.activeWorkers) worker.isRecycled = true;
  }),
  adminCall("GET", "/0/admin/worker/{worker}", "worker.read", (exchange) => adminView(workerOf(exchange))),
  adminCall(
    "GET",
    "/0/admin/worker/{worker}/events",
    "worker.read",
    (exchange) => eventPage(workerOf(exchange).events, exchange),
    { minseq: "u32" },
  ),
  adminCall("POST", "/0/admin/worker/{worker}/recycle", "worker.write", ({ state, params }) => {
    // A worker that never existed is not a conflict here.
    const worker = state.workers.get(requireUlid(params["worker"]));
    if (worker !== undefined) worker.isRecycled = true;
  }),
  adminJsonCall(
    "POST",
    "/0/admin/worker/{worker}/hold",
    "worker.write",
    z.object({ reason: text }),
    (exchange, { reason }) => holdWorker(exchange.state, workerOf(exchange), reason),
  ),
  adminCall("POST", "/0/admin/worker/{worker}/release", "worker.write", (exchange) =>
    releaseWorker(exchange.state, workerOf(exchange)),
  ),
];

const jobRoutes: Route[] = [
  adminCall("POST", "/0/control/hold", "control", ({ state }) => void (state.isOnHold = true)),
  adminCall("POST", "/0/control/resume", "control", ({ state }) => void (state.isOnHold = false)),
  adminCall(
    "GET",
    "/0/admin/jobs",
    "job.read",
    ({ query, state }) => {
      const completed = query.get("completed");
      if (query.get("active") === "true") return Array.from(state.activeJobs, jobView);
      if (completed === null) throw new RefusedCall(400, "EINVAL", "cannot list jobs without a filter");
      const ended = [...state.jobs.values()].filter((job) => job.isComplete);
      return ended.slice(-Number(completed)).map(jobView);
    },
    { active: "truth", completed: "u32" },
  ),
  adminCall("GET", "/0/admin/jobs/{job}", "job.read", (exchange) => jobView(jobOf(exchange))),
  adminCall(
    "GET",
    "/1/admin/jobs",
    "job.read",
    (exchange) => jobPage(exchange, [...exchange.state.jobs.values()]),
    { recent_first: "truth", limit: "u32" },
  ),
];

export const adminRoutes: Route[] = [...targetRoutes, ...workerRoutes, ...jobRoutes];
