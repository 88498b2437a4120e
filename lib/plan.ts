/**
 * The whole policy: from what is known now to what to do now. Pure: no clock, no network, no memory of the last call.
 * What each phase needs is in steps.ts; here is when, in which order, and for which testbed.
 */
import type { Config, Testbed } from "./config.ts";
import {
  type AgentView,
  elapsedMs,
  type Health,
  type Instance,
  instanceName,
  isOpen,
  type Moment,
  type WorkerView,
} from "./domain.ts";
import type { Lease, Worker } from "./factory-api.ts";
import { type Step, steps } from "./steps.ts";

/** A lease that no testbed has been chosen for yet. */
export interface PendingLease extends Lease {
  askedAt: Moment;
  /** Testbeds that could not be got ready for it. */
  tried: readonly string[];
}

/** What the minder said of an instance, and when; all times are uptimes in ms. */
export interface Look {
  view: AgentView;
  atMs: number;
  /** Something may have changed since: look again at once. */
  isStale: boolean;
  /** When the agent's log was last seen to grow. */
  logGrewMs: number;
}

export interface ServerView {
  /** The last good list, by worker id. */
  list: { askedAtMs: number; workers: ReadonlyMap<string, Worker> } | null;
  /** A new list is wanted at once. */
  isListWanted: boolean;
  /** By instance name: when the first list of the run that lacks its worker was asked for. */
  missingSinceMs: ReadonlyMap<string, number>;
  /** By instance name: when its worker was recorded by this process; absent for those that an earlier one recorded. */
  recordedMs: ReadonlyMap<string, number>;
  /** By worker id: when the first list that has it was asked for. */
  firstListedMs: ReadonlyMap<string, number>;
  /** When it was last settled what became of a request for a worker. */
  lastSettledMs: number;
  /** No call before this: the server does not answer. */
  retryAtMs: number;
  /** Since when it has answered without a break; null while it does not. */
  answeringSinceMs: number | null;
  leaseDueMs: number;
  lastPingMs: number;
  isTokenRefused: boolean;
}

export interface Observation {
  now: Moment;
  /** `drain`: finish what runs and take nothing new. */
  mode: "run" | "drain";
  config: Config;
  instances: readonly Instance[];
  leases: readonly PendingLease[];
  health: ReadonlyMap<string, Health>;
  /** By testbed: who holds its lock, where that is no open instance of ours. */
  elsewhere: ReadonlyMap<string, string>;
  locksSeenMs: number | null;
  /** By testbed: how its `check` command last ended. */
  checks: ReadonlyMap<string, { isPassed: boolean; atMs: number }>;
  looks: ReadonlyMap<string, Look>;
  /** When old instance directories were last looked through; null: not yet. */
  sweptMs: number | null;
  server: ServerView;
  /** By action key: not before this, because it failed. */
  retryAtMs: ReadonlyMap<string, number>;
  /** Keys of the actions that are under way. */
  busy: ReadonlySet<string>;
}

export type Action =
  | { kind: "list workers" }
  | { kind: "ping" }
  | { kind: "lease"; targets: string[] }
  | { kind: "look"; instances: Instance[] }
  | { kind: "look at locks" }
  | { kind: "sweep" }
  | { kind: "check"; testbed: Testbed }
  | { kind: "begin"; lease: PendingLease; testbed: Testbed }
  | { kind: "let lapse"; lease: PendingLease }
  | { kind: "delete stranger"; worker: Worker }
  | { kind: "end"; instance: Instance; reason: string; untold: string | null }
  | { kind: Exclude<Step, "wait" | "look" | "end">; instance: Instance };

export interface Plan {
  /** In the order in which they are to be begun: what frees a testbed before what takes one. */
  actions: Action[];
  /** Uptime in ms at which the plan may be another one though nothing happened. */
  wakeAtMs: number;
}

export const intervals = {
  listWhileRunningMs: 3_000,
  listWhileIdleMs: 60_000,
  lookMs: 5_000,
  locksMs: 5_000,
  pingMs: 10_000,
  checkMs: 10_000,
  /** Two lists, or two looks at a board, prove something only this far apart. */
  confirmMs: 10_000,
  sweepMs: 3_600_000,
  /** A worker of an instance that we do not know, and that never came online, is deleted after this. */
  strangerMs: 600_000,
};

