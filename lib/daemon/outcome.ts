/** How an action ended, for the loop: whether and when it may be tried again. */
import type { Answer } from "../server/call.ts";
import { isOutage } from "../policy/server-view.ts";

export type Outcome =
  | { kind: "done" }
  /** Nothing is wrong; not again before so long. */
  | { kind: "waiting"; ms: number }
  /** Something of the world's is wrong: told once, tried again after a growing while. */
  | { kind: "failed"; reason: string }
  /** The server as a whole does not answer: no call to it for a while. */
  | { kind: "outage"; reason: string };

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
