/**
 * From a lease to an armed minder: nothing on the server yet. Each function is one step of plan.ts: it commits the intent,
 * has the effect, commits the result, and can be repeated after a crash at any point.
 */
import type { Testbed } from "../config/config.ts";
import { directoryName, type Instance, instanceName, isSameHost } from "../words/domain.ts";
import type { End } from "../words/end-cause.ts";
import { endedBy, endRules, endText } from "../policy/end-causes.ts";
import type { ArmResult } from "../hosts/minder/replies.ts";
import type { PendingLease } from "../policy/observation.ts";
import { isHere, targetIds } from "../policy/free-testbeds.ts";
import { armRequest } from "./arm-request.ts";
import { isAtFault, lookAtHost, noteAlone, noteRefusal } from "./isolation.ts";
import { advance, type Factory, leaseAgeMs, logFor, nextSeq, rest, setView, strike } from "./memory.ts";
import { done, failed, type Outcome } from "./outcome.ts";
import { hostOf, noteElsewhere, noteUnreached, reachAnew, reachedHost } from "./far-hosts.ts";
import { decideEnd } from "./wind-down.ts";
import { limits } from "../policy/limits.ts";

export function begin(factory: Factory, lease: PendingLease, testbed: Testbed): Outcome {
  const { known, config, store, clock, random } = factory;
  const host = hostOf(factory, testbed);
  if (host === null) return failed("its host is not reached any more");
  const seq = nextSeq(factory, testbed.name);
  const instance = store.begin({
    testbed: testbed.name,
    seq,
    phase: "preparing",
    target: lease.target,
    job: lease.job,
    // A worker that is born held would run a bound job all the same.
    isBound: config.general.bindJob && !known.server.areWorkersBornHeld,
    cookie: Buffer.from(random.bytes(16)).toString("hex"),
    place: {
      way: wayOf(testbed),
      directory: `${host.workDirectory}/${directoryName({ testbed: testbed.name, seq })}`,
      agent: host.agent.kind,
      ...(host.ssh === null ? {} : { ssh: host.ssh }),
      ...(testbed.spRunnerUrl === null ? {} : { spRunnerUrl: testbed.spRunnerUrl }),
    },
    leasedAt: lease.askedAt,
    createSentAt: null,
    worker: null,
    bootstrap: null,
    wentAt: null,
    isOnline: false,
    isFlushed: false,
    startTimeoutMs: testbed.startTimeoutMs,
    jobTimeoutMs: testbed.jobTimeoutMs,
    silenceTimeoutMs: testbed.silenceTimeoutMs,
    endReason: null,
    endCause: null,
    untold: null,
    begunMs: clock.wallMs(),
    endedMs: null,
  });
  // Only now: a lease that could not be written down is still one.
  known.leases = known.leases.filter(({ job }) => job !== lease.job);
  known.tried.set(instanceName(instance), lease.tried);
  known.instances.set(instanceName(instance), instance);
  logFor(factory, instance).info("leased a job");
  return done;
}

export async function arm(factory: Factory, instance: Instance): Promise<Outcome> {
  const testbed = factory.config.testbeds.find(({ name }) => name === instance.testbed);
  if (testbed === undefined) return await giveUp(factory, instance, { cause: "not configured" });
  if (instance.phase === "preparing" && !stillServes(factory, instance)) {
    return await giveUp(factory, instance, { cause: "target not served" });
  }
  // No other call keeps the lease: what cannot be reached until now is not tried any more.
  if (instance.phase === "preparing" && leaseAgeMs(factory, instance) > limits.leaseLifeMs) {
    return await drop(factory, instance, { cause: "not ready in time" });
  }
  const armed = await armAt(factory, instance, testbed);
  switch (armed.kind) {
    case "armed":
      if (instance.place.way === "local") noteRefusal(factory, armed.refusal);
      if (instance.place.way === "ssh") noteAlone(factory, testbed.name, armed.refusal);
      setView(factory, instance, "armed");
      return done;
    case "elsewhere":
      if (armed.isHost && instance.place.way === "ssh") noteAlone(factory, testbed.name, armed.owner);
      noteElsewhere(factory, testbed, armed.owner);
      return await giveUp(factory, instance, { cause: "in use elsewhere", detail: armed.owner });
    case "taken":
      return await giveUp(factory, instance, { cause: "name taken", detail: armed.reason });
    case "failed": {
      const { reason } = armed;
      // What it was found with may be gone, for example the agent. Before the lease is passed on: to another testbed of a host
      // that cannot take it either, it would be lost time.
      if (instance.place.ssh !== undefined) await reachAnew(factory, testbed);
      else await lookAtHost(factory);
      const given = await giveUp(factory, instance, { cause: "preflight failed", detail: reason });
      // Where a worker is there already, deciding the end strikes.
      const isStrike = instance.phase === "preparing" && !isAtFault(factory, testbed.name);
      if (given === done && isStrike) strike(factory, testbed.name, reason);
      return given;
    }
    case "cannot tell":
      noteUnreached(factory, testbed, armed.reason);
      // The next job waits until this host answers.
      if (isHere(testbed)) await lookAtHost(factory);
      return failed(`cannot arm: ${armed.reason}`);
  }
}

