/**
 * From a lease to an armed minder: nothing on the server yet. Each function is one step of plan.ts: it commits the intent,
 * has the effect, commits the result, and can be repeated after a crash at any point.
 */
import type { Testbed } from "../config/config.ts";
import {
  directoryName,
  type Instance,
  type PreparingInstance,
  type WorkingInstance,
} from "../words/domain.ts";
import { isSameWay, type Way } from "../words/place.ts";
import type { Host } from "../hosts/host.ts";
import type { ArmResult } from "../hosts/minder/minder-answer.ts";
import type { PendingLease } from "../policy/observation.ts";
import { stillServes } from "../policy/free-testbeds.ts";
import { armRequest } from "./arm-request.ts";
import { isAtFault } from "./isolation.ts";
import { cannotGoOn, done, failed, type Learnt, type Outcome } from "./outcome.ts";
import { hostOf, reachedHost } from "./far-hosts.ts";
import { limits } from "../policy/times-and-limits.ts";
import { memoryOf, remember } from "./instance-memory.ts";
import { type Factory, logFor, leaseAgeMs } from "./memory.ts";
import { sectionOf } from "./reconfigure.ts";
import { rest, nextSeq, testbedMemory } from "./testbed-memory.ts";
import { justBegun } from "../words/just-begun.ts";

type Needs = Pick<Factory, "clock" | "config" | "hosts" | "known" | "log" | "openRunner" | "store">;

export function begin(
  factory: Needs & Pick<Factory, "random">,
  lease: PendingLease,
  testbed: Testbed,
): Outcome {
  const { known, config, store, clock, random } = factory;
  const host = hostOf(factory, testbed);
  if (host === null) return failed("its host is not reached any more");
  const seq = nextSeq(factory, testbed.name);
  const instance = store.begin({
    ...justBegun,
    testbed: testbed.name,
    seq,
    phase: "preparing",
    target: lease.target,
    job: lease.job,
    // A worker that is born held would run a bound job all the same.
    isBound: config.general.bindJob && !known.server.areWorkersBornHeld,
    cookie: Buffer.from(random.bytes(16)).toString("hex"),
    place: {
      directory: `${host.workDirectory}/${directoryName({ testbed: testbed.name, seq })}`,
      agent: host.agent.kind,
      ...wayOf(testbed, host),
    },
    leasedAt: lease.askedAt,
    worker: null,
    startTimeoutMs: testbed.startTimeoutMs,
    jobTimeoutMs: testbed.jobTimeoutMs,
    silenceTimeoutMs: testbed.silenceTimeoutMs,
    begunMs: clock.wallMs(),
  });
  // Only now: a lease that could not be written down is still one.
  known.leases = known.leases.filter(({ job }) => job !== lease.job);
  const record = remember(known, instance);
  record.tried = lease.tried;
  record.isLeasedHere = true;
  logFor(factory, instance).info("leased a job");
  return done;
}

export async function arm(factory: Needs, instance: PreparingInstance | WorkingInstance): Promise<Learnt> {
  const testbed = sectionOf(factory, instance);
  if (testbed === undefined) return cannotGoOn("not configured");
  if (instance.phase === "preparing") {
    const isThere = factory.config.testbeds.some(({ name }) => name === instance.testbed);
    if (!isThere) return cannotGoOn("not configured");
    if (!stillServes(instance, factory.config)) return cannotGoOn("target not served");
    // No other call keeps the lease: what cannot be reached until now is not tried any more.
    if (leaseAgeMs(factory, instance) > limits.leaseLifeMs) return cannotGoOn("not ready in time");
  }
  const reached = await reachedHost(factory, testbed);
  if (!reached.ok) {
    return {
      kind: reached.host === undefined ? "host does not answer" : "not ready",
      reason: reached.reason,
    };
  }
  const { minder, ssh } = reached.host;
  // What was recorded is where it is looked for ever after.
  if (!isSameWay(wayOf(testbed, reached.host), instance.place)) {
    return { kind: "not ready", reason: "its host is configured otherwise by now" };
  }
  const armed = await minder.arm(armRequest(factory.config, reached.host, instance, testbed));
  return { ...whatArmed(armed, ssh), mayBeArmed: true };
}

function whatArmed(armed: ArmResult, ssh: Host["ssh"]): Learnt {
  switch (armed.kind) {
    case "armed":
      return armed;
    case "elsewhere":
      return { ...armed, kind: "in use elsewhere" };
    case "taken":
      return cannotGoOn("name taken", armed.reason);
    case "failed":
      return { kind: "not ready", reason: ssh === null ? armed.reason : `${ssh.host}: ${armed.reason}` };
    case "cannot tell":
      return { kind: "host does not answer", reason: armed.reason };
  }
}

function wayOf({ spRunnerUrl }: Testbed, { ssh }: Host): Way {
  if (spRunnerUrl !== null) return { way: "sp-runner", spRunnerUrl };
  return ssh === null ? { way: "local" } : { way: "ssh", ssh };
}

/** Nothing can take the leased job now. Those that were tried for it ask for no other one while it waits. */
export function letLapse(factory: Needs, lease: PendingLease): Outcome {
  const { known, log } = factory;
  known.leases = known.leases.filter(({ job }) => job !== lease.job);
  for (const testbed of lease.tried) {
    const record = testbedMemory(known, testbed);
    // What a look sees keeps jobs away for as long as it lasts, and no longer.
    if (isAtFault(factory, testbed) || (record.check?.fault ?? null) !== null) continue;
    // What an operator gives back takes the next job at once.
    if (record.intent !== null) continue;
    // Another factory was quicker: that says nothing of the next time.
    if (record.elsewhere !== null) record.rest = null;
    rest(factory, testbed, "the last job could not be begun here", "job waits");
  }
  log.info("no testbed can take the job now: its lease is left to lapse", { job: lease.job });
  return done;
}

/** The minder of an instance that has no worker lets go of the testbed. */
export async function disarm(
  factory: Pick<Factory, "clock" | "hosts" | "known">,
  instance: PreparingInstance,
): Promise<Outcome> {
  const { place, cookie } = instance;
  const isVouched = isExpired(factory, instance);
  const words = { cookie, graceMs: 0, ...(isVouched ? { isVouched } : {}) };
  const stopped = await factory.hosts.minderOf(place).stop(place.directory, words);
  if (stopped.kind === "unkillable" || (stopped.kind === "cannot tell" && !isVouched)) {
    return failed(`cannot disarm: ${stopped.reason}`);
  }
  return done;
}

/**
 * Whether a minder that was armed for it has let go by itself, also where that cannot be seen: without a worker it was never told
 * to go. An earlier run may have armed it until this one began.
 */
function isExpired({ known, clock }: Pick<Factory, "clock" | "known">, instance: Instance): boolean {
  const armedMs = memoryOf(known, instance).armedMs ?? known.startedMs;
  return clock.uptimeMs() - Math.max(armedMs, known.startedMs) >= limits.armedMs + limits.armedMarginMs;
}
