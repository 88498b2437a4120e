/**
 * The whole policy: from what is known now to what to do now. Pure: no clock, no network, no memory of the last call.
 * What each phase needs is in steps.ts; here is when, in which order, and for which testbed.
 */
import type { Testbed } from "../config/config.ts";
import {
  type AgentView,
  elapsedMs,
  farHostName,
  type Instance,
  instanceName,
  isFormer,
  isOpen,
  type OpenPhase,
  phases,
  type WorkerView,
} from "../words/domain.ts";
import type { End } from "../words/end-cause.ts";
import { passedLimit, silentAt } from "./time-limits.ts";
import { type Action, actionKey, type Plan, serverless } from "./action.ts";
import { limits } from "./limits.ts";
import { type Observation, type ServerView } from "./observation.ts";
import { judgeStrangers } from "./strangers.ts";
import {
  canServe,
  isAlone,
  isChecked,
  isHere,
  isReached,
  isUsable,
  takenBy,
  targetIds,
  wantsCheck,
} from "./free-testbeds.ts";
import { steps } from "./steps.ts";

const never = Number.POSITIVE_INFINITY;
/** Before any uptime: not yet. */
const notYetMs = Number.MIN_SAFE_INTEGER;

type OpenInstance = Instance & { phase: OpenPhase };

