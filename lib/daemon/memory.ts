/** What the daemon knows and works with, given to every action. Only the store's rows outlive the process. */
import type { Config } from "../config/config.ts";
import {
  type Changes,
  elapsedMs,
  type Health,
  type Instance,
  instanceName,
  isOpen,
  type Moment,
  parseInstanceName,
  type Trouble,
} from "../words/domain.ts";
import type { Clock } from "../doors/clock.ts";
import type { Files } from "../doors/files.ts";
import type { Processes } from "../doors/processes.ts";
import type { Random } from "../doors/random.ts";
import type { FactoryApi, Worker } from "../server/factory-side.ts";
import type { Hosts, Reached } from "../hosts/host.ts";
import type { Minder } from "../hosts/minder/minder.ts";
import { fieldsOf, type Log, logAbout } from "../words/logger.ts";
import type { Check, HostFaults, Look, Observation, PendingLease } from "../policy/observation.ts";
import { type KnownServer, newServerView } from "../policy/server-view.ts";
import type { IdleSpan } from "../runner/idle-board.ts";
import type { SpRunnerApi } from "../runner/sp-runner.ts";
import type { Store } from "../store/store.ts";
import { limits } from "../policy/limits.ts";

export interface Parts {
  config: Config;
  store: Store;
  api: FactoryApi;
  hosts: Hosts;
  openRunner(url: string): SpRunnerApi;
  clock: Clock;
  random: Random;
  files: Files;
  processes: Processes;
  log: Log;
}

/** A look, and what the next one is compared with. */
export interface KnownLook extends Look {
  /** As the minder gave it. */
  output: string | null;
}

export interface Known {
  instances: Map<string, Instance>;
  leases: PendingLease[];
  health: Map<string, Health>;
  /** By testbed: how many leases in a row came to nothing there, and when the next may be asked for. */
  rests: Map<string, { count: number; untilMs: number; reason: string }>;
  /** A commit failed, and none was tried since. */
  isStoreFailing: boolean;
  /** By testbed: instances that run there, found at the start, while the database has an older one open. */
  untaken: Map<string, { minder: Minder; instances: Instance[] }>;
  elsewhere: Map<string, string>;
  locksSeenMs: number | null;
  host: HostFaults | null;
  /** A look at this host that is under way. */
  hostLook: Promise<void> | null;
  checks: Map<string, Check>;
  refusal: string | null;
  alone: Set<string>;
  /** By testbed on another host: how that was last reached. */
  reached: Map<string, Reached & { atMs: number }>;
  /** By instance name: its board, and its job's absence from the service, where the agent did not see the job's end. */
  boards: Map<string, { idle: IdleSpan | null; absent: IdleSpan | null; isAtWork: boolean }>;
  /** By testbed: when its service was last told to recover the board. */
  recoveringSinceMs: Map<string, number>;
  /** By testbed: what keeps jobs from it, as committed. */
  troubles: Map<string, Trouble>;
  /** Testbeds on other hosts whose directories there were looked through for instances that no row tells of. */
  recalled: Set<string>;
  looks: Map<string, KnownLook>;
  /** By instance name: when something was last said to have changed, also before its first look ended. */
  hintedMs: Map<string, number>;
  resumed: Map<string, number>;
  sweptMs: number | null;
  /** By work directory of a host: when it was last swept. */
  hostsSweptMs: Map<string, number>;
  /** Uptime at which this run began; infinite before it. */
  startedMs: number;
  /** By instance name: when a minder may last have been armed for it. */
  armedMs: Map<string, number>;
  /** Names of instances for which a worker is being asked for right now. */
  asking: Set<string>;
  /** By instance name: testbeds that could not be got ready for its job before. */
  tried: Map<string, readonly string[]>;
  /** Ids of workers that the last list showed as held. */
  held: Set<string>;
  /** Names of instances whose agent was started in an earlier boot of this host: how long it ran is not known. */
  fromEarlierBoot: Set<string>;
  /** By instance name: when this process decided its end. */
  endsAtMs: Map<string, number>;
  /** By name of an instance that an operator cleared: how many looks could not tell whether anything of it is left. */
  failedLooks: Map<string, number>;
  /** Names of instances whose job's owner was told of an alarm. */
  told: Set<string>;
  server: KnownServer;
  retryAtMs: Map<string, number>;
  /** By action: how often it failed in a row, and what was told of it; null: nothing. */
  failures: Map<string, { count: number; message: string | null }>;
  busy: Set<string>;
  /** Largest seq seen outside the database: work directories and the server's workers. */
  seqs: Map<string, number>;
}

export type Factory = Parts & { known: Known };

export function openKnown(store: Store): Known {
  return {
    instances: new Map(store.open().map((instance) => [instanceName(instance), instance])),
    leases: [],
    health: store.health(),
    rests: new Map(),
    isStoreFailing: false,
    untaken: new Map(),
    elsewhere: new Map(),
    locksSeenMs: null,
    host: null,
    hostLook: null,
    checks: new Map(),
    refusal: null,
    alone: new Set(),
    reached: new Map(),
    recalled: new Set(),
    boards: new Map(),
    recoveringSinceMs: new Map(),
    troubles: store.troubles(),
    looks: new Map(),
    hintedMs: new Map(),
    resumed: new Map(),
    sweptMs: null,
    hostsSweptMs: new Map(),
    startedMs: Number.POSITIVE_INFINITY,
    armedMs: new Map(),
    asking: new Set(),
    tried: new Map(),
    told: new Set(),
    fromEarlierBoot: new Set(),
    endsAtMs: new Map(),
    failedLooks: new Map(),
    held: new Set(),
    server: newServerView(),
    retryAtMs: new Map(),
    failures: new Map(),
    busy: new Set(),
    seqs: new Map(),
  };
}

