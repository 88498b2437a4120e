/** What operators ask on the control socket, carried out one by one in the loop's turn. */
import type { Act, ActAnswer } from "../control/act.ts";
import type { Daemon } from "./daemon.ts";
import type { Factory } from "./memory.ts";

/** An act that waits for the loop. */
export interface PendingAct {
  act: Act;
  /** The name of a user. */
  who: string;
  answer(answer: ActAnswer): void;
}

export function takeActs(_factory: Factory & { daemon: Pick<Daemon, "drain"> }, asked: PendingAct[]): void {
  for (const { act, answer } of asked.splice(0)) {
    answer({ isDone: false, lines: [`this version cannot ${act.verb}`] });
  }
}
