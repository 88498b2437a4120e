/** The journal's last 24 hours in memory, so that a page costs no look at the file. It is read in slices, when somebody looks. */
import type { Clock } from "../../doors/clock.ts";
import { dayMs } from "../../words/duration.ts";
import type { Entry, JobEntry, JournalQuery, Recorded } from "../../words/journal.ts";

/** So many are read at once, and so many are kept: what 1,000 testbeds do in half a day. */
const limits = { slice: 500, kept: 30_000 };

const none: readonly Recorded[] = [];

export class Day {
  readonly #history: (query: JournalQuery) => Recorded[];
  #entries: Recorded[] = [];
  #byTestbed = new Map<string, Recorded[]>();
  #reading: Promise<void> | null = null;

  constructor(history: (query: JournalQuery) => Recorded[]) {
    this.#history = history;
  }

  /** Resolves when it is up to date. */
  async refresh(clock: Clock): Promise<void> {
    this.#reading ??= this.#read(clock).finally(() => void (this.#reading = null));
    await this.#reading;
  }

  /** Of all testbeds, the latest last. */
  jobs(): JobEntry[] {
    return this.#entries.flatMap(({ entry }) => (entry.what === "job" ? entry : []));
  }

  /** The latest first. */
  lastJobs(most: number, isAsked: (job: JobEntry) => boolean): Recorded[] {
    const jobs: Recorded[] = [];
    for (let at = this.#entries.length - 1; at >= 0 && jobs.length < most; at -= 1) {
      const recorded = this.#entries[at];
      if (recorded?.entry.what === "job" && isAsked(recorded.entry)) jobs.push(recorded);
    }
    return jobs;
  }

  /** What concerns this testbed, the factory or the server, the latest last. */
  of(testbed: string): Recorded[] {
    const [own, all] = [this.#byTestbed.get(testbed) ?? none, this.#byTestbed.get("") ?? none];
    return [...own, ...all].toSorted((one, other) => one.id - other.id);
  }

  /** From the latest slice back to what is known. The daemon's loop turns between two. */
  async #read(clock: Clock): Promise<void> {
    const [dawnMs, last] = [clock.wallMs() - dayMs, this.#entries.at(-1)];
    const sinceMs = Math.max(dawnMs, last?.atMs ?? 0);
    let news: Recorded[] = [];
    for (;;) {
      const before = news[0] === undefined ? {} : { beforeId: news[0].id };
      const slice = this.#history({ sinceMs, ...before, most: limits.slice });
      news = [...slice.filter(({ id }) => id > (last?.id ?? 0)), ...news];
      if (slice.length < limits.slice || news.length > limits.kept) break;
      await clock.sleep(1);
    }
    const isOld = (this.#entries[0]?.atMs ?? dawnMs) < dawnMs;
    if (news.length > 0 || isOld) this.#keep([...this.#entries, ...news], dawnMs);
  }

  #keep(entries: Recorded[], sinceMs: number): void {
    this.#entries = entries.filter(({ atMs }) => atMs >= sinceMs).slice(-limits.kept);
    this.#byTestbed = Map.groupBy(this.#entries, ({ entry }) => testbedOf(entry) ?? "");
  }
}

function testbedOf(entry: Entry): string | null {
  return "testbed" in entry ? entry.testbed : null;
}
