/** The table of actions: how each is done. What the loop has to know of each is in the table of lib/policy/action.ts. */
import type { ActionKind, ActionOf, Action } from "../policy/action.ts";
import type { Instance } from "../words/domain.ts";
import { announce } from "./announce.ts";
import { follow } from "./consequences.ts";
import { reach } from "./far-hosts.ts";
import { takeIn } from "./server-findings.ts";
import { lookAtHost } from "./isolation.ts";
import { cannotGoOn, failed, type Found, type Learnt, type Outcome } from "./outcome.ts";
import { arm, begin, letLapse } from "./prepare.ts";
import { takeOverLater } from "./recover.ts";
import { resume } from "./resume.ts";
import { deleteStranger, lease, listWorkers, look, lookAtLocks, ping } from "./server-wide.ts";
import { associate, flush, go } from "./start.ts";
import { sweep } from "./sweep.ts";
import { check, checkAgain } from "./testbed-check.ts";
import { decideEnd, deleteWorker, stop } from "./wind-down.ts";
import { create, settle } from "./worker-request.ts";
import type { Factory } from "./memory.ts";

type Do<A> = (factory: Factory, action: A) => Outcome | Promise<Outcome>;

/** A question to the server or to a host; what it found is taken in. */
function question<A>(ask: (factory: Factory, action: A) => Promise<Found>): Do<A> {
  return async (factory, action) => takeIn(factory, await ask(factory, action));
}

/** A step of an instance; what follows from what it learnt is in consequences.ts. */
function step<I extends Instance>(
  take: (factory: Factory, instance: I) => Learnt | Promise<Learnt>,
): Do<{ instance: I }> {
  return async (factory, { instance }) => await follow(factory, instance, await take(factory, instance));
}

const table: { [K in ActionKind]: Do<ActionOf<K>> } = {
  "list workers": question(listWorkers),
  ping: question(ping),
  lease: question((factory, { targets }) => lease(factory, targets)),
  look: question((factory, { at, instances }) => look(factory, at, instances)),
  "look at locks": question(lookAtLocks),
  "look at host": lookAtHost,
  sweep,
  "take over": (factory, { at }) => takeOverLater(factory, at),
  reach: (factory, { testbed }) => reach(factory, testbed),
  check: question((factory, { testbed }) => check(factory, testbed)),
  begin: (factory, action) => begin(factory, action.lease, action.testbed),
  "let lapse": (factory, action) => letLapse(factory, action.lease),
  "delete stranger": question((factory, { worker }) => deleteStranger(factory, worker)),
  "check again": step(checkAgain),
  arm: step(arm),
  create: step(create),
  settle: step(settle),
  associate: step(associate),
  go: step(go),
  "record went": step(() => ({ kind: "went" })),
  flush: step(flush),
  resume: step(resume),
  withdraw: async (factory, { instance, end }) =>
    await follow(factory, instance, cannotGoOn(end.cause, end.detail)),
  end: async (factory, { instance, end }) =>
    await follow(factory, instance, await decideEnd(factory, instance, end)),
  announce,
  stop: step(stop),
  delete: step(deleteWorker),
  alarm: step((_, instance) =>
    failed(`${whyAlarm(instance)}: nothing is touched until an operator has looked`),
  ),
};

export async function apply(factory: Factory, action: Action): Promise<Outcome> {
  return await (table[action.kind] as Do<Action>)(factory, action);
}

/** The contradictions that the plan raises an alarm for. */
function whyAlarm({ phase }: Instance): string {
  return phase === "preparing"
    ? "an agent ran here that was never started"
    : "the worker is associated with another instance";
}
