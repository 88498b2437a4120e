/**
 * From a reason to end an instance to a free testbed. Each function is one step of plan.ts and can be repeated after a
 * crash at any point. A held worker is never touched: it is read again before the end is decided and before it is deleted.
 */
import { type Instance, instanceName, isFormer } from "../words/domain.ts";
import type { End } from "../words/end-cause.ts";
import type { Worker } from "../server/factory-side.ts";
import type { EndRecord } from "../hosts/minder/replies.ts";
import { endedBy, endRules, endText, toldOwner } from "../policy/end-causes.ts";
import { noteWorker } from "../policy/server-view.ts";
import { proveBoardIdle } from "./board.ts";
import { describeEnd } from "./end-line.ts";
import { howToClear, stopFormer } from "./rust-instances.ts";
import { advance, clearStrikes, eventLine, type Factory, isOurs, isTaken, logFor, rest } from "./memory.ts";
import { blame } from "./isolation.ts";
import { done, failed, type Outcome, refusedCall, waiting } from "./outcome.ts";
import { noteTrouble } from "./trouble.ts";
import { limits } from "../policy/limits.ts";

export async function decideEnd(factory: Factory, instance: Instance, end: End): Promise<Outcome> {
  const { isLabsFault, isRefutedBy } = endRules[end.cause];
  const read = await readWorker(factory, instance);
  if ("kind" in read) return read;
  if (read.worker !== null && isRefutedBy(read.worker)) {
    // The list that this was decided by was stale, or not the server's own.
    if (read.worker.online) advance(factory, instance, { isOnline: true });
    factory.known.server.missingSinceMs.delete(instanceName(instance));
    factory.known.server.isListWanted = true;
    return waiting(limits.heldMs);
  }
  const next = advance(factory, instance, {
    phase: "destroying",
    ...endedBy(end),
    untold: read.worker === null ? null : toldOwner(end),
  });
  // An agent that lives and has reached the server is no fault of the testbed's: its job took too long.
  const isAtWork = instance.isOnline && factory.known.looks.get(instanceName(instance))?.view === "alive";
  // What another program began says nothing of the testbed.
  if (isLabsFault && !isAtWork && !isFormer(instance)) await blame(factory, instance.testbed, endText(end));
  else if (
    end.cause === "job done" ||
    (end.cause === "worker recycled" && (await isJobDone(factory, instance)))
  ) {
    clearStrikes(factory, instance.testbed);
    factory.known.rests.delete(instance.testbed);
  } else if (!isLabsFault && isFruitless(next, read.worker)) {
    // Else a server that forgets its workers, or recycles them at once, would drain the queue.
    rest(factory, instance.testbed, endText(end), read.worker === null ? "job waits" : "job is gone");
  }
  factory.known.endsAtMs.set(instanceName(next), factory.clock.uptimeMs());
  logFor(factory, next).debug(`ending: ${endText(end)}`);
  return done;
}

/** Whether a worker came to nothing: it vanished before its agent was online, or was recycled before there was an agent. */
function isFruitless(instance: Instance, worker: Worker | null): boolean {
  if (isFormer(instance) || instance.isOnline) return false;
  return worker === null || instance.wentAt === null;
}

/** The server recycles the worker of a job that is done, and the list may show that before a look shows the other. */
async function isJobDone({ hosts, known }: Factory, instance: Instance): Promise<boolean> {
  const { testbed, place } = instance;
  if (!known.health.has(testbed) || isFormer(instance)) return false;
  const [view] = await hosts.minderOf(place).look([place.directory]);
  return view?.state === "done";
}

/** The worker as it is now, where it may be touched; the outcome where it may not. */
async function readWorker(
  { api, known }: Factory,
  instance: Instance,
): Promise<{ worker: Worker | null } | Outcome> {
  if (instance.worker === null) return { worker: null };
  const read = await api.worker(instance.worker);
  // Of a factory account that this token is not of: only its administrator can delete it.
  if (!read.ok && read.refusal === "forbidden" && isVouched(instance)) return { worker: null };
  if (!read.ok) return refusedCall("read the worker", read);
  const worker = read.value;
  noteWorker(known.server, instance.worker, worker);
  if (worker === null) return { worker };
  if (worker.hold) {
    known.server.isListWanted = true;
    return waiting(limits.heldMs);
  }
  if (worker.private !== null && !isOurs(instance, worker)) {
    if (isVouched(instance)) return { worker: null };
    return failed(`the worker belongs to ${worker.private}, not to ${instanceName(instance)}`);
  }
  return { worker };
}

export async function stop(factory: Factory, instance: Instance): Promise<Outcome> {
  // A hold may have come since the end was decided, also while this process was away.
  const read = await readWorker(factory, instance);
  if ("kind" in read) return read;
  if (instance.untold !== null) {
    const told = await tellOwner(factory, instance, instance.untold);
    if (told !== done) return told;
  }
  if (isFormer(instance)) {
    const stopped = await stopFormer(factory, instance);
    if (stopped.kind === "unkillable" || (stopped.kind === "cannot tell" && !isVouched(instance))) {
      return failed(whyNotStopped(instance, stopped));
    }
  } else {
    const { place, cookie } = instance;
    const minder = factory.hosts.minderOf(place);
    const words = { cookie, graceMs: limits.killAfterMs };
    if (place.spRunnerUrl !== undefined) {
      // The testbed's lock is held until the service is done with the board.
      const quiet = await minder.quiet(place.directory, words);
      if (quiet.kind === "unkillable" || (quiet.kind === "cannot tell" && !isVouched(instance))) {
        return failed(`cannot end the agent: ${quiet.reason}`);
      }
      const board = await proveBoardIdle(factory, instance);
      if (board.kind === "waiting") factory.known.failedLooks.delete(instanceName(instance));
      if (board !== done && (board.kind !== "failed" || !countFailedLook(factory, instance))) return board;
    }
    const stopped = await minder.stop(place.directory, { ...words, isVouched: isVouched(instance) });
    if (
      stopped.kind === "unkillable" ||
      (stopped.kind === "cannot tell" && !countFailedLook(factory, instance))
    ) {
      return failed(whyNotStopped(instance, stopped));
    }
  }
  advance(factory, instance, { phase: "stopped", untold: null });
  return done;
}

