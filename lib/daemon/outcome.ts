/** How an action ended: what a step of an instance learnt, and, for the loop, whether and when it may be tried again. */
import type { Testbed } from "../config/config.ts";
import type { EndRecord, TestbedLock, MinderView } from "../hosts/minder/minder-answer.ts";
import { isOutage } from "../policy/server-view.ts";
import type { Answer } from "../server/call.ts";
import type { Lease, Worker } from "../server/factory-side.ts";
import type { Instance, Moment } from "../words/domain.ts";
import type { End, EndCause } from "../words/end-cause.ts";
import type { Secret } from "../words/secret.ts";

export type Outcome =
  | { kind: "done" }
  /** Not an error; tried again after `ms`. */
  | { kind: "waiting"; ms: number }
  /** Something outside this program is wrong: logged once, tried again after a growing back-off. */
  | { kind: "failed"; reason: string }
  /** The server as a whole does not answer: no call to it for a while. */
  | { kind: "outage"; reason: string };

/** What a step learnt. Nothing follows from it before consequences.ts has taken it in. */
export type Learnt = (
  | Outcome
  /** It ends by this: it cannot be got further. */
  | { kind: "cannot go on"; end: End }
  /** `refusal`: why it is not isolated, though it was to be. */
  | { kind: "armed"; refusal: string | null }
  /** Another factory has the testbed, or with `isHost` all of its host. */
  | { kind: "in use elsewhere"; owner: string; isHost: boolean }
  | { kind: "not ready"; reason: string }
  /** Whether a minder is armed is not known. */
  | { kind: "host does not answer"; reason: string }
  | { kind: "checked again"; checked: Checked | null; isLeased: boolean }
  | { kind: "lease renewed"; leasedAt: Moment }
  | { kind: "worker made"; worker: Worker }
  | { kind: "worker held" }
  /** Nothing can be done until an operator has looked. */
  | { kind: "worker of another"; why: string }
  | { kind: "associated" }
  | { kind: "bootstrap read"; bootstrap: Secret }
  | { kind: "went" }
  | { kind: "go expired" }
  | { kind: "flushed" }
  | { kind: "agent started again" }
  | { kind: "agent not startable again" }
  | { kind: "end stands"; end: End; isWorkerGone: boolean; isJobDone: boolean }
  /** The list that the end was decided by was old, or not the server's own. */
  | { kind: "end refuted"; isOnline: boolean }
  | { kind: "owner told" }
  | { kind: "stopped" }
  /** `left`: what could not be removed. */
  | { kind: "deleted"; record: EndRecord | null; left: string | null }
) & {
  /** The worker as the step read it last. */
  seen?: { id: string; worker: Worker | null };
  /** A minder was asked to arm: it may have done so, whatever it answered. */
  mayBeArmed?: true;
};

export type View = Pick<MinderView, "state" | "reason" | "output"> &
  Partial<Pick<MinderView, "exit" | "isHostSilent" | "jobName">>;

/** `said`: the command, and how it ended, for people; `instance`: that it was run for. */
export interface Checked {
  kind: "checked";
  testbed: Testbed;
  isPassed: boolean;
  said: string;
  instance: string | null;
}

/** What a question to the server or to a host found. Nothing follows from it before server-findings.ts has taken it in. */
export type Found = (
  | Outcome
  | { kind: "token refused" }
  | { kind: "listed"; workers: Worker[]; askedAtMs: number }
  | { kind: "leased"; lease: Lease | null; askedAt: Moment; targets: string[] }
  /** By instance name; `begunMs` is from before the look. */
  | { kind: "looked"; at: string; instances: Instance[]; views: Map<string, View>; begunMs: number }
  /** `ours`: cookies of the instances that were open before the look. */
  | { kind: "locks seen"; locks: TestbedLock[]; ours: string[] }
  | Checked
  | { kind: "list is old" }
  | { kind: "stranger deleted"; worker: Worker }
) & { isTokenGood?: boolean };

export function cannotGoOn(cause: EndCause, detail?: string): Learnt {
  return { kind: "cannot go on", end: detail === undefined ? { cause } : { cause, detail } };
}

export const done: Outcome = { kind: "done" };

export function waiting(ms: number): Outcome {
  return { kind: "waiting", ms };
}

export function failed(reason: string): Outcome {
  return { kind: "failed", reason };
}

/** The outcome of a call that the server did not do; `what` completes "cannot ...". */
export function refusedCall(what: string, answer: Extract<Answer<unknown>, { ok: false }>): Outcome {
  const isSaid = answer.status === null || answer.message.includes(`${answer.status}`);
  const status = isSaid ? "" : ` (status ${answer.status})`;
  if (isOutage(answer)) return { kind: "outage", reason: `${answer.message}${status}` };
  return failed(`cannot ${what}: ${answer.message}${status}`);
}
