/** What pages are made of, looked at once a second at the most however many ask: the snapshot, the last day and logs that somebody reads. */
import type { Clock } from "../../doors/clock.ts";
import type { Snapshot } from "../../status/snapshot.ts";
import type { JournalQuery, Recorded } from "../../words/journal.ts";
import { Day } from "./day.ts";

export interface LabSources {
  clock: Clock;
  snapshot(): Snapshot;
  history(query: JournalQuery): Recorded[];
  /** The end of the log of an instance, for people; null: there is none, or it cannot be read now. */
  tail(instance: string): Promise<string | null>;
}

export interface Lab {
  snapshot: Snapshot;
  day: Day;
  /** The instance whose log was asked for, and its end as far as it is known yet. */
  tail(testbed: string): { instance: string; text: string } | null;
}

const limits = {
  lookMs: 1_000,
  /** A log on another host costs a process there. */
  tailMs: 2_000,
  /** Logs that nobody reads any more are forgotten. */
  forgetMs: 10_000,
  tails: 64,
};

interface Tail {
  instance: string;
  text: string;
  askedMs: number;
  readMs: number;
  reading: Promise<void> | null;
}

export function openLab({ clock, snapshot, history, tail }: LabSources): {
  look(): Promise<Lab>;
  /** Resolves when the log of this testbed was looked at once. */
  lookAtLog(testbed: string): Promise<void>;
} {
  const day = new Day(history);
  const tails = new Map<string, Tail>();
  let last: { atMs: number; snapshot: Snapshot } | null = null;
  let looking: Promise<Lab> | null = null;

  function instanceOf(testbed: string): string | null {
    const job = last?.snapshot.testbeds.find((each) => each.testbed === testbed)?.job ?? null;
    if (job !== null) return job.instance;
    const past = day.of(testbed).findLast(({ entry }) => entry.what === "job" && entry.isStarted)?.entry;
    return past?.what === "job" ? `${testbed}/${past.seq}` : null;
  }

  function tailOf(testbed: string): Tail | null {
    const [instance, nowMs] = [instanceOf(testbed), clock.uptimeMs()];
    for (const [name, { askedMs }] of tails) if (nowMs - askedMs > limits.forgetMs) tails.delete(name);
    if (instance === null) return null;
    const known = tails.get(testbed);
    if (known?.instance !== instance && tails.size >= limits.tails) return null;
    const of =
      known?.instance === instance
        ? known
        : { instance, text: "", askedMs: nowMs, readMs: Number.NEGATIVE_INFINITY, reading: null };
    tails.set(testbed, of);
    of.askedMs = nowMs;
    if (of.reading === null && nowMs - of.readMs >= limits.tailMs) of.reading = read(of);
    return of;
  }

  async function read(of: Tail): Promise<void> {
    const text = await tail(of.instance).catch(() => null);
    of.text = text ?? of.text;
    of.readMs = clock.uptimeMs();
    of.reading = null;
  }

  async function lookNow(): Promise<Lab> {
    if (last === null || clock.uptimeMs() - last.atMs >= limits.lookMs) {
      await day.refresh(clock);
      last = { atMs: clock.uptimeMs(), snapshot: snapshot() };
    }
    return { snapshot: last.snapshot, day, tail: tailOf };
  }

  const look = async (): Promise<Lab> => {
    looking ??= lookNow().finally(() => void (looking = null));
    return await looking;
  };
  return {
    look,
    lookAtLog: async (testbed) => {
      await look();
      await tailOf(testbed)?.reading;
    },
  };
}