/** No two actions with one key are under way at the same time. */
export function actionKey(action: Action): string {
  switch (action.kind) {
    case "list workers":
    case "ping":
    case "lease":
    case "look":
    case "look at locks":
    case "sweep":
      return action.kind;
    case "check":
      return `check ${action.testbed.name}`;
    case "begin":
      return `testbed ${action.testbed.name}`;
    case "let lapse":
      return `lease ${action.lease.job}`;
    case "delete stranger":
      return `worker ${action.worker.id}`;
    default:
      return `testbed ${action.instance.testbed}`;
  }
}

const serverless: ReadonlySet<Action["kind"]> = new Set([
  "look",
  "look at locks",
  "sweep",
  "check",
  "begin",
  "let lapse",
  "arm",
  "record went",
  "alarm",
]);

export function plan(seen: Observation): Plan {
  const now = seen.now.uptimeMs;
  const actions: Action[] = [];
  const keys = new Set(seen.busy);
  let wakeAtMs = Number.POSITIVE_INFINITY;

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

  const open = seen.instances.filter(({ phase }) => isOpen(phase));
  for (const instance of inOrderOfEnding(open)) planInstance(instance);
  planLooks();
  planList(planStrangers());
  planTestbeds();
  if (seen.sweptMs === null || isDue(seen.sweptMs + intervals.sweepMs)) add({ kind: "sweep" });
  return { actions, wakeAtMs };

  function planInstance(instance: Instance): void {
    if (!isOpen(instance.phase)) return;
    const name = instanceName(instance);
    const worker = workerView(instance, seen.server);
    const look = seen.looks.get(name);
    const agent = look?.view ?? "unseen";
    const step = steps[instance.phase][worker][agent];
    if (look?.view === "alive" && worker !== "held" && (step === "wait" || step === "flush")) {
      const limit = passedLimit(instance, look, worker, seen, isDue);
      if (limit !== null) return add({ kind: "end", instance, reason: limit, untold: limit });
    }
    if (step === "wait" || step === "look") return;
    if (step === "flush" && instance.isFlushed) return;
    // What an earlier process prepared may have been held since: the first list tells.
    if (step === "go" && worker === "unseen" && !seen.server.recordedMs.has(name)) return;
    if (step === "end") add({ kind: "end", instance, ...whyItEnds(instance, worker, agent) });
    else add({ kind: step, instance });
  }

  function planLooks(): void {
    const due = open.filter((instance) => {
      if (instance.phase === "preparing" || instance.phase === "creating") return false;
      if (instance.phase === "stopped" || seen.busy.has(`testbed ${instance.testbed}`)) return false;
      const look = seen.looks.get(instanceName(instance));
      return look === undefined || look.isStale || isDue(look.atMs + intervals.lookMs);
    });
    if (due.length > 0) add({ kind: "look", instances: due });
  }

  function planList(isStrangerUnconfirmed: boolean): void {
    const idle = isStrangerUnconfirmed ? intervals.confirmMs : intervals.listWhileIdleMs;
    const interval = open.length > 0 ? intervals.listWhileRunningMs : idle;
    const last = seen.server.list?.askedAtMs ?? Number.NEGATIVE_INFINITY;
    if (seen.server.isListWanted || isDue(last + interval)) add({ kind: "list workers" });
  }

  /** Whether there is one that another list must confirm. */
  function planStrangers(): boolean {
    const { list, lastSettledMs } = seen.server;
    if (list === null) return false;
    const isSettling = open.some(({ phase }) => phase === "creating");
    const ours = new Set(open.map(({ worker }) => worker));
    let isAnyUnconfirmed = false;
    for (const worker of list.workers.values()) {
      if (ours.has(worker.id) || worker.hold) continue;
      const listedMs = seen.server.firstListedMs.get(worker.id) ?? list.askedAtMs;
      const isForgotten = !worker.online && list.askedAtMs - listedMs >= intervals.strangerMs;
      if (worker.private !== null && !worker.recycle && !isForgotten) continue;
      // An unassociated worker may be the answer to a request that was open when the first list was asked for.
      const isJudged = worker.private !== null || listedMs > lastSettledMs;
      const isConfirmed = isJudged && !isSettling && list.askedAtMs - listedMs >= intervals.confirmMs;
      if (isConfirmed) add({ kind: "delete stranger", worker });
      else isAnyUnconfirmed = true;
    }
    return isAnyUnconfirmed;
  }

  function planTestbeds(): void {
    const usable = seen.config.testbeds.filter((testbed) => isUsable(testbed, seen, isDue));
    for (const testbed of usable) {
      const check = seen.checks.get(testbed.name);
      if (testbed.check === null || seen.mode === "drain") continue;
      if (check === undefined || isDue(check.atMs + intervals.checkMs)) add({ kind: "check", testbed });
    }
    const free = new Set(usable.filter((testbed) => isChecked(testbed, seen, isDue)));
    const jobs = new Set(open.map(({ job }) => job));
    for (const lease of seen.leases) {
      const isWanted = seen.mode === "run" && !jobs.has(lease.job);
      const testbed = isWanted ? [...free].find((each) => canServe(each, lease, seen.config)) : undefined;
      if (testbed === undefined) {
        add({ kind: "let lapse", lease });
        continue;
      }
      jobs.add(lease.job);
      free.delete(testbed);
      if (isAlone(testbed, seen.config)) {
        for (const each of free) if (isAlone(each, seen.config)) free.delete(each);
      }
      add({ kind: "begin", lease, testbed });
    }
    const isTaking = seen.mode === "run" && !seen.server.isTokenRefused;
    const isAnyElsewhere = seen.config.testbeds.some(({ name }) => seen.elsewhere.has(name));
    if (isTaking && (free.size > 0 || isAnyElsewhere)) {
      if (seen.locksSeenMs === null || isDue(seen.locksSeenMs + intervals.locksMs)) {
        add({ kind: "look at locks" });
      }
    }
    // Before the first list and the first look at the locks, a testbed may be in use without our knowing.
    const canAsk = isTaking && seen.server.list !== null && seen.locksSeenMs !== null;
    const offered = canAsk ? [...free].flatMap((testbed) => targetIds(testbed, seen.config)) : [];
    if (offered.length === 0) {
      if (isDue(seen.server.lastPingMs + intervals.pingMs)) add({ kind: "ping" });
    } else if (isDue(seen.server.leaseDueMs)) {
      add({ kind: "lease", targets: [...new Set(offered)] });
    }
  }
}

