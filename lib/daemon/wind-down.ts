/**
 * From a reason to end an instance to a free testbed. Each function is one step of plan.ts and can be repeated after a
 * crash at any point. A held worker is never touched: it is read again before the end is decided and before it is deleted.
 */
import { type Instance, instanceName, isRust } from "../words/domain.ts";
import type { End } from "../words/end-cause.ts";
import type { Worker } from "../server/factory-side.ts";
import { endRules } from "../policy/end-causes.ts";
import { proveBoardIdle } from "./board.ts";
import { howToClear, stopFormer } from "./rust-instances.ts";
import { failed, type Learnt, refusedCall } from "./outcome.ts";
import { limits } from "../policy/times-and-limits.ts";
import { memoryOf } from "./instance-memory.ts";
import { type Factory, isOurs } from "./memory.ts";
import { tellOwner } from "./tell-owner.ts";
import { testbedMemory } from "./testbed-memory.ts";

type Needs = Pick<Factory, "api" | "clock" | "files" | "hosts" | "known" | "log" | "openRunner">;

export async function decideEnd(factory: Needs, instance: Instance, end: End): Promise<Learnt> {
  const { bar, worker, seen } = await readWorker(factory, instance);
  if (bar !== null) return { ...bar, ...seen };
  if (worker !== null && endRules[end.cause].isRefutedBy(worker)) {
    return { kind: "end refuted", isOnline: worker.online, ...seen };
  }
  const isRecycled = end.cause === "worker recycled";
  const isJobDone = end.cause === "job done" || (isRecycled && (await sawJobsEnd(factory, instance)));
  return { kind: "end stands", end, isWorkerGone: worker === null, isJobDone, ...seen };
}

/** The server recycles the worker of a job that is done, and the list may show that before a look shows the other. */
async function sawJobsEnd({ hosts, known }: Needs, instance: Instance): Promise<boolean> {
  const { testbed, place } = instance;
  if (testbedMemory(known, testbed).health === null || isRust(instance)) return false;
  const [view] = await hosts.minderOf(place).look([place.directory]);
  return view?.state === "done";
}

/** The worker as it is now; with a `bar` it may not be touched. */
async function readWorker(
  { api }: Needs,
  instance: Instance,
): Promise<{ bar: Learnt | null; worker: Worker | null; seen?: Pick<Learnt, "seen"> }> {
  const none = { bar: null, worker: null };
  if (instance.worker === null) return none;
  const read = await api.worker(instance.worker);
  // Of a factory account that this token is not of: only its administrator can delete it.
  if (!read.ok && read.refusal === "forbidden" && instance.isCleared) return none;
  if (!read.ok) return { ...none, bar: refusedCall("read the worker", read) };
  const worker = read.value;
  const seen = { seen: { id: instance.worker, worker } };
  if (worker?.hold === true) return { bar: { kind: "worker held" }, worker, seen };
  if (worker !== null && worker.private !== null && !isOurs(instance, worker)) {
    if (instance.isCleared) return { ...none, seen };
    const why = `the worker belongs to ${worker.private}, not to ${instanceName(instance)}`;
    return { bar: failed(why), worker, seen };
  }
  return { bar: null, worker, seen };
}

export async function stop(factory: Needs, instance: Instance): Promise<Learnt> {
  // A hold may have come since the end was decided, also while this process was away.
  const { bar, seen } = await readWorker(factory, instance);
  if (bar !== null) return { ...bar, ...seen };
  // Stopping takes a while: a list that comes meanwhile is newer than what was read.
  return await (instance.untold === null ? stopAll : tellOwner)(factory, instance);
}

async function stopAll(factory: Needs, instance: Instance): Promise<Learnt> {
  if (isRust(instance)) {
    const stopped = await stopFormer(factory, instance);
    const isStopped = stopped.kind === "stopped" || (stopped.kind === "cannot tell" && instance.isCleared);
    return isStopped ? { kind: "stopped" } : failed(whyNotStopped(instance, stopped));
  }
  const { place, cookie } = instance;
  const minder = factory.hosts.minderOf(place);
  const words = { cookie, graceMs: limits.killAfterMs };
  if (place.way === "sp-runner") {
    // The testbed's lock is held until the service is done with the board.
    const quiet = await minder.quiet(place.directory, words);
    if (quiet.kind === "unkillable" || (quiet.kind === "cannot tell" && !instance.isCleared)) {
      return failed(`cannot end the agent: ${quiet.reason}`);
    }
    const board = await proveBoardIdle(factory, instance, memoryOf(factory.known, instance));
    if (board.kind === "waiting") memoryOf(factory.known, instance).failedLooks = 0;
    if (board.kind !== "done" && !countFailedLook(factory, instance, board)) return board;
  }
  const stopped = await minder.stop(place.directory, { ...words, isVouched: instance.isCleared });
  const isStopped = stopped.kind === "stopped" || countFailedLook(factory, instance, stopped);
  return isStopped ? { kind: "stopped" } : failed(whyNotStopped(instance, stopped));
}

export async function deleteWorker(factory: Needs, instance: Instance): Promise<Learnt> {
  const before = await readWorker(factory, instance);
  if (before.bar !== null) return { ...before.bar, ...before.seen };
  const { place, cookie } = instance;
  const tidied = await factory.hosts.minderOf(place).tidy(place.directory, cookie ?? "");
  const isUnseen = tidied.kind === "cannot tell" && instance.isCleared;
  if (tidied.kind !== "tidied" && !isUnseen) return failed(`cannot tidy up: ${tidied.reason}`);
  const { bar, worker, seen } = await readWorker(factory, instance);
  if (bar !== null) return { ...bar, ...seen };
  if (worker !== null) {
    const answer = await factory.api.deleteWorker(worker.id);
    // A conflict means that the worker is already gone.
    if (!answer.ok && answer.refusal !== "conflict")
      return { ...refusedCall("delete the worker", answer), ...seen };
  }
  const { left, end = null } = tidied.kind === "tidied" ? tidied : { left: null };
  const deleted = worker === null ? seen : { seen: { id: worker.id, worker: null } };
  return { kind: "deleted", record: end, left, ...deleted };
}

function whyNotStopped(instance: Instance, { kind, reason }: { kind: string; reason: string }): string {
  const hint = kind === "cannot tell" && !instance.isCleared ? `; ${howToClear(instance)}` : "";
  return `cannot stop the agent: ${reason}${hint}`;
}

/** Counts a look that found nothing out. True: the operator's word counts now. Not at once, because a host may soon be back. */
function countFailedLook({ known }: Needs, instance: Instance, { kind }: { kind: string }): boolean {
  if (!instance.isCleared || (kind !== "cannot tell" && kind !== "failed")) return false;
  const record = memoryOf(known, instance);
  record.failedLooks += 1;
  return record.failedLooks > limits.looksBeforeWord;
}
