/**
 * From a lease to a running agent. Each function is one step of plan.ts: it commits the intent, has the effect, commits
 * the result, and can be repeated after a crash at any point.
 */
import { createHmac } from "node:crypto";
import type { Answer } from "../buildomat.ts";
import type { Testbed } from "../config.ts";
import { directoryName, elapsedMs, type Instance, instanceName } from "../domain.ts";
import type { Worker } from "../factory-api.ts";
import type { PendingLease } from "../plan-observation.ts";
import { targetIds } from "../plan-testbeds.ts";
import { Secret } from "../secret.ts";
import { isOutage, noteWorker } from "../server-view.ts";
import { armRequest } from "./arm-request.ts";
import { advance, type Factory, isOurs, leaseAgeMs, logFor, nextSeq, now, setView, strike } from "./known.ts";
import { done, failed, type Outcome, refusedCall, waiting } from "./outcome.ts";
import { decideEnd } from "./wind-down.ts";

/** A lease older than this, since it was asked for, is renewed before it is used; the server forgets it at 60 s. */
const oldLeaseMs = 45_000;
/** After this a lease that was not renewed is gone for certain, and so is any request that was sent under it. */
const lostLeaseMs = 60_000;
/** While a worker is being looked for, the list is read this often. */
const lookForWorkerMs = 5_000;

export function begin(factory: Factory, lease: PendingLease, testbed: Testbed): Outcome {
  const { known, config, store, clock, random } = factory;
  known.leases = known.leases.filter(({ job }) => job !== lease.job);
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
      way: "local",
      directory: `${factory.workDirectory}/${directoryName({ testbed: testbed.name, seq })}`,
      agent: factory.agent.kind,
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
    untold: null,
    begunMs: clock.wallMs(),
    endedMs: null,
  });
  known.instances.set(instanceName(instance), instance);
  logFor(factory, instance).info("leased a job");
  return done;
}

export async function arm(factory: Factory, instance: Instance): Promise<Outcome> {
  const testbed = factory.config.testbeds.find(({ name }) => name === instance.testbed);
  if (testbed === undefined) return await giveUp(factory, instance, "the testbed is no longer configured");
  const armed = await factory.minder.arm(armRequest(factory, instance, testbed));
  switch (armed.kind) {
    case "armed":
      setView(factory, instance, "armed");
      return done;
    case "elsewhere":
      factory.known.elsewhere.set(instance.testbed, armed.owner);
      return await giveUp(factory, instance, `the testbed is in use elsewhere: ${armed.owner}`);
    case "failed": {
      const given = await giveUp(factory, instance, `preflight failed: ${armed.reason}`);
      // Where a worker is there already, deciding the end strikes.
      if (given === done && instance.phase === "preparing") strike(factory, instance.testbed, armed.reason);
      return given;
    }
    case "cannot tell":
      if (instance.phase === "preparing" && leaseAgeMs(factory, instance) > lostLeaseMs) {
        return await drop(factory, instance, armed.reason);
      }
      return failed(`cannot arm: ${armed.reason}`);
  }
}

/** The testbed cannot be got ready: another one may take the job, unless a worker is bound to it already. */
async function giveUp(factory: Factory, instance: Instance, reason: string): Promise<Outcome> {
  if (instance.phase !== "preparing") return await decideEnd(factory, instance, reason, reason);
  const { job, target, leasedAt, testbed } = instance;
  const dropped = await drop(factory, instance, reason);
  if (dropped === done && job !== null) {
    factory.known.leases.push({ job, target, askedAt: leasedAt, tried: [testbed] });
  }
  return dropped;
}

/** Ends an instance that has no worker: its minder lets go of the testbed, and the job stays in the queue. */
async function drop(factory: Factory, instance: Instance, reason: string): Promise<Outcome> {
  const stopped = await factory.minder.stop(instance.place.directory, { graceMs: 0 });
  if (stopped.kind !== "stopped") return failed(`cannot disarm: ${stopped.reason}`);
  advance(factory, instance, { phase: "dropped", endReason: reason, endedMs: factory.clock.wallMs() });
  factory.known.server.lastSettledMs = factory.clock.uptimeMs();
  logFor(factory, instance).warn(`the job was not begun here: ${reason}`);
  return done;
}

