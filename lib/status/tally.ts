/** What has happened since this process started, counted for the metrics. Plain numbers: a scrape costs no look at the journal. */
import type { JobEntry } from "../words/journal.ts";

/** Upper bounds in seconds: what a person would call at once, a coffee, an hour, overnight. */
export const bounds = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 14_400, 43_200];

export class Histogram {
  /** How many were at most so long; the last has no bound. */
  readonly counts = bounds.map(() => 0).concat(0);
  sum = 0;
  count = 0;

  add(ms: number): void {
    // The wall clock may have been set back.
    const seconds = Math.max(0, ms / 1_000);
    const at = bounds.findIndex((bound) => seconds <= bound);
    const index = at < 0 ? bounds.length : at;
    this.counts[index] = (this.counts[index] ?? 0) + 1;
    this.sum += seconds;
    this.count += 1;
  }
}

export class Tally {
  leases = 0;
  starts = 0;
  serverErrors = 0;
  /** By result and cause, with a zero byte between them. */
  readonly ends = new Map<string, number>();
  /** From the job's submission until its agent was told to go. */
  readonly queued = new Histogram();
  /** From the lease until the agent had reached the server. */
  readonly online = new Histogram();
  /** From the job's submission to its end. */
  readonly turnaround = new Histogram();

  take({ result, cause, queuedMs, wentMs, endedMs }: JobEntry): void {
    const key = `${result}\0${cause ?? "unknown"}`;
    this.ends.set(key, (this.ends.get(key) ?? 0) + 1);
    if (result === "not begun" || queuedMs === null) return;
    if (wentMs !== null) this.queued.add(wentMs - queuedMs);
    this.turnaround.add(endedMs - queuedMs);
  }
}
