/** Actions that concern the server or the host as a whole, and no one instance. */
import type { Answer } from "../server/call.ts";
import type { Worker } from "../server/factory-side.ts";
import { type Instance, instanceName, isFormer } from "../words/domain.ts";
import { isStillAtWork } from "../hosts/minder/glance.ts";
import type { MinderView } from "../hosts/minder/replies.ts";
import { noteList } from "../policy/server-view.ts";
import { howToClear, lookAtFormer } from "./rust-instances.ts";
import { advance, type Factory, logFor, learnSeqs, now, setView } from "./memory.ts";
import { setTrouble } from "./trouble.ts";
import { done, failed, type Outcome, refusedCall, waiting } from "./outcome.ts";
import { limits } from "../policy/limits.ts";

export async function listWorkers(factory: Factory): Promise<Outcome> {
  const { api, known, clock } = factory;
  const askedAtMs = clock.uptimeMs();
  const answer = await api.workers();
  if (!answer.ok) {
    return await refusedList(factory, "list the workers", answer);
  }
  noteList(known.server, answer.value, askedAtMs, known.instances.values());
  learnSeqs(
    factory,
    answer.value.map((worker) => worker.private),
  );
  recordToken(factory, true);
  logHolds(factory, answer.value);
  const online = new Set(answer.value.filter((worker) => worker.online).map(({ id }) => id));
  for (const instance of known.instances.values()) {
    if (instance.isOnline || instance.worker === null || !online.has(instance.worker)) continue;
    advance(factory, instance, { isOnline: true });
  }
  return done;
}

/** An operator must see why a testbed stays in use, and what ends that. */
function logHolds(factory: Factory, workers: Worker[]): void {
  const { known } = factory;
  const held = new Set(workers.filter(({ hold }) => hold).map(({ id }) => id));
  for (const instance of known.instances.values()) {
    if (instance.worker === null || held.has(instance.worker) === known.held.has(instance.worker)) continue;
    if (held.has(instance.worker)) {
      logFor(factory, instance).warn(
        "held on the server: nothing of it is touched, and the testbed stays in use, until an administrator releases it",
      );
    } else {
      logFor(factory, instance).info("no longer held on the server");
    }
  }
  known.held = held;
}

/** 401 is a bad token only if ping says so too. */
async function refusedList(
  factory: Factory,
  what: string,
  answer: Extract<Answer<unknown>, { ok: false }>,
): Promise<Outcome> {
  const pinged = answer.refusal === "unauthorised" ? await ping(factory) : done;
  return pinged.kind === "done" ? refusedCall(what, answer) : pinged;
}

export async function ping(factory: Factory): Promise<Outcome> {
  factory.known.server.lastPingMs = factory.clock.uptimeMs();
  const answer = await factory.api.ping();
  if (answer.ok) {
    recordToken(factory, true);
    return done;
  }
  if (answer.refusal !== "unauthorised") return refusedCall("ping the server", answer);
  recordToken(factory, false);
  return waiting(limits.pingWhileRefusedMs);
}

function recordToken({ known, log, config }: Factory, isGood: boolean): void {
  if (known.server.isTokenRefused === !isGood) return;
  known.server.isTokenRefused = !isGood;
  if (isGood) log.info("the server takes the factory's token again");
  else {
    log.error(
      `the server refuses the factory's token: no job is taken, agents are left running; put one that it takes into factory.token or token_file of ${config.path} and start again`,
    );
  }
}

export async function lease(factory: Factory, targets: string[]): Promise<Outcome> {
  const { api, known, clock, config, random, log } = factory;
  if (known.isStoreFailing) {
    // A job that cannot be written down must not be taken. Throws where that is still so.
    factory.store.tryWriting();
    known.isStoreFailing = false;
  }
  const askedAt = now(factory);
  known.server.lastPingMs = askedAt.uptimeMs;
  const answer = await api.lease(targets);
  if (!answer.ok) {
    return await refusedList(factory, "ask for a job", answer);
  }
  if (answer.value === null) {
    const jitter = 0.9 + random.fraction() / 5;
    known.server.leaseDueMs = clock.uptimeMs() + config.general.pollIntervalMs * jitter;
  } else if (targets.includes(answer.value.target)) {
    known.leases.push({ ...answer.value, askedAt, tried: [] });
    known.server.leaseDueMs = Number.NEGATIVE_INFINITY;
  } else {
    known.server.leaseDueMs = clock.uptimeMs() + config.general.pollIntervalMs;
    log.warn("the server leased a job for a target that was not asked for", answer.value);
  }
  return done;
}