/** Why no job may be taken for a testbed now, for people; null where one may. Its `check` is a matter of its own. */
export function whyNotFree(testbed: Testbed, seen: Observation): string | null {
  if (seen.instances.some((each) => each.testbed === testbed.name && isOpen(each.phase))) return "in use";
  if (!testbed.enabled) return "disabled";
  const health = seen.health.get(testbed.name);
  if (health !== undefined && health.retryAt.bootId === seen.now.bootId) {
    if (health.retryAt.uptimeMs > seen.now.uptimeMs) return health.reason;
  }
  const owner = seen.elsewhere.get(testbed.name);
  if (owner !== undefined) return `in use elsewhere: ${owner}`;
  if (
    isAlone(testbed, seen.config) &&
    seen.instances.some((each) => isOpen(each.phase) && each.place.way === "local")
  ) {
    return "without isolation one instance at a time runs on this host";
  }
  if (testbed.host !== null || testbed.spRunnerUrl !== null)
    return "only testbeds of this host are served yet";
  return null;
}

/** Whether it shares this host with no other instance. */
function isAlone(testbed: Testbed, config: Config): boolean {
  return config.general.isolate === "off" && testbed.host === null;
}

function isUsable(testbed: Testbed, seen: Observation, isDue: (atMs: number) => boolean): boolean {
  const health = seen.health.get(testbed.name);
  if (health?.retryAt.bootId === seen.now.bootId) isDue(health.retryAt.uptimeMs);
  return whyNotFree(testbed, seen) === null && !seen.busy.has(`testbed ${testbed.name}`);
}

