/** One step of an instance: which file takes it. What follows from it is in consequences.ts. */
import type { Action } from "../policy/action.ts";
import type { Instance } from "../words/domain.ts";
import { follow } from "./consequences.ts";
import type { Factory } from "./memory.ts";
import { failed, type Learnt, type Outcome } from "./outcome.ts";
import { arm } from "./prepare.ts";
import { resume } from "./resume.ts";
import { associate, flush, go } from "./start.ts";
import { checkAgain } from "./testbed-check.ts";
import { decideEnd, deleteWorker, stop } from "./wind-down.ts";
import { create, settle } from "./worker-request.ts";

type InstanceAction = Extract<Action, { instance: Instance }>;

/** Takes the step, and what it learnt into memory and store. */
export async function takeStep(factory: Factory, action: InstanceAction): Promise<Outcome> {
  return await follow(factory, action.instance, await learn(factory, action));
}

async function learn(factory: Factory, action: InstanceAction): Promise<Learnt> {
  switch (action.kind) {
    case "check again":
      return await checkAgain(factory, action.instance);
    case "end":
      return await decideEnd(factory, action.instance, action.end);
    case "arm":
      return await arm(factory, action.instance);
    case "create":
      return await create(factory, action.instance);
    case "settle":
      return await settle(factory, action.instance);
    case "associate":
      return await associate(factory, action.instance);
    case "go":
      return await go(factory, action.instance);
    case "resume":
      return await resume(factory, action.instance);
    case "record went":
      return { kind: "went" };
    case "flush":
      return await flush(factory, action.instance);
    case "stop":
      return await stop(factory, action.instance);
    case "delete":
      return await deleteWorker(factory, action.instance);
    case "alarm":
      return failed(`${whyAlarm(action.instance)}: nothing is touched until an operator has looked`);
  }
}

/** The contradictions that plan.ts raises an alarm for. */
function whyAlarm({ phase }: Instance): string {
  return phase === "preparing"
    ? "an agent ran here that was never started"
    : "the worker is associated with another instance";
}