/** All are on one host: `at` names it; empty: this one. */
export async function look(factory: Factory, at: string, instances: Instance[]): Promise<Outcome> {
  const { known, clock } = factory;
  const unseen: { instance: Instance; why: string; isNew: boolean }[] = [];
  const begunMs = clock.uptimeMs();
  const views = await viewsOf(factory, instances);
  for (const instance of instances) {
    const name = instanceName(instance);
    const seen = views.get(name);
    // What was committed while we looked is newer than the look.
    if (known.instances.get(name)?.phase !== instance.phase) continue;
    const before = known.looks.get(name);
    // An action has learnt more since this look began, or a hint came that this look may have missed: look again.
    if (before !== undefined && before.atMs >= begunMs) {
      before.isStale = true;
      continue;
    }
    const after = setView(factory, instance, seen === undefined ? "cannot tell" : seen.state);
    after.output = seen?.output ?? null;
    after.isStale = (known.hintedMs.get(name) ?? -1) >= begunMs;
    if (after.view === "cannot tell") {
      const why = `cannot tell whether its agent runs: ${seen?.reason ?? "no reason is known"}; the testbed stays reserved; ${howToClear(instance)}`;
      unseen.push({ instance, why, isNew: before?.view !== "cannot tell" });
    }
    if (before === undefined) continue;
    // While the agent itself works, or nobody can tell, it is not taken for silent.
    const isSilent = after.output !== null && after.output !== "own" && after.output === before.output;
    if (isSilent) after.printedMs = before.printedMs;
  }
  if (at !== "") {
    const why = new Map(unseen.map((each) => [each.instance.testbed, each.why]));
    for (const { testbed } of instances) setTrouble(factory, testbed, why.get(testbed) ?? null);
    // A host that does not answer is asked less and less often, which the loop sees to, as it logs it.
    const [first] = unseen;
    if (first !== undefined && unseen.length === instances.length) return failed(first.why);
  }
  for (const { instance, why, isNew } of unseen) if (isNew) logFor(factory, instance).warn(why);
  return done;
}

type View = Pick<MinderView, "state" | "reason" | "output">;

async function viewsOf(factory: Factory, instances: Instance[]): Promise<Map<string, View>> {
  const views: Map<string, View> = await lookAtFormer(factory, instances.filter(isFormer));
  const own: Instance[] = [];
  for (const instance of instances.filter((each) => !isFormer(each))) {
    if (await isAsItWas(factory, instance)) {
      views.set(instanceName(instance), { state: "alive", reason: null, output: null });
    } else {
      own.push(instance);
    }
  }
  const [first] = own;
  if (first === undefined) return views;
  // All of one look are on one host.
  const minder = factory.hosts.minderOf(first.place);
  const seen = await minder.look(own.map(({ place }) => place.directory));
  for (const [index, view] of seen.entries()) {
    const instance = own[index];
    if (instance !== undefined) views.set(instanceName(instance), view);
  }
  return views;
}

/** Whether the agent of an instance of this host is seen to be at work still, without a process being started for that. */
async function isAsItWas({ files, clock }: Factory, instance: Instance): Promise<boolean> {
  const { phase, place, silenceTimeoutMs } = instance;
  // Only the minder tells whether a job prints.
  if (phase !== "running" || place.ssh !== undefined || silenceTimeoutMs !== null) return false;
  return await isStillAtWork(place.directory, { files, bootId: clock.bootId, logCapBytes: limits.logBytes });
}

export async function lookAtLocks(factory: Factory): Promise<Outcome> {
  const { hosts, known, clock, log } = factory;
  const ours = [...known.instances.values()];
  const locks = await hosts.here.minder.locks();
  if (!locks.ok) return failed(`cannot look at the testbeds' locks: ${locks.reason}`);
  // What was open before we looked, or is now, is ours; a row of the Rust factory has no cookie.
  const cookies = new Set([...ours, ...known.instances.values()].map(({ cookie }) => cookie));
  cookies.delete("");
  const elsewhere = new Map<string, string>();
  for (const { testbed, owner, cookie, instance, directory } of locks.locks) {
    if (owner !== "dead" && !cookies.has(cookie)) elsewhere.set(testbed, `${instance} in ${directory}`);
  }
  for (const { name: testbed } of factory.config.testbeds) {
    const owner = elsewhere.get(testbed);
    if (owner !== undefined && !known.elsewhere.has(testbed))
      log.warn(`the testbed is in use elsewhere: ${owner}`, { testbed });
  }
  known.elsewhere = elsewhere;
  known.locksSeenMs = clock.uptimeMs();
  return done;
}