export function now({ clock }: { clock: Clock }): Moment {
  return { bootId: clock.bootId, uptimeMs: clock.uptimeMs() };
}

export function observe(factory: Factory, mode: Observation["mode"]): Observation {
  const { known, config } = factory;
  return { ...known, config, mode, now: now(factory), instances: [...known.instances.values()] };
}

/**
 * Commits what changed of an instance, then knows it. The record that it starts from is the latest one: a list may have
 * noted that the worker is online since the action began.
 */
export function advance<I extends Instance, C extends Changes>(
  { store, known }: Factory,
  instance: I,
  changes: C,
): C extends { phase: Exclude<Instance["phase"], I["phase"]> } ? Instance : I {
  const name = instanceName(instance);
  const next = store.advance(known.instances.get(name) ?? instance, changes);
  if (changes.isOnline === true) known.rests.delete(next.testbed);
  if (isOpen(next.phase)) {
    known.instances.set(name, next);
  } else {
    known.instances.delete(name);
    known.looks.delete(name);
    known.hintedMs.delete(name);
    known.resumed.delete(name);
    known.server.recordedMs.delete(name);
    known.tried.delete(name);
    known.boards.delete(name);
    known.armedMs.delete(name);
    known.told.delete(name);
    known.fromEarlierBoot.delete(name);
    known.endsAtMs.delete(name);
    known.failedLooks.delete(name);
    // A testbed came free: the next job is asked for at once. What was dropped may be refused again as fast as asked for.
    if (next.phase === "destroyed") known.server.leaseDueMs = Number.NEGATIVE_INFINITY;
  }
  return next as I;
}

export function setView({ known, clock }: Factory, instance: Instance, view: Look["view"]): KnownLook {
  const atMs = clock.uptimeMs();
  const look = { view, atMs, isStale: false, printedMs: atMs, output: null };
  known.looks.set(instanceName(instance), look);
  return look;
}

/** Something of the instance may have changed: it is looked at again at once. */
export function hintAt({ known, clock }: Factory, instance: Instance): void {
  const name = instanceName(instance);
  known.hintedMs.set(name, clock.uptimeMs());
  const look = known.looks.get(name);
  if (look !== undefined) look.isStale = true;
}

/** The next seq of a testbed: one more than any that was ever seen. */
export function nextSeq({ store, known }: Factory, testbed: string): number {
  return 1 + Math.max(store.largestSeq(testbed), known.seqs.get(testbed) ?? 0);
}

export function learnSeqs({ known }: Factory, names: Iterable<string | null>): void {
  for (const name of names) {
    const parsed = name === null ? null : parseInstanceName(name);
    if (parsed === null) continue;
    known.seqs.set(parsed.testbed, Math.max(parsed.seq, known.seqs.get(parsed.testbed) ?? 0));
  }
}

export function isOurs(instance: Instance, worker: Worker): boolean {
  return worker.private === instanceName(instance);
}

/** The lab failed on this testbed: no lease for it for a while, longer each time. */
export function strike(factory: Factory, testbed: string, reason: string): void {
  const strikes = (factory.known.health.get(testbed)?.strikes ?? 0) + 1;
  const waitMs = Math.min(limits.strikeMs * 2 ** (strikes - 1), limits.longestRestMs);
  const { bootId, uptimeMs } = now(factory);
  const health = { strikes, retryAt: { bootId, uptimeMs: uptimeMs + waitMs }, reason };
  factory.store.setHealth(testbed, health);
  factory.known.health.set(testbed, health);
  const why =
    strikes < limits.quarantineStrikes ? reason : `quarantined after ${strikes} failures in a row: ${reason}`;
  factory.log.warn(`no job for this testbed for ${waitMs / 1000} s: ${why}`, { testbed });
}

/** A lease came to nothing on this testbed: the next is asked for after a while, longer each time until an agent is online. */
export function rest(
  { known, clock, log }: Factory,
  testbed: string,
  reason: string,
  of: "job waits" | "job is gone",
): void {
  const count = (known.rests.get(testbed)?.count ?? 0) + 1;
  // A lease that is not used keeps its job from everybody until it is forgotten: no other one for this testbed before.
  const firstMs = of === "job waits" ? limits.leaseLifeMs : limits.restMs;
  const restMs = Math.min(firstMs * 2 ** (count - 1), limits.longestRestMs);
  known.rests.set(testbed, { count, untilMs: clock.uptimeMs() + restMs, reason });
  if (restMs >= limits.strikeMs) log.warn(`asks for no job for ${restMs / 1000} s: ${reason}`, { testbed });
}

export function clearStrikes({ store, known }: Factory, testbed: string): void {
  if (known.health.delete(testbed)) store.setHealth(testbed, null);
}

export function logFor({ log }: Factory, instance: Instance): Log {
  return logAbout(log, fieldsOf(instance));
}

/** A line for the event stream of a job, as of now. */
export function eventLine(
  { clock }: Factory,
  stream: "console" | "worker",
  payload: string,
): Parameters<FactoryApi["append"]>[1] {
  return { stream, time: new Date(clock.wallMs()).toISOString(), payload };
}

/** Whether a worker belongs to an open instance: what was asked before may have been settled while we waited. */
export function isTaken({ known }: Factory, worker: string): boolean {
  return [...known.instances.values()].some((each) => each.worker === worker);
}

/** Ms since a lease was asked for or renewed; infinite for one of another boot, which is not used without renewing it. */
export function leaseAgeMs(factory: Factory, lease: { leasedAt: Moment }): number {
  return elapsedMs(lease.leasedAt, now(factory)) ?? Number.POSITIVE_INFINITY;
}