export async function create(factory: Factory, instance: Instance): Promise<Outcome> {
  const renewed = await renewIfOld(factory, instance);
  if (!("phase" in renewed)) return renewed;
  const creating = advance(factory, renewed, { phase: "creating", createSentAt: now(factory) });
  const asked = await askForWorker(factory, creating);
  // A lost answer is best settled at once: the lease renews for a second after the worker has got the job, then no more.
  const isOpen = factory.known.instances.get(instanceName(creating))?.phase === "creating";
  const isLost = isOpen && (asked.kind === "outage" || asked.kind === "failed");
  return isLost ? await settle(factory, creating) : asked;
}

/** The instance with a lease that can be used, or the outcome where there is none. */
async function renewIfOld(factory: Factory, instance: Instance): Promise<Instance | Outcome> {
  if (leaseAgeMs(factory, instance) <= oldLeaseMs || instance.job === null) return instance;
  const leasedAt = now(factory);
  const answer = await factory.api.renew(instance.job);
  if (!answer.ok) return refusedCall("renew the lease", answer);
  if (!answer.value) return await drop(factory, instance, "the server no longer leases the job to us");
  return advance(factory, instance, { leasedAt });
}

async function askForWorker(factory: Factory, instance: Instance): Promise<Outcome> {
  // A lease can grow old while this process stands still (suspended, stopped): look at it at the last moment.
  if (leaseAgeMs(factory, instance) > oldLeaseMs) return waiting(0);
  const answer = await factory.api.createWorker(instance.target, instance.isBound ? instance.job : null);
  return await takeWorker(factory, instance, answer);
}

async function takeWorker(factory: Factory, instance: Instance, answer: Answer<Worker>): Promise<Outcome> {
  if (answer.ok) return recordWorker(factory, instance, answer.value);
  const { refusal, message } = answer;
  // The text is the server's: `job J already assigned to worker W` (protocol/factory-api.md §5).
  const taker = /already assigned to worker ([0-9A-Z]{26})/i.exec(message)?.[1];
  if (refusal === "conflict" && taker !== undefined) {
    const read = await factory.api.worker(taker);
    if (read.ok && read.value !== null && mayBeOurs(instance, read.value) && !isTaken(factory, taker)) {
      return recordWorker(factory, instance, read.value);
    }
    if (!read.ok && read.refusal !== "forbidden") return refusedCall("read the job's worker", read);
    return await drop(factory, instance, `another worker has the job: ${message}`);
  }
  if (refusal === "conflict" || refusal === "rejected" || refusal === "forbidden") {
    return await drop(factory, instance, `the server refused a worker: ${message}`);
  }
  return refusedCall("create a worker", answer);
}

/** Another settlement may have taken the worker while we waited for an answer. */
function isTaken({ known }: Factory, worker: string): boolean {
  return [...known.instances.values()].some((each) => each.worker === worker);
}

function mayBeOurs(instance: Instance, worker: Worker): boolean {
  return worker.private === null || isOurs(instance, worker);
}

function recordWorker(factory: Factory, instance: Instance, worker: Worker): Outcome {
  const { server } = factory.known;
  advance(factory, instance, {
    phase: "created",
    worker: worker.id,
    bootstrap: new Secret(worker.bootstrap),
  });
  server.recordedMs.set(instanceName(instance), factory.clock.uptimeMs());
  server.lastSettledMs = factory.clock.uptimeMs();
  server.areWorkersBornHeld = worker.hold;
  return done;
}

/** A request for a worker was sent, or may have been: finds the worker that it made, or that it made none. */
export async function settle(factory: Factory, instance: Instance): Promise<Outcome> {
  if (instance.isBound && instance.job !== null && stillServes(factory, instance)) {
    const leasedAt = now(factory);
    const renewed = await factory.api.renew(instance.job);
    if (!renewed.ok) return refusedCall("renew the lease", renewed);
    if (renewed.value) {
      return await askForWorker(factory, advance(factory, instance, { leasedAt, createSentAt: leasedAt }));
    }
  }
  return await findWorker(factory, instance);
}

function stillServes({ config }: Factory, { testbed, target }: Instance): boolean {
  const configured = config.testbeds.find(({ name }) => name === testbed);
  return configured !== undefined && configured.enabled && targetIds(configured, config).includes(target);
}

