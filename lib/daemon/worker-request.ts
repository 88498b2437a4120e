/**
 * From an armed minder to a worker of our own, also when the server's answer is lost. Each function is one step of plan.ts
 * and can be repeated after a crash at any point; there is never a second worker for one job.
 */
import type { Answer } from "../server/call.ts";
import { elapsedMs, type Instance, type PreparingInstance } from "../words/domain.ts";
import type { FactoryApi, Worker } from "../server/factory-side.ts";
import { stillServes } from "../policy/free-testbeds.ts";
import { settlesUntilMs } from "../policy/strangers.ts";
import { isOutage } from "../policy/server-view.ts";
import { cannotGoOn, type Learnt, refusedCall, waiting } from "./outcome.ts";
import { limits } from "../policy/times-and-limits.ts";
import { advance, isTaken, memoryOf } from "./instance-memory.ts";
import { type Factory, now, eventLine, isOurs, leaseAgeMs } from "./memory.ts";

type Needs = Pick<Factory, "clock" | "config" | "known" | "store"> & {
  api: Pick<FactoryApi, "renew" | "createWorker" | "worker" | "workers" | "append">;
};

export async function create(factory: Needs, instance: PreparingInstance): Promise<Learnt> {
  if (leaseAgeMs(factory, instance) > limits.leaseFreshMs && instance.job !== null) {
    return await renew(factory, instance, instance.job);
  }
  const creating = advance(factory, instance, { phase: "creating", createSentAt: now(factory) });
  const asked = await askForWorker(factory, creating);
  // A lost answer is best settled at once: the lease renews for a second after the worker has got the job, then no more.
  const isLost = asked.kind === "outage" || asked.kind === "failed";
  return isLost ? await settle(factory, creating) : asked;
}

async function renew(factory: Needs, instance: PreparingInstance, job: string): Promise<Learnt> {
  const leasedAt = now(factory);
  const answer = await factory.api.renew(job);
  if (answer.ok) return answer.value ? { kind: "lease renewed", leasedAt } : cannotGoOn("lease lost");
  const isLost = isFinal(answer) && leaseAgeMs(factory, instance) > limits.leaseLifeMs;
  return isLost ? cannotGoOn("lease not renewed", answer.message) : refusedCall("renew the lease", answer);
}

/** A refusal that would come again. A refused token (401) may be put right. */
function isFinal({ refusal }: Extract<Answer<unknown>, { ok: false }>): boolean {
  return refusal === "forbidden" || refusal === "rejected" || refusal === "conflict";
}

async function askForWorker(factory: Needs, instance: PreparingInstance): Promise<Learnt> {
  // A lease can grow old while this process stands still (suspended, stopped): look at it at the last moment.
  if (leaseAgeMs(factory, instance) > limits.leaseFreshMs) return waiting(0);
  const record = memoryOf(factory.known, instance);
  let learnt: Learnt | null = null;
  record.isAskingForWorker = true;
  try {
    const answer = await factory.api.createWorker(instance.target, instance.isBound ? instance.job : null);
    learnt = await readAnswer(factory, instance, answer);
    return learnt;
  } finally {
    // A worker that was made is nobody's until it is recorded.
    if (learnt?.kind !== "worker made") record.isAskingForWorker = false;
  }
}

async function readAnswer(
  factory: Needs,
  instance: PreparingInstance,
  answer: Answer<Worker>,
): Promise<Learnt> {
  if (answer.ok) return { kind: "worker made", worker: answer.value };
  const { refusal, message } = answer;
  // The text is the server's: `job J already assigned to worker W` (lib/devserver/README.md "Creating a worker").
  const taker = /already assigned to worker ([0-9A-Z]{26})/i.exec(message)?.[1];
  if (refusal === "conflict" && taker !== undefined) {
    const read = await factory.api.worker(taker);
    if (read.ok && read.value !== null && mayBeOurs(instance, read.value) && !isTaken(factory, taker)) {
      return { kind: "worker made", worker: read.value };
    }
    if (!read.ok && read.refusal !== "forbidden") return refusedCall("read the job's worker", read);
    return cannotGoOn("job taken", message);
  }
  return isFinal(answer) ? cannotGoOn("worker refused", message) : refusedCall("create a worker", answer);
}

/** While others ask for a worker of the same target, or have been looking for theirs for longer. */
function mustWait(factory: Needs, instance: PreparingInstance): boolean {
  const { known } = factory;
  const seen = { now: now(factory), startedMs: known.startedMs, server: known.server };
  let isOlder = true;
  // In the order in which they were begun, also by an earlier process.
  for (const { row: each, isAskingForWorker } of known.instances.values()) {
    if (each.testbed === instance.testbed) isOlder = false;
    else if (each.target !== instance.target) continue;
    else if (isAskingForWorker) return true;
    else if (isOlder && settlesUntilMs(each, seen) > seen.now.uptimeMs) return true;
  }
  return false;
}

function mayBeOurs(instance: Instance, worker: Worker): boolean {
  return worker.private === null || isOurs(instance, worker);
}

/** A request for a worker was sent, or may have been: finds the worker that it made, or that it made none. */
export async function settle(factory: Needs, instance: PreparingInstance): Promise<Learnt> {
  if (instance.isBound && instance.job !== null && stillServes(instance, factory.config)) {
    const leasedAt = now(factory);
    const renewed = await factory.api.renew(instance.job);
    // What the server refuses it would refuse for ever; the worker is found without a lease.
    if (!renewed.ok && !isFinal(renewed)) return refusedCall("renew the lease", renewed);
    if (renewed.ok && renewed.value) {
      return await askForWorker(factory, advance(factory, instance, { leasedAt, createSentAt: leasedAt }));
    }
  }
  return await findWorker(factory, instance);
}

/** The lease is gone, so nothing may be asked for again: the worker is found by the job that hangs on it. */
async function findWorker(factory: Needs, instance: PreparingInstance): Promise<Learnt> {
  // A worker without a job's name on it could as well be the answer to another request that is under way.
  if (mustWait(factory, instance)) return waiting(limits.listWhileUnclearMs);
  const list = await factory.api.workers();
  if (!list.ok) return refusedCall("list the workers", list);
  const own = list.value.find((worker) => isOurs(instance, worker));
  if (own !== undefined) return { kind: "worker made", worker: own };
  if (mustWait(factory, instance)) return waiting(limits.listWhileUnclearMs);
  for (const worker of list.value) {
    if (worker.private !== null || worker.recycle || worker.target !== instance.target) continue;
    if (isTaken(factory, worker.id)) continue;
    const answer = await factory.api.append(
      worker.id,
      eventLine(
        factory,
        "console",
        "the factory lost the answer to its request for this worker, and found the worker again",
      ),
    );
    if (!answer.ok && isOutage(answer)) return refusedCall("ask about a worker", answer);
    // Only a worker that has a job takes the line.
    if (answer.ok && !answer.value && !isTaken(factory, worker.id)) return { kind: "worker made", worker };
  }
  // The request may still be on its way for as long as its lease could live.
  const { createSentAt } = instance;
  const sentMs = createSentAt === null ? null : elapsedMs(createSentAt, now(factory));
  if (sentMs === null) {
    // Sent before this machine was booted, which may have been quick: the wait begins anew.
    advance(factory, instance, { createSentAt: now(factory) });
    return waiting(limits.listWhileLostMs);
  }
  if (sentMs < limits.leaseLifeMs)
    return waiting(Math.min(limits.leaseLifeMs - sentMs, limits.listWhileLostMs));
  return cannotGoOn("request lost");
}