/** Adds the reason to the job's event stream, with the last lines of the agent's log. */
async function tellOwner(factory: Factory, instance: Instance, reason: string): Promise<Outcome> {
  if (instance.worker === null) return done;
  const tail = await factory.hosts
    .minderOf(instance.place)
    .tail(instance.place.directory, limits.logTailBytes);
  const lines = tail.ok && tail.text.trim() !== "" ? tail.text.trim().split("\n") : [];
  const payload = [
    `the testbed's factory ends this job: ${reason}`,
    ...lines.map((line) => `agent.log: ${line}`),
  ];
  const answer = await factory.api.append(instance.worker, eventLine(factory, "worker", payload.join("\n")));
  if (!answer.ok && answer.refusal === "no answer") return refusedCall("tell the job's owner", answer);
  advance(factory, instance, { untold: null });
  return done;
}

export async function deleteWorker(factory: Factory, instance: Instance): Promise<Outcome> {
  const before = await readWorker(factory, instance);
  if ("kind" in before) return before;
  const tidied = await tidy(factory, instance);
  if ("kind" in tidied) return tidied;
  const read = await readWorker(factory, instance);
  if ("kind" in read) return read;
  if (read.worker !== null) {
    const answer = await factory.api.deleteWorker(read.worker.id);
    // A conflict says that there is no such worker: what was wanted.
    if (!answer.ok && answer.refusal !== "conflict") return refusedCall("delete the worker", answer);
    noteWorker(factory.known.server, read.worker.id, null);
  }
  const ranMs = ranMsOf(factory, instance);
  const ended = advance(factory, instance, { phase: "destroyed", endedMs: factory.clock.wallMs() });
  // Its host answered just now.
  if (instance.place.ssh !== undefined && !isVouched(instance)) noteTrouble(factory, instance.testbed, null);
  const { isLost, line } = describeEnd(ended, tidied.end, ranMs);
  const log = logFor(factory, ended);
  if (isLost) log.warn(line);
  else log.info(line);
  return done;
}

/** Where the end was decided by an earlier run, until now. */
function ranMsOf({ known, clock }: Factory, instance: Instance): number | null {
  const { wentAt } = instance;
  const name = instanceName(instance);
  if (wentAt === null || wentAt.bootId !== clock.bootId || known.fromEarlierBoot.has(name)) return null;
  return (known.endsAtMs.get(name) ?? clock.uptimeMs()) - wentAt.uptimeMs;
}

function whyNotStopped(instance: Instance, { kind, reason }: { kind: string; reason: string }): string {
  const hint = kind === "cannot tell" && !isVouched(instance) ? `; ${howToClear(instance)}` : "";
  return `cannot stop the agent: ${reason}${hint}`;
}

/** An operator vouches that nothing of it is left running. */
function isVouched({ place }: Instance): boolean {
  return place.way === "cleared";
}

/** A look that could tell nothing. Whether an operator's word counts now: not at once, for a host may be back in a moment. */
function countFailedLook({ known }: Factory, instance: Instance): boolean {
  if (!isVouched(instance)) return false;
  const name = instanceName(instance);
  const before = known.failedLooks.get(name) ?? 0;
  known.failedLooks.set(name, before + 1);
  return before >= limits.looksBeforeWord;
}

async function tidy(factory: Factory, instance: Instance): Promise<{ end: EndRecord | null } | Outcome> {
  const { place, cookie } = instance;
  const tidied = await factory.hosts.minderOf(place).tidy(place.directory, cookie);
  if (tidied.kind === "cannot tell" && isVouched(instance)) return { end: null };
  if (tidied.kind !== "tidied") return failed(`cannot tidy up: ${tidied.reason}`);
  if (tidied.left !== null) logFor(factory, instance).warn(`cannot tidy up: ${tidied.left}`);
  return { end: tidied.end ?? null };
}

/** A worker of ours that belongs to no instance we know. */
export async function deleteStranger(factory: Factory, worker: Worker): Promise<Outcome> {
  const { api, known, log } = factory;
  const read = await api.worker(worker.id);
  if (!read.ok) return refusedCall("read a worker", read);
  // A request for a worker may have been settled with it meanwhile.
  if (isTaken(factory, worker.id)) return done;
  if (read.value === null || read.value.private !== worker.private || read.value.hold) {
    known.server.isListWanted = true;
    return waiting(limits.heldMs);
  }
  const told = await api.append(
    worker.id,
    eventLine(
      factory,
      "worker",
      "the testbed's factory deletes this worker: it knows of no instance that it belongs to",
    ),
  );
  if (!told.ok && told.refusal === "no answer") return refusedCall("tell a job's owner", told);
  if (isTaken(factory, worker.id)) return done;
  const deleted = await api.deleteWorker(worker.id);
  if (!deleted.ok && deleted.refusal !== "conflict") return refusedCall("delete a worker", deleted);
  noteWorker(known.server, worker.id, null);
  log.warn(`deleted a worker of no instance of ours (${worker.private ?? "not associated"})`, {
    worker: worker.id,
  });
  return done;
}
