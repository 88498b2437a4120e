/** The snapshot of a running factory, from what it observes. Pure: why a testbed takes no job is the plan's own answer. */
import type { Testbed } from "../config/config.ts";
import {
  activeIntent,
  intentText,
  type Obstacle,
  type Taken,
  takenBy,
  whyNoAnswer,
  whyNoLease,
  whyNotFree,
} from "../policy/free-testbeds.ts";
import { placeJobs } from "../policy/lease-requests.ts";
import type { Lookup, Observation } from "../policy/observation.ts";
import { workerView } from "../policy/server-view.ts";
import { type Instance, instanceName, isOpen, type Trouble } from "../words/domain.ts";
import { freeAt, jobView, type Past, type Present, stateOf, wallOf } from "./job-view.ts";
import { ifStopped, sharedReasons } from "./lab-wide.ts";
import type { Snapshot, TestbedSnapshot, TestbedState } from "./snapshot.ts";
import { ifLater, testbedView } from "./testbed-view.ts";

export interface Live {
  seen: Observation;
  wallMs: number;
  factory: { version: string; startedMs: number; database: string };
  /** About config.toml. */
  remarks: string[];
  past: Past;
  /** By instance: what is known of its job beside its row. */
  jobs: Lookup<{ name: string | null; silentMs: number | null; endsAtMs: number | null }>;
  /** By testbed: what keeps jobs from it, as committed, and when its last job ended. */
  testbeds: Lookup<{ trouble: Trouble | null; endedMs: number | null }>;
}

/** What an operator or the configuration says outlasts every other reason. */
const lasting: readonly Obstacle["is"][] = ["disabled", "not served", "paused", "reserved", "quarantined"];

const nothingTaken: Taken = { testbeds: new Set(), hosts: new Set() };

type Reason = { is: TestbedState; reason: string };

export function liveSnapshot(live: Live): Snapshot {
  const { seen, wallMs, factory, remarks } = live;
  const { config, mode, leases } = seen;
  const open = seen.instances.filter(({ phase }) => isOpen(phase));
  const byTestbed = new Map(open.toReversed().map((instance) => [instance.testbed, instance]));
  const { obstacles, given } = placeJobs(open, seen, takenBy(open));
  const noLease = whyNoLease(seen) ?? whyNoAnswer(seen);
  const testbeds = config.testbeds.map((testbed): TestbedSnapshot => {
    const instance = byTestbed.get(testbed.name);
    if (instance !== undefined) return busy(instance, testbed, live);
    return idle(testbed, given.has(testbed), choose(obstacles.get(testbed.name) ?? null, noLease), live);
  });
  const names = new Set(config.testbeds.map(({ name }) => name));
  const strays = open.filter(({ testbed }) => !names.has(testbed));
  const all = [...testbeds, ...strays.map((instance) => busy(instance, null, live))];
  return {
    format: 1,
    madeMs: wallMs,
    source: "factory",
    factory: { isRunning: true, mode, ...factory },
    server: serverOf(live),
    remarks,
    shared: sharedReasons(all),
    ifStopped: ifStopped(open, leases.length),
    testbeds: all,
  };
}

function choose(own: Obstacle | null, all: Reason | null): Reason | null {
  if (all?.is === "draining" && (own === null || !lasting.includes(own.is))) return all;
  return own ?? all;
}

function idle(testbed: Testbed, isGiven: boolean, reason: Reason | null, live: Live): TestbedSnapshot {
  const state = isGiven ? "preparing" : (reason?.is ?? "free");
  const base = baseOf(testbed.name, testbed, live);
  const untilMs = untilOf(testbed.name, state, base, live);
  return {
    ...base,
    state,
    sinceMs: sinceOf(testbed.name, state, live),
    whyNot: reason?.reason ?? null,
    untilMs,
  };
}

function busy(instance: Instance, testbed: Testbed | null, live: Live): TestbedSnapshot {
  const { seen, wallMs, past } = live;
  const present: Present = { now: seen.now, wallMs };
  const known = live.jobs.get(instanceName(instance));
  const isHeld = workerView(instance, seen.server) === "held";
  const state = isHeld ? "held" : stateOf(instance);
  const { name = null, silentMs = null } = known ?? {};
  const job = jobView(instance, present, { name, silentMs, stuck: whyStuck(instance, isHeld, live) });
  const endsAtMs = known?.endsAtMs ?? null;
  const endingMs = endsAtMs === null ? null : wallOf({ ...seen.now, uptimeMs: endsAtMs }, present);
  return {
    ...baseOf(instance.testbed, testbed, live),
    state,
    sinceMs: state === "preparing" ? job.leasedMs : state === "ending" ? endingMs : job.wentMs,
    whyNot: "a job has it",
    whyNotNext: whyNotNext(testbed, live),
    job,
    freeAt:
      state === "running" || state === "preparing" ? freeAt(job, instance.testbed, { past, wallMs }) : null,
  };
}

