/**
 * The administrator's calls about targets, workers and jobs (lib/devserver/README.md "Workers as the administrator sees
 * them").
 */
import { z } from "zod";
import { requireAdmin, requireRow, requireUlid } from "./callers.ts";
import { json, nothing, Refusal } from "../model/exchange.ts";
import { jobPage, jobView, pageOf, readPageToken } from "./job-lists.ts";
import { optional, struct, text } from "./json-body.ts";
import { call, jsonCall, type Route } from "./routes.ts";
import { createTarget, renameTarget } from "../model/targets.ts";
import { eventPage } from "./user-calls.ts";
import { adminView, holdWorker, releaseWorker } from "../model/workers.ts";

const workerPageStart = z.object({ id: z.string(), active: z.boolean(), factory: z.string().nullable() });

const targetRoutes: Route[] = [
  jsonCall(
    "POST",
    "/0/admin/target",
    struct("TargetCreate", { name: text, desc: text }),
    (exchange, body) => {
      requireAdmin(exchange, "target.write");
      return json(201, { id: createTarget(exchange.state, body).id });
    },
  ),

  call("GET", "/0/admin/targets", (exchange) => {
    requireAdmin(exchange, "target.read");
    return json(200, [...exchange.state.targets.values()]);
  }),

  jsonCall(
    "PUT",
    "/0/admin/targets/{target}/redirect",
    struct("TargetRedirect", { redirect: optional(text) }),
    (exchange, { redirect }) => {
      requireAdmin(exchange, "target.write");
      const target = requireRow(exchange.state.targets, exchange.params["target"]);
      target.redirect = redirect === null ? null : requireRow(exchange.state.targets, redirect).id;
      return nothing;
    },
  ),

  call("PUT", "/0/admin/targets/{target}/require/{privilege}", (exchange) => {
    requireAdmin(exchange, "target.write");
    const target = requireRow(exchange.state.targets, exchange.params["target"]);
    target.privilege = exchange.params["privilege"] ?? null;
    return nothing;
  }),

  call("DELETE", "/0/admin/targets/{target}/require", (exchange) => {
    requireAdmin(exchange, "target.write");
    requireRow(exchange.state.targets, exchange.params["target"]).privilege = null;
    return nothing;
  }),

  jsonCall(
    "POST",
    "/0/admin/targets/{target}/rename",
    struct("TargetRename", { new_name: text, signpost_description: text }),
    (exchange, body) => {
      requireAdmin(exchange, "target.write");
      const target = requireRow(exchange.state.targets, exchange.params["target"]);
      const given = { name: body.new_name, signpost: body.signpost_description };
      return json(201, { id: renameTarget(exchange.state, target, given).id });
    },
  ),
];

const workerRoutes: Route[] = [
  call(
    "GET",
    "/1/workers",
    (exchange) => {
      requireAdmin(exchange, "worker.read");
      const { query, state } = exchange;
      const token = readPageToken(exchange, workerPageStart);
      const active = token?.active ?? query.get("active") === "true";
      const asked = token === null ? query.get("factory") : token.factory;
      const factory = asked === null ? null : requireUlid(asked);
      const workers = [...(active ? state.activeWorkers : state.workers.values())];
      const wanted = workers.filter((each) => factory === null || each.factory.id === factory);
      const after = token?.id ?? null;
      return json(200, pageOf(wanted, { after, recentFirst: false }, adminView, { active, factory }));
    },
    { active: "truth", limit: "u32" },
  ),

  call(
    "GET",
    "/0/workers",
    (exchange) => {
      requireAdmin(exchange, "worker.read");
      const { query, state } = exchange;
      const workers = query.get("active") === "true" ? state.activeWorkers : state.workers.values();
      return json(200, { workers: Array.from(workers, adminView) });
    },
    { active: "truth" },
  ),

  call("POST", "/0/workers/recycle", (exchange) => {
    requireAdmin(exchange, "worker.write");
    for (const worker of exchange.state.activeWorkers) worker.isRecycled = true;
    return nothing;
  }),

  call("GET", "/0/admin/worker/{worker}", (exchange) => {
    requireAdmin(exchange, "worker.read");
    return json(200, adminView(requireRow(exchange.state.workers, exchange.params["worker"])));
  }),

  call(
    "GET",
    "/0/admin/worker/{worker}/events",
    (exchange) => {
      requireAdmin(exchange, "worker.read");
      const { events } = requireRow(exchange.state.workers, exchange.params["worker"]);
      return json(200, eventPage(events, exchange));
    },
    { minseq: "u32" },
  ),

  call("POST", "/0/admin/worker/{worker}/recycle", (exchange) => {
    requireAdmin(exchange, "worker.write");
    const worker = exchange.state.workers.get(requireUlid(exchange.params["worker"]));
    // One that never was is no conflict here.
    if (worker !== undefined) worker.isRecycled = true;
    return nothing;
  }),

  jsonCall(
    "POST",
    "/0/admin/worker/{worker}/hold",
    struct("WorkerHoldMark", { reason: text }),
    (exchange, { reason }) => {
      requireAdmin(exchange, "worker.write");
      holdWorker(exchange.state, requireRow(exchange.state.workers, exchange.params["worker"]), reason);
      return nothing;
    },
  ),

  call("POST", "/0/admin/worker/{worker}/release", (exchange) => {
    requireAdmin(exchange, "worker.write");
    releaseWorker(exchange.state, requireRow(exchange.state.workers, exchange.params["worker"]));
    return nothing;
  }),
];

const jobRoutes: Route[] = [
  call("POST", "/0/control/hold", (exchange) => {
    requireAdmin(exchange, "control");
    exchange.state.isOnHold = true;
    return nothing;
  }),

  call("POST", "/0/control/resume", (exchange) => {
    requireAdmin(exchange, "control");
    exchange.state.isOnHold = false;
    return nothing;
  }),

  call(
    "GET",
    "/0/admin/jobs",
    (exchange) => {
      requireAdmin(exchange, "job.read");
      const { query, state } = exchange;
      const completed = query.get("completed");
      if (query.get("active") === "true") return json(200, Array.from(state.activeJobs, jobView));
      if (completed === null) throw new Refusal(400, "EINVAL", "cannot list jobs without a filter");
      const ended = [...state.jobs.values()].filter((job) => job.isComplete);
      return json(200, ended.slice(-Number(completed)).map(jobView));
    },
    { active: "truth", completed: "u32" },
  ),

  call("GET", "/0/admin/jobs/{job}", (exchange) => {
    requireAdmin(exchange, "job.read");
    return json(200, jobView(requireRow(exchange.state.jobs, exchange.params["job"])));
  }),

  call(
    "GET",
    "/1/admin/jobs",
    (exchange) => {
      requireAdmin(exchange, "job.read");
      return json(200, jobPage(exchange, [...exchange.state.jobs.values()]));
    },
    { recent_first: "truth", limit: "u32" },
  ),
];

export const adminRoutes: Route[] = [...targetRoutes, ...workerRoutes, ...jobRoutes];
