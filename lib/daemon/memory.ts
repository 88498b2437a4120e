/** What the daemon knows and works with. Only the store's rows outlive the process; all else is learnt again. */
import type { Config } from "../config/config.ts";
import { elapsedMs, type Instance, instanceName, type Moment } from "../words/domain.ts";
import type { Clock } from "../doors/clock.ts";
import type { Files } from "../doors/files.ts";
import type { Processes } from "../doors/processes.ts";
import type { Random } from "../doors/random.ts";
import type { FactoryApi, Worker } from "../server/factory-side.ts";
import type { Hosts } from "../hosts/host.ts";
import { intentsInThisBoot } from "../words/intent.ts";
import { fieldsOf, type Log, logAbout } from "../words/logger.ts";
import { type LabHealth, noFailures } from "../policy/health.ts";
import type { HostFaults, Lookup, Observation, PendingLease } from "../policy/observation.ts";
import { type KnownServer, newServerView } from "../policy/server-view.ts";
import type { SpRunnerApi } from "../runner/sp-runner.ts";
import { countedJobs, PastJobs } from "../status/past-jobs.ts";
import { Tally } from "../status/tally.ts";
import type { Store } from "../store/store.ts";
import { type InstanceMemory, openInstances, remember } from "./instance-memory.ts";
import { type TestbedMemory, testbedMemory } from "./testbed-memory.ts";

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

export class Memory {
  /** By name. */
  instances = new Map<string, InstanceMemory>();
  /** By name; `.host` is the lock of this host as a whole. */
  testbeds = new Map<string, TestbedMemory>();
  server: KnownServer = newServerView();
  leases: PendingLease[] = [];
  /** By job of a self-test: the testbed that it is to prove. */
  meant = new Map<string, string>();
  /** What failed lately, and what several testbeds suffer from. */
  labHealth: LabHealth = noFailures;
  /** About config.toml, for people: a mistake in it, or what of it is not in use yet. */
  remarks: string[] = [];
  pastJobs = new PastJobs();
  tally = new Tally();
  /** A commit failed, and none was tried since. */
  isStoreFailing = false;
  /** What the last look at this host found. */
  host: HostFaults | null = null;
  /** The same by an earlier configuration. */
  formerHost: HostFaults | null = null;
  /** A look at this host that is under way. */
  hostLook: Promise<void> | null = null;
  /** Why this host last refused to isolate an instance. */
  refusal: string | null = null;
  locksSeenMs: number | null = null;
  sweptMs: number | null = null;
  /** By work directory of a host: when it was last swept. */
  hostsSweptMs = new Map<string, number>();
  /** Uptime at which the loop last turned. */
  turnedMs = Number.NEGATIVE_INFINITY;
  /** Uptime at which this run began; infinite before it. */
  startedMs = Number.POSITIVE_INFINITY;
  retryAtMs = new Map<string, number>();
  /** By action: how often it failed in a row, and what was logged of it; null: nothing. */
  failures = new Map<string, { count: number; message: string | null }>();
  busy = new Set<string>();
  /** Configurations and sections of testbeds that are no longer in use. The results of actions that began under them are ignored. */
  outdated = new WeakSet<object>();
  /** Uptime at which an intent is to be looked at: it ends, or its end is announced. Anew after each change. */
  intentsDueMs = Number.NEGATIVE_INFINITY;
  /** Testbeds whose intent waits for a job to run or to end. */
  intentsWaiting = new Set<string>();
}

export type Factory = Parts & { known: Memory };

export function openMemory(
  store: Pick<Store, "open" | "health" | "troubles" | "intents" | "lastJobs">,
  clock: Pick<Clock, "bootId" | "uptimeMs" | "wallMs">,
): Memory {
  const known = new Memory();
  for (const row of store.open()) remember(known, row);
  for (const [name, health] of store.health()) testbedMemory(known, name).health = health;
  for (const [name, trouble] of store.troubles()) testbedMemory(known, name).trouble = trouble;
  for (const entry of store.lastJobs(countedJobs)) known.pastJobs.take(entry);
  const moment = { now: now({ clock }), wallMs: clock.wallMs() };
  for (const [name, intent] of intentsInThisBoot(store.intents(), moment))
    testbedMemory(known, name).intent = intent;
  return known;
}

export function now({ clock }: { clock: Pick<Clock, "bootId" | "uptimeMs"> }): Moment {
  return { bootId: clock.bootId, uptimeMs: clock.uptimeMs() };
}

/** One field of each record, by the record's name. */
export function lookup<Memo, Value>(
  records: ReadonlyMap<string, Memo>,
  pick: (record: Memo) => Value | null,
): Lookup<Value> {
  const get = (name: string): Value | undefined => {
    const record = records.get(name);
    return record === undefined ? undefined : (pick(record) ?? undefined);
  };
  return { get, has: (name) => get(name) !== undefined };
}

export function observe(
  { known, config, clock }: Pick<Factory, "known" | "config" | "clock">,
  mode: Observation["mode"],
): Observation {
  const { instances, testbeds, ...servers } = known;
  return {
    ...servers,
    config,
    mode,
    now: now({ clock }),
    instances: openInstances(known),
    looks: lookup(instances, ({ look }) => look),
    resumed: lookup(instances, ({ resumed }) => resumed),
    health: lookup(testbeds, ({ health }) => health),
    intents: lookup(testbeds, ({ intent }) => intent),
    rests: lookup(testbeds, (testbed) => testbed.rest),
    untaken: untakenIn(known),
    elsewhere: lookup(testbeds, ({ elsewhere }) => elsewhere),
    checks: lookup(testbeds, ({ check }) => check),
    reached: lookup(testbeds, ({ reached }) => reached),
    alone: lookup(testbeds, ({ isAlone }) => isAlone || null),
  };
}

/** Testbeds on which instances run that can only be taken over later. */
export function untakenIn({ testbeds }: Pick<Memory, "testbeds">): Set<string> {
  return new Set([...testbeds].filter(([, { untaken }]) => untaken !== null).map(([name]) => name));
}

export function isOurs(instance: Instance, worker: Worker): boolean {
  return worker.private === instanceName(instance);
}

export function logFor({ log }: { log: Log }, instance: Instance): Log {
  return logAbout(log, fieldsOf(instance));
}

/** A line for the event stream of a job, as of now. */
export function eventLine(
  { clock }: { clock: Clock },
  stream: "console" | "worker",
  payload: string,
): Parameters<FactoryApi["append"]>[1] {
  return { stream, time: new Date(clock.wallMs()).toISOString(), payload };
}

/** Ms since a lease was asked for or renewed; infinite for one of another boot, which is not used without renewing it. */
export function leaseAgeMs(factory: { clock: Clock }, lease: { leasedAt: Moment }): number {
  return elapsedMs(lease.leasedAt, now(factory)) ?? Number.POSITIVE_INFINITY;
}

/** What failed on a testbed is tried again at once. */
export function dropRetries({ retryAtMs }: Pick<Memory, "retryAtMs">, testbed: string): void {
  for (const what of ["testbed", "reach", "check"]) retryAtMs.delete(`${what} ${testbed}`);
}
