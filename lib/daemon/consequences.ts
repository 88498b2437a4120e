/**
 * What follows from what a step of an instance learnt, beside plan.ts's tables: here alone it goes into memory and store, and
 * here it is seen which step another one leads to.
 */
import { type Changes, type Instance, instanceName, isRust } from "../words/domain.ts";
import type { End } from "../words/end-cause.ts";
import { Secret } from "../words/secret.ts";
import { endedBy, endRules, endText, toldOwner } from "../policy/end-causes.ts";
import { isHere } from "../policy/free-testbeds.ts";
import { updateWorker } from "../policy/server-view.ts";
import { describeEnd } from "./end-log-line.ts";
import { markElsewhere, markUnreached, reachAnew } from "./far-hosts.ts";
import { takeCheck } from "./server-findings.ts";
import { blame, judge, praise } from "./blame.ts";
import { isAtFault, lookAtHost, recordAlone, recordRefusal } from "./isolation.ts";
import { finish } from "./job-entry.ts";
import { done, failed, type Learnt, type Outcome, waiting } from "./outcome.ts";
import { disarm } from "./prepare.ts";
import { commitTroubles } from "./trouble.ts";
import { decideEnd, stop } from "./wind-down.ts";
import { limits } from "../policy/times-and-limits.ts";
import { advance, setView, isTaken, memoryOf } from "./instance-memory.ts";
import { type Factory, now, logFor } from "./memory.ts";
import { sectionOf } from "./reconfigure.ts";
import { rest } from "./testbed-memory.ts";

type Needs = Pick<
  Factory,
  "api" | "clock" | "config" | "files" | "hosts" | "known" | "log" | "openRunner" | "store"
>;

/** What is committed and has no further consequence. */
const commits = {
  associated: { phase: "starting" },
  flushed: { isFlushed: true },
  stopped: { phase: "stopped", untold: null },
} satisfies Partial<Record<Learnt["kind"], Changes>>;

export async function follow(factory: Needs, before: Instance, learnt: Learnt): Promise<Outcome> {
  const { known } = factory;
  const name = instanceName(before);
  // It may have been renewed or seen online while the step was under way.
  const record = memoryOf(known, before);
  const instance = record.row;
  const { way } = instance.place;
  const testbed = sectionOf(factory, instance);
  if (learnt.seen !== undefined) updateWorker(known.server, learnt.seen.id, learnt.seen.worker);
  if (learnt.mayBeArmed === true) record.armedMs = factory.clock.uptimeMs();
  switch (learnt.kind) {
    case "done":
    case "waiting":
    case "failed":
    case "outage": {
      const { seen: _, mayBeArmed: __, ...outcome } = learnt;
      return outcome;
    }
    case "cannot go on":
      return await end(factory, instance, learnt.end);
    case "armed":
      if (way === "local") recordRefusal(factory, learnt.refusal);
      if (way === "ssh") recordAlone(factory, instance, learnt.refusal);
      setView(factory, instance, "armed");
      return done;
    case "in use elsewhere":
      if (learnt.isHost && way === "ssh") recordAlone(factory, instance, learnt.owner);
      if (testbed !== undefined) markElsewhere(factory, testbed, learnt.owner);
      return await end(factory, instance, { cause: "in use elsewhere", detail: learnt.owner });
    case "not ready":
      return await endUnready(factory, instance, learnt.reason);
    case "host does not answer":
      if (testbed !== undefined) markUnreached(factory, testbed, learnt.reason);
      // The next job waits until this host answers.
      if (testbed !== undefined && isHere(testbed)) await lookAtHost(factory);
      return failed(`cannot arm: ${learnt.reason}`);
    case "checked again": {
      const { checked, isLeased } = learnt;
      if (checked !== null) takeCheck(factory, { ...checked, instance: name });
      if (!isLeased) return await end(factory, instance, { cause: "lease lost" });
      if (checked === null || checked.isPassed) return done;
      return await end(factory, instance, { cause: "check failed", detail: checked.said });
    }
    case "lease renewed":
      advance(factory, instance, { leasedAt: learnt.leasedAt });
      return done;
    case "worker made": {
      const { id, bootstrap, hold } = learnt.worker;
      record.isAskingForWorker = false;
      if (isTaken(factory, id)) return await end(factory, instance, { cause: "worker of another" });
      advance(factory, instance, { phase: "created", worker: id, bootstrap: new Secret(bootstrap) });
      known.server.recordedMs.set(name, factory.clock.uptimeMs());
      known.server.lastSettledMs = factory.clock.uptimeMs();
      known.server.areWorkersBornHeld = hold;
      return done;
    }
    case "worker held":
      known.server.isListWanted = true;
      return waiting(limits.heldMs);
    case "worker of another":
      record.isAlarmTold = true;
      return failed(`the worker cannot be associated with this instance: ${learnt.why}`);
    case "bootstrap read":
      advance(factory, instance, { bootstrap: learnt.bootstrap });
      return done;
    case "went": {
      const next = advance(factory, instance, { phase: "running", wentAt: now(factory) });
      if (record.look?.view === "armed") setView(factory, next, "alive");
      known.tally.starts += 1;
      logFor(factory, next).info("the agent was started");
      return done;
    }
    case "go expired":
      setView(factory, instance, "absent");
      return done;
    case "agent started again":
      record.resumed += 1;
      setView(factory, instance, "alive");
      logFor(factory, instance).warn(
        "its agent was gone before the job's end: started again, it follows the same test",
      );
      return done;
    case "agent not startable again":
      // The next pass ends it.
      record.resumed = Number.POSITIVE_INFINITY;
      return done;
    case "end refuted":
      if (learnt.isOnline) advance(factory, instance, { isOnline: true });
      known.server.missingSinceMs.delete(name);
      known.server.isListWanted = true;
      return waiting(limits.heldMs);
    case "end stands":
      return await beginEnd(factory, instance, learnt);
    case "owner told":
      // One action with what follows: it has not ended well before the agent is stopped.
      return await follow(
        factory,
        instance,
        await stop(factory, advance(factory, instance, { untold: null })),
      );
    case "associated":
    case "flushed":
    case "stopped":
      advance(factory, instance, commits[learnt.kind]);
      return done;
    case "deleted":
      return free(factory, instance, learnt);
  }
}