function wayOf({ host, spRunnerUrl }: Testbed): Instance["place"]["way"] {
  if (spRunnerUrl !== null) return "sp-runner";
  return host === null ? "local" : "ssh";
}

async function armAt(factory: Factory, instance: Instance, testbed: Testbed): Promise<ArmResult> {
  const reached = await reachedHost(factory, testbed);
  if (!reached.ok) {
    return { kind: reached.host === undefined ? "cannot tell" : "failed", reason: reached.reason };
  }
  // What was recorded is where it is looked for ever after.
  const isMoved = (testbed.spRunnerUrl ?? undefined) !== instance.place.spRunnerUrl;
  if (isMoved || !isSameHost(reached.host.ssh ?? undefined, instance.place.ssh)) {
    return { kind: "failed", reason: "its host is configured otherwise by now" };
  }
  const armed = await reached.host.minder.arm(armRequest(factory, reached.host, instance, testbed));
  factory.known.armedMs.set(instanceName(instance), factory.clock.uptimeMs());
  const { ssh } = reached.host;
  return armed.kind === "failed" && ssh !== null
    ? { ...armed, reason: `${ssh.host}: ${armed.reason}` }
    : armed;
}

/** Nothing can take the leased job now. Those that were tried for it ask for no other one while it waits. */
export function letLapse(factory: Factory, lease: PendingLease): Outcome {
  const { known, log } = factory;
  known.leases = known.leases.filter(({ job }) => job !== lease.job);
  for (const testbed of lease.tried) {
    // What a look sees keeps jobs away for as long as it lasts, and no longer.
    if (isAtFault(factory, testbed) || (known.checks.get(testbed)?.fault ?? null) !== null) continue;
    // Another factory was quicker: that says nothing of the next time.
    if (known.elsewhere.has(testbed)) known.rests.delete(testbed);
    rest(factory, testbed, "the last job could not be begun here", "job waits");
  }
  log.info("no testbed can take the job now: its lease is left to lapse", { job: lease.job });
  return done;
}

/** The testbed cannot be got ready: another one may take the job, unless a worker is bound to it already. */
export async function giveUp(factory: Factory, instance: Instance, end: End): Promise<Outcome> {
  if (instance.phase !== "preparing") return await decideEnd(factory, instance, end);
  const { job, target, leasedAt, testbed } = instance;
  const before = factory.known.tried.get(instanceName(instance)) ?? [];
  const tried = endRules[end.cause].lease === "passed on" ? [...before, testbed] : before;
  const dropped = await release(factory, instance, end);
  if (dropped === done && job !== null) {
    factory.known.leases.push({ job, target, askedAt: leasedAt, tried });
  }
  return dropped;
}

/** Ends an instance that has no worker, and its testbed rests: what was in the way is likely to be in the next job's, too. */
export async function drop(factory: Factory, instance: Instance, end: End): Promise<Outcome> {
  const dropped = await release(factory, instance, end);
  // A fault that a look sees keeps jobs away for as long as it lasts, and no longer.
  if (dropped === done && !isAtFault(factory, instance.testbed)) {
    const of = endRules[end.cause].lease === "gone" ? "job is gone" : "job waits";
    rest(factory, instance.testbed, endText(end), of);
  }
  return dropped;
}

/** Its minder lets go of the testbed, and the job stays in the queue. */
async function release(factory: Factory, instance: Instance, end: End): Promise<Outcome> {
  const { place, cookie } = instance;
  const isVouched = isExpired(factory, instance);
  const words = { cookie, graceMs: 0, ...(isVouched ? { isVouched } : {}) };
  const stopped = await factory.hosts.minderOf(place).stop(place.directory, words);
  if (stopped.kind === "unkillable" || (stopped.kind === "cannot tell" && !isVouched)) {
    return failed(`cannot disarm: ${stopped.reason}`);
  }
  advance(factory, instance, { phase: "dropped", ...endedBy(end), endedMs: factory.clock.wallMs() });
  factory.known.server.lastSettledMs = factory.clock.uptimeMs();
  logFor(factory, instance).warn(`the job was not begun here: ${endText(end)}`);
  return done;
}

/**
 * Whether a minder that was armed for it has let go by itself, also where that cannot be seen: without a worker it was never told
 * to go. An earlier run may have armed it until this one began.
 */
function isExpired({ known, clock }: Factory, instance: Instance): boolean {
  const armedMs = known.armedMs.get(instanceName(instance)) ?? known.startedMs;
  return clock.uptimeMs() - Math.max(armedMs, known.startedMs) >= limits.armedMs + limits.armedMarginMs;
}

/** Whether the testbed, as it is configured today, may run the instance's job. */
export function stillServes({ config }: Factory, { testbed, target }: Instance): boolean {
  const configured = config.testbeds.find(({ name }) => name === testbed);
  return configured !== undefined && configured.enabled && targetIds(configured, config).includes(target);
}