function isChecked(testbed: Testbed, seen: Observation, isDue: (atMs: number) => boolean): boolean {
  if (testbed.check === null) return true;
  const check = seen.checks.get(testbed.name);
  return check !== undefined && check.isPassed && !isDue(check.atMs + 2 * intervals.checkMs);
}

function canServe(testbed: Testbed, lease: PendingLease, config: Config): boolean {
  return !lease.tried.includes(testbed.name) && targetIds(testbed, config).includes(lease.target);
}

/** ULIDs of a testbed's targets; a target without one cannot be asked for. */
export function targetIds(testbed: Testbed, config: Config): string[] {
  const served = config.targets.filter(({ name }) => testbed.targets.includes(name));
  return served.flatMap(({ id }) => (id === null ? [] : [id]));
}

export function workerView(instance: Instance, server: ServerView): WorkerView {
  const { list } = server;
  const name = instanceName(instance);
  if (instance.worker === null || list === null) return "unseen";
  const recordedMs = server.recordedMs.get(name);
  if (recordedMs !== undefined && list.askedAtMs <= recordedMs) return "unseen";
  const worker = list.workers.get(instance.worker);
  if (worker === undefined) {
    const sinceMs = server.missingSinceMs.get(name) ?? list.askedAtMs;
    return list.askedAtMs - sinceMs >= intervals.confirmMs ? "gone" : "missing";
  }
  if (worker.private !== null && worker.private !== name) return "foreign";
  if (worker.hold) return "held";
  if (worker.recycle) return "recycle";
  // Before the association our own worker has no `private` yet; after it, the list is the older of the two.
  if (worker.private === null && instance.phase !== "created") return "unseen";
  return worker.online ? "online" : "offline";
}

/** The sentence that names a time limit which an instance has passed whose agent is alive; null: it has passed none. */
function passedLimit(
  instance: Instance,
  look: Look,
  worker: WorkerView,
  seen: Observation,
  isDue: (atMs: number) => boolean,
): string | null {
  if (instance.wentAt === null) return null;
  const now = seen.now.uptimeMs;
  const wentMs = now - elapsedMs(instance.wentAt, seen.now);
  const passed = (limitMs: number | null, fromMs: number): boolean =>
    limitMs !== null && isDue(fromMs + limitMs);
  const { answeringSinceMs, list } = seen.server;
  // A server that does not answer is no fault of the agent's: the time counts anew when it is back. And only a list
  // that was asked for after the limit proves that the agent was not online before it.
  if (!instance.isOnline && worker === "offline" && answeringSinceMs !== null && list !== null) {
    if (list.askedAtMs >= Math.max(wentMs, answeringSinceMs) + instance.startTimeoutMs) {
      return `the agent did not reach the server within start_timeout (${seconds(instance.startTimeoutMs)})`;
    }
  }
  if (passed(instance.jobTimeoutMs, wentMs)) {
    return `the job ran longer than job_timeout (${seconds(instance.jobTimeoutMs)})`;
  }
  if (passed(instance.silenceTimeoutMs, Math.max(wentMs, look.logGrewMs))) {
    return `the agent wrote nothing for silence_timeout (${seconds(instance.silenceTimeoutMs)})`;
  }
  return null;
}

/** The end that nobody is to blame for. */
export const jobDone = "the job is done";

function whyItEnds(
  instance: Instance,
  worker: WorkerView,
  agent: AgentView,
): { reason: string; untold: string | null } {
  if (worker === "gone") return { reason: "the worker is gone", untold: null };
  if (worker === "recycle") return { reason: "the server recycles the worker", untold: null };
  if (agent === "done") return { reason: jobDone, untold: null };
  const reason =
    agent === "dead" ? "the agent was killed, or its host restarted" : "the agent ended before the job did";
  return { reason, untold: instance.phase === "running" ? reason : null };
}

/** What is nearest to freeing a testbed first. */
function inOrderOfEnding(instances: readonly Instance[]): Instance[] {
  const rank = { stopped: 0, destroying: 1, running: 2, starting: 3, created: 4, creating: 5, preparing: 6 };
  return instances.toSorted(
    (a, b) => rank[a.phase as keyof typeof rank] - rank[b.phase as keyof typeof rank],
  );
}

function seconds(ms: number | null): string {
  return `${(ms ?? 0) / 1000} s`;
}