/** The lease is gone, so nothing may be asked for again: the worker is found by the job that hangs on it. */
async function findWorker(factory: Factory, instance: Instance): Promise<Outcome> {
  const list = await factory.api.workers();
  if (!list.ok) return refusedCall("list the workers", list);
  for (const worker of list.value) {
    if (worker.private !== null || worker.recycle || worker.target !== instance.target) continue;
    if (isTaken(factory, worker.id)) continue;
    const answer = await factory.api.append(worker.id, {
      stream: "console",
      time: new Date(factory.clock.wallMs()).toISOString(),
      payload: "the factory lost the answer to its request for this worker, and found the worker again",
    });
    if (!answer.ok && isOutage(answer)) return refusedCall("ask about a worker", answer);
    // Only a worker that has a job takes the line.
    if (answer.ok && !answer.value && !isTaken(factory, worker.id))
      return recordWorker(factory, instance, worker);
  }
  // The request may still be on its way for as long as its lease could live.
  const sentMs = instance.createSentAt === null ? Infinity : elapsedMs(instance.createSentAt, now(factory));
  if (sentMs < lostLeaseMs) return waiting(Math.min(lostLeaseMs - sentMs, lookForWorkerMs));
  return await drop(factory, instance, "the request for a worker came to nothing");
}

export async function associate(factory: Factory, instance: Instance): Promise<Outcome> {
  const { api, known } = factory;
  if (instance.worker === null) throw new Error(`${instanceName(instance)} has no worker`);
  const associated = await api.associate(instance.worker, instanceName(instance));
  if (!associated.ok && associated.refusal === "no answer") return refusedCall("associate", associated);
  const read = await api.worker(instance.worker);
  if (!read.ok) return refusedCall("read the worker", read);
  noteWorker(known.server, instance.worker, read.value);
  if (read.value === null) return await decideEnd(factory, instance, "the worker was deleted", null);
  if (read.value.recycle) return await decideEnd(factory, instance, "the server recycles the worker", null);
  if (!isOurs(instance, read.value)) {
    const why = associated.ok ? `its private is ${read.value.private}` : associated.message;
    return failed(`the worker cannot be associated with this instance: ${why}`);
  }
  if (read.value.hold) {
    known.server.isListWanted = true;
    return waiting(1000);
  }
  advance(factory, instance, { phase: "starting" });
  return done;
}

export async function go(factory: Factory, instance: Instance): Promise<Outcome> {
  const { minder, config } = factory;
  if (instance.worker === null) throw new Error(`${instanceName(instance)} has no worker`);
  if (instance.bootstrap === null) return await readBootstrap(factory, instance);
  const bootstrap = instance.bootstrap.reveal();
  // Always the same for one instance, so that a repeated go cannot leave an agent with another token than it used.
  const token = createHmac("sha256", bootstrap).update(instance.cookie).digest("hex");
  const agentJson = JSON.stringify({ baseurl: config.general.baseurl, bootstrap, token }, null, 2);
  const gone = await minder.go({
    directory: instance.place.directory,
    worker: instance.worker,
    agentJson,
  });
  switch (gone.kind) {
    case "went":
      return recordWent(factory, instance);
    case "expired":
      setView(factory, instance, "absent");
      return done;
    case "cannot tell":
      return failed(`cannot start the agent: ${gone.reason}`);
  }
}

/** An instance that was taken over from its directory: its worker's bootstrap is only on the server. */
async function readBootstrap(factory: Factory, instance: Instance): Promise<Outcome> {
  const read = await factory.api.worker(instance.worker ?? "");
  if (!read.ok) return refusedCall("read the worker", read);
  if (read.value === null) return await decideEnd(factory, instance, "the worker was deleted", null);
  advance(factory, instance, { bootstrap: new Secret(read.value.bootstrap) });
  return done;
}

export function recordWent(factory: Factory, instance: Instance): Outcome {
  const next = advance(factory, instance, { phase: "running", wentAt: now(factory) });
  const look = factory.known.looks.get(instanceName(instance));
  if (look?.view === "armed") setView(factory, next, "alive");
  logFor(factory, next).info("the agent was started");
  return done;
}

export async function flush(factory: Factory, instance: Instance): Promise<Outcome> {
  if (instance.worker === null) return done;
  const answer = await factory.api.flush(instance.worker);
  if (!answer.ok) return refusedCall("flush the worker", answer);
  advance(factory, instance, { isFlushed: true });
  return done;
}
