/** Entries of the journal that go with no change of a row. */
import type { Clock } from "../doors/clock.ts";
import { isPassing, type Store } from "../store/store.ts";
import type { Entry, Noted } from "../words/journal.ts";

export interface JournalParts {
  store: Pick<Store, "note">;
  clock: Pick<Clock, "wallMs">;
}

/** Commits them. On a full disk they are lost: they decide nothing, and the log has them, too. */
export function noteNow({ store, clock }: JournalParts, ...entries: Entry[]): void {
  try {
    store.note(notedNow({ clock }, entries));
  } catch (error) {
    if (!isPassing(error)) throw error;
  }
}

export function notedNow({ clock }: Pick<JournalParts, "clock">, entries: Entry[]): Noted[] {
  return entries.map((entry) => ({ atMs: clock.wallMs(), entry }));
}
