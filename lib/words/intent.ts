/** What an operator wants of a testbed, apart from what it does and how well it is. It outlives restarts of the factory. */
import type { Moment } from "./domain.ts";

/** None of them takes a job. `reserved`: somebody works at the board. `quarantined`: an operator does not trust it. */
export const intentKinds = ["paused", "reserved", "quarantined"] as const;
export type IntentKind = (typeof intentKinds)[number];

export interface Intent {
  kind: IntentKind;
  /** The name of the user who asked for it. */
  who: string;
  /** Empty: none was given. */
  note: string;
  /** Wall-clock ms. */
  sinceMs: number;
  /** Null: until it is taken back. */
  until: Deadline | null;
  /** It waits until a job runs, and then keeps only the next one away. */
  isAfterJob: boolean;
  /** How long it lasts once that job has ended; `until` is null before. */
  forMs?: number | undefined;
  /** Its end was announced. */
  isReminded?: boolean | undefined;
}

/** A moment to come. In another boot only the wall clock says when that is. */
export interface Deadline {
  wallMs: number;
  at: Moment;
}

export function deadlineIn(ms: number, { now, wallMs }: { now: Moment; wallMs: number }): Deadline {
  return { wallMs: wallMs + ms, at: { ...now, uptimeMs: now.uptimeMs + ms } };
}

/** The same intents with deadlines of this boot. */
export function intentsInThisBoot(
  intents: ReadonlyMap<string, Intent>,
  present: { now: Moment; wallMs: number },
): Map<string, Intent> {
  return new Map(
    [...intents].map(([name, intent]) => {
      const until = intent.until === null ? null : inThisBoot(intent.until, present);
      return [name, { ...intent, until }];
    }),
  );
}

function inThisBoot(deadline: Deadline, { now, wallMs }: { now: Moment; wallMs: number }): Deadline {
  if (deadline.at.bootId === now.bootId) return deadline;
  return { ...deadline, at: { ...now, uptimeMs: now.uptimeMs + deadline.wallMs - wallMs } };
}