export function plan(seen: Observation): Plan {
  const now = seen.now.uptimeMs;
  const actions: Action[] = [];
  const far: { action: Action; atMs: number }[] = [];
  const keys = new Set(seen.busy);
  let wakeAtMs = never;

  /** Whether a time has come; if not, the plan is made again when it comes. */
  function isDue(atMs: number): boolean {
    if (atMs > now) wakeAtMs = Math.min(wakeAtMs, atMs);
    return atMs <= now;
  }

  function add(action: Action): void {
    const key = actionKey(action);
    if (keys.has(key) || !isDue(seen.retryAtMs.get(key) ?? now)) return;
    if (!serverless.has(action.kind) && !isDue(seen.server.retryAtMs)) return;
    keys.add(key);
    actions.push(action);
  }

  /** A question to another host, and when that was last asked; never: first of all. */
  function addFar(action: Action, atMs = notYetMs): void {
    far.push({ action, atMs });
  }

  const open = seen.instances.filter((each): each is OpenInstance => isOpen(each.phase));
  const taken = takenBy(open);
  // What is nearest to freeing a testbed first.
  for (const instance of open.toSorted((a, b) => phases.indexOf(b.phase) - phases.indexOf(a.phase)))
    planInstance(instance);
  for (const at of seen.untaken.keys()) if (!taken.testbeds.has(at)) add({ kind: "take over", at });
  planLooks();
  const strangers = judgeStrangers(open, seen, isDue);
  for (const worker of strangers.confirmed) add({ kind: "delete stranger", worker });
  planList(strangers.isAnyUnconfirmed);
  planHost();
  planReach();
  planTestbeds();
  if (seen.sweptMs === null || isDue(seen.sweptMs + limits.sweepMs)) add({ kind: "sweep" });
  // Not all may find a place at once: those that were not asked for longest go first.
  for (const { action } of far.toSorted((a, b) => a.atMs - b.atMs)) add(action);
  return { actions, wakeAtMs };

  function planInstance(instance: OpenInstance): void {
    const name = instanceName(instance);
    const worker = workerView(instance, seen.server);
    const look = seen.looks.get(name);
    const agent = look?.view ?? "unseen";
    const step = resumeStep(instance, worker, agent) ?? steps[instance.phase][worker][agent];
    if (look?.view === "alive" && worker !== "held" && (step === "wait" || step === "flush")) {
      const limit = passedLimit(instance, look, worker, seen, isDue);
      if (limit !== null) return add({ kind: "end", instance, end: limit });
    }
    if (step === "wait" || step === "look") return;
    if (step === "flush" && instance.isFlushed) return;
    // What an earlier process prepared may have been held since: the first list tells.
    const isInherited = worker === "unseen" && !seen.server.recordedMs.has(name);
    if (isInherited && (step === "go" || (step === "arm" && instance.phase !== "preparing"))) return;
    if (step === "create" && wantsCheck(instance, seen)) return add({ kind: "check again", instance });
    if (step === "end") add({ kind: "end", instance, end: whyItEnds(instance, worker, agent) });
    else add({ kind: step, instance });
  }

  /**
   * A hardware test goes on at its service while its agent is dead, and the next agent follows it on. Any other job cannot be
   * gone on with, nor begun twice.
   */
  function resumeStep(instance: OpenInstance, worker: WorkerView, agent: AgentView): "resume" | "end" | null {
    const { place, phase } = instance;
    if (phase !== "running" || place.way !== "sp-runner" || isFormer(instance)) return null;
    if (worker === "held" || worker === "foreign" || worker === "recycle" || worker === "gone") return null;
    if (agent !== "exited" && agent !== "dead" && agent !== "absent") return null;
    return (seen.resumed.get(instanceName(instance)) ?? 0) < limits.agentRestarts ? "resume" : "end";
  }

  function planLooks(): void {
    const due = open.filter((instance) => {
      if (instance.phase === "preparing" || instance.phase === "creating") return false;
      if (instance.phase === "stopped" || seen.busy.has(`testbed ${instance.testbed}`)) return false;
      const look = seen.looks.get(instanceName(instance));
      if (look === undefined || look.isStale || isDue(look.atMs + lookEveryMs(instance))) return true;
      const silentAtMs = silentAt(instance, look, seen);
      return silentAtMs !== null && silentAtMs > look.atMs && isDue(silentAtMs);
    });
    const here = due.filter((instance) => !isFar(instance));
    if (here.length > 0) add({ kind: "look", at: "", instances: here });
    // One host that hangs keeps no other one waiting.
    const farHosts = Map.groupBy(due.filter(isFar), ({ place: { ssh } }) => ssh && farHostName(ssh));
    for (const [at = "", instances] of farHosts) {
      const atMs = instances.map((instance) => seen.looks.get(instanceName(instance))?.atMs ?? notYetMs);
      addFar({ kind: "look", at, instances }, Math.min(...atMs));
    }
  }

  function planHost(): void {
    if (seen.mode === "drain" || !seen.config.testbeds.some((each) => each.enabled && isHere(each))) return;
    if (seen.host === null) return add({ kind: "look at host" });
    const interval = seen.host.fault === null ? limits.hostMs : limits.faultyHostMs;
    if (isDue(seen.host.atMs + interval)) add({ kind: "look at host" });
  }

  function planReach(): void {
    if (seen.mode === "drain") return;
    const free = seen.config.testbeds.filter(
      (testbed) => isReached(testbed) && testbed.enabled && !taken.testbeds.has(testbed.name),
    );
    const reachedMs = ({ name }: Testbed): number => {
      const reached = seen.reached.get(name);
      // One that was not reached is tried again when its retry is due.
      return reached?.ok === true ? reached.atMs : notYetMs;
    };
    const isDueAlone = (testbed: Testbed): boolean => isDue(reachedMs(testbed) + limits.reachMs);
    // The boards of one service are asked for together, so that it is asked once.
    const services = new Set(
      free
        .filter((testbed) => reachedMs(testbed) !== notYetMs && isDueAlone(testbed))
        .map(({ spRunnerUrl }) => spRunnerUrl),
    );
    for (const testbed of free) {
      const isDueTogether = testbed.spRunnerUrl !== null && services.has(testbed.spRunnerUrl);
      if (isDueTogether || isDueAlone(testbed)) {
        addFar({ kind: "reach", testbed }, seen.reached.get(testbed.name)?.atMs);
      }
    }
  }

  function planList(isStrangerUnconfirmed: boolean): void {
    const idle = isStrangerUnconfirmed ? limits.confirmMs : limits.listWhileIdleMs;
    const interval = open.length > 0 ? limits.listWhileRunningMs : idle;
    const last = seen.server.list?.askedAtMs ?? Number.NEGATIVE_INFINITY;
    if (seen.server.isListWanted || isDue(last + interval)) add({ kind: "list workers" });
  }

  function planTestbeds(): void {
    const usable = seen.config.testbeds.filter((testbed) => isUsable(testbed, seen, taken, isDue));
    for (const testbed of usable) {
      const check = seen.checks.get(testbed.name);
      if (isChecked(testbed, seen) || seen.mode === "drain") continue;
      if (check === undefined || isDue(check.atMs + limits.checkMs)) add({ kind: "check", testbed });
    }
    const free = new Set(usable.filter((testbed) => isChecked(testbed, seen)));
    const jobs = new Set(open.map(({ job }) => job));
    for (const lease of seen.leases) {
      const isLost = (elapsedMs(lease.askedAt, seen.now) ?? never) > limits.leaseLifeMs;
      const isWanted = seen.mode === "run" && !jobs.has(lease.job) && !isLost;
      const testbed = isWanted ? free.values().find((each) => canServe(each, lease, seen.config)) : undefined;
      if (testbed === undefined) {
        add({ kind: "let lapse", lease });
        continue;
      }
      jobs.add(lease.job);
      free.delete(testbed);
      if (isAlone(testbed, seen)) {
        for (const each of free) if (each.host === testbed.host && isAlone(each, seen)) free.delete(each);
      }
      add({ kind: "begin", lease, testbed });
    }
    const isTaking = seen.mode === "run" && !seen.server.isTokenRefused;
    const isAnyElsewhere =
      seen.elsewhere.has(".host") || seen.config.testbeds.some(({ name }) => seen.elsewhere.has(name));
    if (isTaking && (free.size > 0 || isAnyElsewhere)) {
      if (seen.locksSeenMs === null || isDue(seen.locksSeenMs + limits.locksMs)) {
        add({ kind: "look at locks" });
      }
    }
    // Before the first list and the first look at the locks, a testbed may be in use without our knowing.
    const canAsk = isTaking && seen.server.list !== null && seen.locksSeenMs !== null;
    const offered = canAsk ? [...free].flatMap((testbed) => targetIds(testbed, seen.config)) : [];
    if (offered.length === 0) {
      if (isDue(seen.server.lastPingMs + limits.pingMs)) add({ kind: "ping" });
    } else if (isDue(seen.server.leaseDueMs)) {
      add({ kind: "lease", targets: [...new Set(offered)] });
    }
  }
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
    // An operator has looked: the worker is the other instance's, and there is none of this one.
    return instance.place.way === "cleared" ? "gone" : "foreign";
  }
  if (worker.hold) return "held";
  if (worker.recycle) return "recycle";
  // Before the association our own worker has no `private` yet; after it, the list is the older of the two.
  if (worker.private === null && instance.phase !== "created") return "unseen";
  return worker.online ? "online" : "offline";
}

/** An end by the agent that is not the job's own is the lab's failure. */
function whyItEnds(instance: Instance, worker: WorkerView, agent: AgentView): End {
  if (worker === "gone") return { cause: "worker gone" };
  if (worker === "recycle") return { cause: "worker recycled" };
  if (agent === "done") return { cause: "job done" };
  if (isFormer(instance)) return { cause: "agent ended with its factory" };
  if (agent === "absent") return { cause: "agent lost" };
  return { cause: agent === "dead" ? "agent killed" : "agent exited" };
}

/** A job's silence counts from the look that saw its last output: with a limit, four looks tell it to a quarter. */
function lookEveryMs({ silenceTimeoutMs }: Instance): number {
  return Math.min(
    limits.lookMs,
    Math.max(limits.silenceLookMs, (silenceTimeoutMs ?? Number.POSITIVE_INFINITY) / 4),
  );
}

function isFar({ place }: Instance): boolean {
  return place.ssh !== undefined;
}
