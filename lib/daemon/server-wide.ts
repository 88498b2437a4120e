/** Questions to the server or to a host as a whole, about no one instance. What follows from the answers is in server-findings.ts. */
import type { Answer } from "../server/call.ts";
import type { Worker } from "../server/factory-side.ts";
import { type Instance, instanceName, isRust } from "../words/domain.ts";
import { glance } from "../hosts/minder/glance.ts";
import { limits } from "../policy/times-and-limits.ts";
import { done, failed, type Found, refusedCall, type View } from "./outcome.ts";
import { lookAtFormer } from "./rust-instances.ts";
import { isTaken, memoryOf, openInstances } from "./instance-memory.ts";
import { type Factory, type Parts, now, eventLine } from "./memory.ts";

type Asking = Pick<Factory, "api" | "clock" | "known">;
type Eyes = Pick<Factory, "hosts" | "files" | "clock" | "known">;

export async function listWorkers(factory: Asking): Promise<Found> {
  const { api, clock } = factory;
  const askedAtMs = clock.uptimeMs();
  const answer = await api.workers();
  if (!answer.ok) return await refusedToken(factory, "list the workers", answer);
  return { kind: "listed", workers: answer.value, askedAtMs, isTokenGood: true };
}

export async function ping({ api, clock, known }: Asking): Promise<Found> {
  known.server.lastPingMs = clock.uptimeMs();
  const answer = await api.ping();
  if (answer.ok) return { kind: "done", isTokenGood: true };
  if (answer.refusal !== "unauthorised") return refusedCall("ping the server", answer);
  return { kind: "token refused", isTokenGood: false };
}

export async function lease(factory: Asking & Pick<Parts, "store">, targets: string[]): Promise<Found> {
  const { api, store, clock, known } = factory;
  // A job that cannot be written down must not be taken. Throws where that is still so.
  if (known.isStoreFailing) {
    store.tryWriting();
    known.isStoreFailing = false;
  }
  const askedAt = now({ clock });
  known.server.lastPingMs = askedAt.uptimeMs;
  const answer = await api.lease(targets);
  if (!answer.ok) return await refusedToken(factory, "ask for a job", answer);
  return { kind: "leased", lease: answer.value, askedAt, targets };
}

/** 401 is a bad token only if ping says so too. */
async function refusedToken(
  factory: Asking,
  what: string,
  answer: Extract<Answer<unknown>, { ok: false }>,
): Promise<Found> {
  if (answer.refusal !== "unauthorised") return refusedCall(what, answer);
  const pinged = await ping(factory);
  return pinged.kind === "done" ? { ...refusedCall(what, answer), isTokenGood: true } : pinged;
}

/** All are on one host: `at` names it; empty: this one. */
export async function look(eyes: Eyes, at: string, instances: Instance[]): Promise<Found> {
  const begunMs = eyes.clock.uptimeMs();
  return { kind: "looked", at, instances, begunMs, views: await viewsOf(eyes, instances) };
}

async function viewsOf(factory: Eyes, instances: Instance[]): Promise<Map<string, View>> {
  const views: Map<string, View> = await lookAtFormer(factory, instances.filter(isRust));
  const own: Instance[] = [];
  const isNameless = (instance: Instance): boolean => memoryOf(factory.known, instance).jobName === null;
  for (const instance of instances.filter((each) => !isRust(each))) {
    const seen = await seeAsItWas(factory, instance, isNameless(instance));
    if (seen === null) own.push(instance);
    else views.set(instanceName(instance), { state: "alive", reason: null, ...seen });
  }
  const [first] = own;
  if (first === undefined) return views;
  // All of one look are on one host.
  const minder = factory.hosts.minderOf(first.place);
  const nameless = new Set(own.filter(isNameless).map(({ place }) => place.directory));
  const directories = own.map(({ place }) => place.directory);
  for (const [index, view] of (await minder.look(directories, nameless)).entries()) {
    const instance = own[index];
    if (instance !== undefined) views.set(instanceName(instance), view);
  }
  return views;
}

/** What is seen of an agent of this host that is still at work, without a process being started for that; null: not that. */
async function seeAsItWas(
  { files, clock }: Eyes,
  { phase, place, silenceTimeoutMs }: Instance,
  isNameless: boolean,
): ReturnType<typeof glance> {
  // Only the minder tells whether a job of any agent prints.
  if (phase !== "running" || place.way === "ssh" || silenceTimeoutMs !== null) return null;
  const { bootId } = clock;
  return await glance(place.directory, { files, bootId, logCapBytes: limits.logBytes, isNameless });
}

export async function lookAtLocks({ hosts, known }: Pick<Factory, "hosts" | "known">): Promise<Found> {
  const ours = openInstances(known).flatMap(({ cookie }) => cookie ?? []);
  const locks = await hosts.here.minder.locks();
  if (!locks.ok) return failed(`cannot look at the testbeds' locks: ${locks.reason}`);
  return { kind: "locks seen", locks: locks.locks, ours };
}

/** A worker of ours that belongs to no instance we know. */
export async function deleteStranger(
  factory: Pick<Factory, "api" | "clock" | "known">,
  worker: Worker,
): Promise<Found> {
  const { api } = factory;
  const read = await api.worker(worker.id);
  if (!read.ok) return refusedCall("read a worker", read);
  // A request for a worker may have been settled with it meanwhile.
  if (isTaken(factory, worker.id)) return done;
  if (read.value === null || read.value.private !== worker.private || read.value.hold) {
    return { kind: "list is old" };
  }
  const text = "the testbed's factory deletes this worker: it knows of no instance that it belongs to";
  const told = await api.append(worker.id, eventLine(factory, "worker", text));
  if (!told.ok && told.refusal === "no answer") return refusedCall("tell a job's owner", told);
  if (isTaken(factory, worker.id)) return done;
  const deleted = await api.deleteWorker(worker.id);
  if (!deleted.ok && deleted.refusal !== "conflict") return refusedCall("delete a worker", deleted);
  return { kind: "stranger deleted", worker };
}