/** With a worker the job is lost; without one it is untouched, and what becomes of its lease is in the table of causes. */
async function end(factory: Needs, instance: Instance, why: End): Promise<Outcome> {
  if (instance.phase !== "preparing" && instance.phase !== "creating") {
    return await follow(factory, instance, await decideEnd(factory, instance, why));
  }
  const disarmed = await disarm(factory, instance);
  if (disarmed.kind !== "done") return disarmed;
  const { known, clock } = factory;
  const { testbed, job, target, leasedAt } = instance;
  const { tried } = memoryOf(known, instance);
  const { ended: dropped } = finish(factory, instance, { phase: "dropped", ...endedBy(why) }, null);
  known.server.lastSettledMs = clock.uptimeMs();
  logFor(factory, dropped).warn(`the job was not begun here: ${endText(why)}`);
  const { lease } = endRules[why.cause];
  if (lease === "passed on" || lease === "passed on, also here") {
    const triedNow = lease === "passed on" ? [...tried, testbed] : tried;
    if (job !== null) known.leases.push({ job, target, askedAt: leasedAt, tried: triedNow });
  } else if (!isAtFault(factory, testbed)) {
    // What was in the way is likely to be in the next job's, too. A fault that a look sees keeps jobs away for as long as it lasts.
    rest(factory, testbed, endText(why), lease === "gone" ? "job is gone" : "job waits");
  }
  return done;
}

async function endUnready(factory: Needs, instance: Instance, reason: string): Promise<Outcome> {
  const testbed = sectionOf(factory, instance);
  // What it was found with may be gone, for example the agent. Before the lease is passed on: to another testbed of a host
  // that cannot take it either, it would be lost time.
  if (instance.place.way !== "ssh" || testbed === undefined) await lookAtHost(factory);
  else await reachAnew(factory, testbed);
  const why: End = { cause: "preflight failed", detail: reason };
  // Where a worker is there already, deciding the end blames.
  if (instance.phase !== "preparing") return await end(factory, instance, why);
  const { section } = memoryOf(factory.known, instance);
  const ended = await end(factory, instance, why);
  // The record has gone with the instance.
  if (ended.kind === "done" && section === null) judge(factory, instance, why);
  return ended;
}

async function beginEnd(
  factory: Needs,
  instance: Instance,
  { end: why, isWorkerGone, isJobDone }: Extract<Learnt, { kind: "end stands" }>,
): Promise<Outcome> {
  const { known, clock } = factory;
  const { testbed } = instance;
  const { isLabsFault } = endRules[why.cause];
  const next = advance(factory, instance, {
    phase: "destroying",
    ...endedBy(why),
    untold: isWorkerGone ? null : toldOwner(why),
  });
  // An agent that lives and has reached the server is no fault of the testbed's: its job took too long.
  const isAtWork = instance.isOnline && memoryOf(known, instance).look?.view === "alive";
  // It vanished before its agent was online, or was recycled before there was an agent.
  const isFruitless = !isRust(instance) && !instance.isOnline && (isWorkerGone || instance.wentAt === null);
  // What another program began says nothing of the testbed.
  if (isLabsFault && !isAtWork && !isRust(instance)) await blame(factory, instance, why);
  else if (isJobDone) praise(factory, instance);
  else if (!isLabsFault && isFruitless) {
    // Else a server that forgets its workers, or recycles them at once, would drain the queue.
    rest(factory, testbed, endText(why), isWorkerGone ? "job waits" : "job is gone");
  }
  memoryOf(known, next).endsAtMs = clock.uptimeMs();
  logFor(factory, next).debug(`ending: ${endText(why)}`);
  return done;
}

function free(
  factory: Needs,
  instance: Instance,
  { record, left }: Extract<Learnt, { kind: "deleted" }>,
): Outcome {
  if (left !== null) logFor(factory, instance).warn(`cannot tidy up: ${left}`);
  const { ended, entry } = finish(factory, instance, { phase: "destroyed" }, record);
  // Its host answered just now.
  if (instance.place.way === "ssh" && !instance.isCleared)
    commitTroubles(factory, new Map([[instance.testbed, null]]));
  const log = logFor(factory, ended);
  if (entry.result === "lost") log.warn(describeEnd(entry));
  else log.info(describeEnd(entry));
  return done;
}
