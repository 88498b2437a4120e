/** The next step of each open instance: the table of steps-by-worker-state.ts, and what the table cannot say. */
import {
  type AgentView,
  type Instance,
  instanceName,
  isRust,
  type OpenPhase,
  phases,
  type WorkerView,
} from "../words/domain.ts";
import { farHostName } from "../words/place.ts";
import type { End } from "../words/end-cause.ts";
import type { Action } from "./action.ts";
import { type Agenda, atOnceMs } from "./action-queue.ts";
import { announcementsOf, silenceLookAt } from "./announcements.ts";
import { activeIntent, intentText, wantsCheck } from "./free-testbeds.ts";
import { limits } from "./times-and-limits.ts";
import type { Look, Observation } from "./observation.ts";
import { workerView } from "./server-view.ts";
import { steps } from "./steps-by-worker-state.ts";
import { jobTimeoutAt, lookDueMs, passedTimeout } from "./job-timeouts.ts";

export type OpenInstance = Instance & { phase: OpenPhase };

export function planInstances(open: readonly OpenInstance[], seen: Observation, agenda: Agenda): void {
  // What is nearest to freeing a testbed first.
  for (const instance of open.toSorted((a, b) => phases.indexOf(b.phase) - phases.indexOf(a.phase))) {
    planInstance(instance, seen, agenda);
  }
}

function planInstance(instance: OpenInstance, seen: Observation, agenda: Agenda): void {
  const name = instanceName(instance);
  const worker = workerView(instance, seen.server);
  const look = seen.looks.get(name);
  const agent = look?.view ?? "unseen";
  const step = resumeStep(instance, worker, agent, seen) ?? steps[instance.phase][worker][agent];
  if (look?.view === "alive" && worker !== "held" && (step === "wait" || step === "flush")) {
    const end = passedTimeout(instance, look, worker, seen);
    if (end !== null) return agenda.add({ kind: "end", instance, end });
    agenda.wakeAt(jobTimeoutAt(instance, seen.now) ?? atOnceMs);
    for (const { dueMs, ...announced } of announcementsOf(instance, look, seen))
      agenda.add({ kind: "announce", ...announced }, dueMs);
  }
  if (step === "wait" || step === "look") return;
  if (step === "flush" && instance.isFlushed) return;
  // What an earlier process prepared may have been held since: the first list shows it.
  const isInherited = worker === "unseen" && !seen.server.recordedMs.has(name);
  if (isInherited && (step === "go" || (step === "arm" && instance.phase !== "preparing"))) return;
  if (instance.phase === "preparing" && (step === "arm" || step === "create")) {
    // It may have come after the lease, or during a restart.
    const intent = activeIntent(instance.testbed, seen);
    const end: End = { cause: "withheld", detail: intent === null ? "" : intentText(intent) };
    if (intent !== null) return agenda.add({ kind: "withdraw", instance, end });
  }
  if (step === "create" && wantsCheck(instance, seen))
    return agenda.add({ kind: "check again", instance } as Action);
  if (step === "end") agenda.add({ kind: "end", instance, end: whyItEnds(instance, worker, look) });
  // The table has a step in those phases alone whose instances it is for, and resumeStep() looks.
  else agenda.add({ kind: step, instance } as Action);
}

/**
 * A hardware test goes on at its service while its agent is dead, and the next agent follows it on. Any other job cannot be
 * gone on with, nor begun twice.
 */
function resumeStep(
  instance: OpenInstance,
  worker: WorkerView,
  agent: AgentView,
  { resumed }: Observation,
): "resume" | "end" | null {
  const { place, phase } = instance;
  if (phase !== "running" || place.way !== "sp-runner" || isRust(instance)) return null;
  if (worker === "held" || worker === "foreign" || worker === "recycle" || worker === "gone") return null;
  if (agent !== "exited" && agent !== "dead" && agent !== "absent") return null;
  return (resumed.get(instanceName(instance)) ?? 0) < limits.agentRestarts ? "resume" : "end";
}

/** An end by the agent that is not the job's own is the lab's failure. */
function whyItEnds(instance: Instance, worker: WorkerView, look: Look | undefined): End {
  const agent = look?.view ?? "unseen";
  if (worker === "gone") return { cause: "worker gone" };
  if (worker === "recycle") return { cause: "worker recycled" };
  if (agent === "done") return { cause: "job done" };
  if (isRust(instance)) return { cause: "agent ended with its factory" };
  if (agent === "absent") return { cause: "agent lost" };
  if (agent === "dead") return { cause: "agent killed" };
  const exit = look?.exit ?? null;
  if (exit === null) return { cause: "agent exited" };
  return {
    cause: "agent exited",
    detail: "code" in exit ? `exit code ${exit.code}` : `signal ${exit.signal}`,
  };
}

/** One look for all of a host's instances, over one connection. */
export function planLooks(open: readonly OpenInstance[], seen: Observation, agenda: Agenda): void {
  const due = open.filter((instance) => {
    if (instance.phase === "preparing" || instance.phase === "creating") return false;
    if (instance.phase === "stopped" || seen.busy.has(`testbed ${instance.testbed}`)) return false;
    const look = seen.looks.get(instanceName(instance));
    const dueMs =
      look === undefined || look.isStale
        ? atOnceMs
        : lookDueMs(instance, look, seen, silenceLookAt(instance, look, seen));
    agenda.wakeAt(dueMs);
    return dueMs <= seen.now.uptimeMs;
  });
  const here = due.filter((instance) => !isFar(instance));
  if (here.length > 0) agenda.add({ kind: "look", at: "", instances: here });
  // One host that hangs keeps no other one waiting.
  const farHosts = Map.groupBy(due.filter(isFar), ({ place }) =>
    place.way === "ssh" ? farHostName(place.ssh) : "",
  );
  for (const [at, instances] of farHosts) {
    const atMs = instances.map((instance) => seen.looks.get(instanceName(instance))?.atMs ?? atOnceMs);
    agenda.addFar({ kind: "look", at, instances }, Math.min(...atMs));
  }
}

function isFar({ place }: Instance): boolean {
  return place.way === "ssh";
}
