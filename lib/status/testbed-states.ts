/**
 * What `status` says of each testbed, from the configuration and the data file alone: no I/O. It lacks
 * what only a running daemon knows: a worker held on the server, a testbed in use elsewhere.
 */
import type { Target } from "../config/config.ts";
import type { ShownTestbed } from "../config/summary.ts";
import {
  type Health,
  type Instance,
  instanceName,
  isOpen,
  type Moment,
  type Trouble,
} from "../words/domain.ts";
import { limits } from "../policy/times-and-limits.ts";

/** A testbed in one word. The daemon records the first four and `unavailable`; while no daemon runs, they are as it left them. */
export type StateFromFiles =
  /** A job is leased, and the testbed is being made ready for it. */
  | "preparing"
  /** A worker is being created or exists, and its agent has not been told to go. */
  | "starting"
  /** The agent was told to go, and nothing has decided its end. */
  | "running"
  /** The end is decided; the agent is being stopped, or its worker deleted. */
  | "cleaning up"
  /** It can take the next job. */
  | "free"
  /** The lab failed on it once or twice: no job before the time in its reason. */
  | "backing off"
  /** The lab failed on it three times in a row or more: no job before the time in its reason. */
  | "quarantined"
  /** Its host, its agent, its sp-runner service or its check failed the last look: the next is within 10 s. */
  | "unavailable"
  /** `enabled = false`. */
  | "disabled"
  /** It can run nothing as it is configured. */
  | "not served";

export interface TestbedStatus {
  testbed: string;
  /** Null: no longer configured. */
  type: string | null;
  state: StateFromFiles;
  /** Wall-clock ms; null: not recorded, or before this machine was booted. */
  sinceMs: number | null;
  /** The open instance; all null if there is none. */
  instance: string | null;
  worker: string | null;
  job: string | null;
  /** From the lease until the agent was told to go, or until now. */
  waitedMs: number | null;
  ranMs: number | null;
  reason: string | null;
  note: string;
}

export interface FromFiles {
  config: { testbeds: ShownTestbed[]; targets: Target[] };
  /** Configured, but the running factory has not read it yet. */
  unread?: ShownTestbed[];
  /** The last instance of each testbed. */
  latest: Instance[];
  health: Map<string, Health>;
  troubles: Map<string, Trouble>;
  now: Moment;
  wallMs: number;
}

/** Testbeds in the configuration's order, then those that still have an instance but are no longer configured. */
export function describeTestbeds(snapshot: FromFiles): TestbedStatus[] {
  const { config, latest } = snapshot;
  const names = new Set(config.testbeds.map(({ name }) => name));
  const strays = latest.filter(({ testbed, phase }) => !names.has(testbed) && isOpen(phase));
  return [
    ...config.testbeds.map((testbed) => {
      const last = latest.find((each) => each.testbed === testbed.name);
      if (last === undefined || !isOpen(last.phase)) return idleRow(testbed, last, snapshot);
      return busyRow(last, testbed, snapshot);
    }),
    ...(snapshot.unread ?? []).map((testbed) => unreadRow(testbed)),
    ...strays.map((instance) => busyRow(instance, null, snapshot)),
  ];
}

function busyRow(instance: Instance, testbed: ShownTestbed | null, snapshot: FromFiles): TestbedStatus {
  const { wallMs } = snapshot;
  const state = stateOf(instance);
  const wentMs = wallOf(instance.wentAt, snapshot);
  const waitsUntilMs = state === "preparing" || state === "starting" ? wallMs : wentMs;
  const reasons = [
    instance.endReason,
    snapshot.troubles.get(instance.testbed)?.reason ?? null,
    testbed === null ? "no longer configured" : testbed.enabled ? null : "disabled: no job after this one",
  ];
  return {
    testbed: instance.testbed,
    type: testbed?.spType ?? null,
    state,
    sinceMs: state === "running" ? wentMs : state === "cleaning up" ? null : instance.begunMs,
    instance: instanceName(instance),
    worker: instance.worker,
    job: instance.job,
    waitedMs: spanMs(instance.begunMs, waitsUntilMs),
    // How long an instance ran that is being cleaned up is not recorded.
    ranMs: state === "running" ? spanMs(wentMs, wallMs) : null,
    reason: reasons.filter((each) => each !== null).join("; ") || null,
    note: testbed?.note ?? "",
  };
}

function idleRow(testbed: ShownTestbed, last: Instance | undefined, snapshot: FromFiles): TestbedStatus {
  const { config } = snapshot;
  const health = snapshot.health.get(testbed.name);
  const row = emptyRow(testbed);
  if (!testbed.enabled) return { ...row, state: "disabled" };
  const unserved = whyNotServed(testbed, config);
  if (unserved !== null) return { ...row, state: "not served", reason: unserved };
  const trouble = snapshot.troubles.get(testbed.name);
  if (trouble !== undefined) {
    return { ...row, state: "unavailable", sinceMs: trouble.sinceMs, reason: trouble.reason };
  }
  const untilMs = health === undefined ? null : retryMs(health, snapshot);
  if (health !== undefined && untilMs !== null) {
    const isQuarantined = health.strikes >= limits.quarantineStrikes;
    const state = isQuarantined ? "quarantined" : "backing off";
    const count = isQuarantined ? `after ${health.strikes} failures in a row: ` : "";
    const time = new Date(untilMs).toTimeString().slice(0, 8);
    return { ...row, state, reason: `until ${time}: ${count}${health.reason}` };
  }
  const reason = health === undefined ? null : `failed last: ${health.reason}`;
  return { ...row, state: "free", sinceMs: last?.endedMs ?? null, reason };
}

function unreadRow(testbed: ShownTestbed): TestbedStatus {
  const reason = "the running factory has not read its section yet: restart the factory";
  return { ...emptyRow(testbed), state: "not served", reason };
}

function emptyRow({ name, spType, note }: ShownTestbed): Omit<TestbedStatus, "state"> {
  const nothing = { sinceMs: null, instance: null, worker: null, job: null, waitedMs: null, ranMs: null };
  return { testbed: name, type: spType, ...nothing, reason: null, note };
}

export function stateOf({ phase }: Instance): StateFromFiles {
  switch (phase) {
    case "preparing":
      return "preparing";
    case "creating":
    case "created":
    case "starting":
      return "starting";
    case "running":
      return "running";
    case "destroying":
    case "stopped":
      return "cleaning up";
    case "destroyed":
    case "dropped":
      return "free";
  }
}

function whyNotServed(testbed: ShownTestbed, { targets }: { targets: Target[] }): string | null {
  if (targets.some(({ name, id }) => id !== null && testbed.targets.includes(name))) return null;
  return `no \`id\` in the section of its target ${testbed.targets.join(", ")}`;
}

/** A moment of this boot on today's wall clock; null: a moment of another boot. */
function wallOf(moment: Moment | null, { now, wallMs }: FromFiles): number | null {
  return moment === null || moment.bootId !== now.bootId ? null : wallMs - (now.uptimeMs - moment.uptimeMs);
}

function retryMs({ retryAt }: Health, snapshot: FromFiles): number | null {
  if (retryAt.uptimeMs <= snapshot.now.uptimeMs) return null;
  return wallOf(retryAt, snapshot);
}

/** Never negative: the wall clock may have been set back. */
function spanMs(fromMs: number | null, toMs: number | null): number | null {
  return fromMs === null || toMs === null ? null : Math.max(0, toMs - fromMs);
}