function baseOf(name: string, testbed: Testbed | null, { seen, wallMs, past }: Live): TestbedSnapshot {
  const known = { intent: seen.intents.get(name), health: seen.health.get(name), past };
  return testbedView(name, testbed, known, { now: seen.now, wallMs });
}

function untilOf(
  name: string,
  state: TestbedState,
  { intent, health }: TestbedSnapshot,
  { seen, wallMs }: Live,
): number | null {
  if (intent !== null && intent.kind === state) return intent.untilMs;
  if (state !== "quarantined" && state !== "backing off") return null;
  const present: Present = { now: seen.now, wallMs };
  const ofBoot = (uptimeMs: number | undefined): number | null =>
    uptimeMs === undefined ? null : ifLater(wallOf({ ...seen.now, uptimeMs }, present), present);
  return (
    health?.untilMs ?? ofBoot(seen.rests.get(name)?.untilMs) ?? ofBoot(seen.retryAtMs.get(`testbed ${name}`))
  );
}

function sinceOf(
  name: string,
  state: TestbedState,
  { seen, wallMs, factory, testbeds }: Live,
): number | null {
  const { trouble = null, endedMs = null } = testbeds.get(name) ?? {};
  const intent = activeIntent(name, seen);
  if (intent?.kind === state) return intent.sinceMs;
  switch (state) {
    case "free":
      return Math.max(endedMs ?? 0, factory.startedMs);
    case "no server":
      return serverOf({ seen, wallMs }).sinceMs;
    case "in use":
    case "unreachable":
    case "unavailable":
      return trouble?.sinceMs ?? null;
    default:
      return null;
  }
}

/** What keeps the instance from its next step; null: nothing. */
function whyStuck(instance: Instance, isHeld: boolean, { seen, testbeds }: Live): string | null {
  const { testbed, phase } = instance;
  if (isHeld)
    return "its worker is held on the server: nothing is touched until an administrator releases it";
  const failure = seen.failures.get(`testbed ${testbed}`)?.message ?? null;
  if (failure !== null) return failure;
  if (seen.looks.get(instanceName(instance))?.view === "cannot tell") {
    const trouble = testbeds.get(testbed)?.trouble?.reason ?? null;
    return trouble ?? "cannot tell whether its agent runs: the testbed stays reserved";
  }
  return phase === "running" ? null : (whyNoAnswer(seen)?.reason ?? null);
}

/** Why no further job comes after the one that runs; null: one may. */
function whyNotNext(testbed: Testbed | null, { seen }: Live): string | null {
  if (testbed === null) return "it is no longer configured";
  const intent = seen.intents.get(testbed.name);
  if (intent?.isAfterJob === true) return intentText(intent);
  const own = whyNotFree(testbed, seen, nothingTaken);
  if (own !== null && lasting.includes(own.is)) return own.reason;
  const all = whyNoLease(seen);
  return all?.is === "draining" ? all.reason : null;
}

function serverOf({ seen, wallMs }: Pick<Live, "seen" | "wallMs">): Snapshot["server"] {
  const { server, failures, config, leases, now } = seen;
  const present: Present = { now, wallMs };
  const at = (uptimeMs: number | null): number | null =>
    uptimeMs === null ? null : wallOf({ ...now, uptimeMs }, present);
  const all = { url: config.general.baseurl, leases: leases.length };
  if (server.isTokenRefused) {
    const reason = "it is not a factory token of this server";
    return { ...all, is: "refuses the token", sinceMs: at(server.refusedSinceMs), reason };
  }
  if (server.answeringSinceMs !== null) {
    const reason = failures.get("lease")?.message ?? null;
    return { ...all, is: "answers", sinceMs: at(server.answeringSinceMs), reason };
  }
  const reason = failures.get("server")?.message ?? failures.get("lease")?.message ?? null;
  const isAsked = server.silentSinceMs !== null;
  return {
    ...all,
    is: isAsked ? "does not answer" : "not asked yet",
    sinceMs: at(server.silentSinceMs),
    reason,
  };
}
