/** What the last jobs tell of the next: how they came out on each testbed, and how long jobs of a name take. Pure. */
import { limits } from "../policy/times-and-limits.ts";
import type { JobEntry, JobResult } from "../words/journal.ts";
import type { Past } from "./job-view.ts";

/** Jobs of a testbed, and of a name on one testbed, that count. */
export const countedJobs = 20;
const shownResults = 10;
/** Fewer jobs of a name on one testbed say less than those of all testbeds. */
const enoughJobs = 5;
const enoughSilences = 3;
/** Job names are the customers' own: there may be any number of them. */
const rememberedNames = 2000;
const runsOfName = 100;

interface TestbedJobs {
  results: JobResult[];
  /** Why jobs were not begun since the last one that was. */
  notBegun: Set<JobEntry["cause"]>;
}

interface Run {
  testbed: string;
  /** Null: not known, or the job was stopped on its way. */
  tookMs: number | null;
  silentMs: number | null;
}

export class PastJobs implements Past {
  readonly #testbeds = new Map<string, TestbedJobs>();
  readonly #names = new Map<string, Run[]>();

  /** A job that ended, in the order of their ends. */
  take(entry: JobEntry): void {
    const { testbed, result, cause, jobName, wentMs, endedMs, silentMs } = entry;
    const jobs = this.#testbeds.get(testbed) ?? { results: [], notBegun: new Set() };
    this.#testbeds.set(testbed, jobs);
    if (!this.isRepeated(entry)) jobs.results = [...jobs.results, result].slice(-shownResults);
    if (result === "not begun") jobs.notBegun.add(cause);
    else jobs.notBegun.clear();
    if (jobName === null || wentMs === null) return;
    const isWhole = result === "passed" || result === "failed" || result === "ended";
    const tookMs = isWhole ? Math.max(0, endedMs - wentMs) : null;
    const runs = this.#names.get(jobName) ?? [];
    // The name that was used last is the last one.
    this.#names.delete(jobName);
    this.#names.set(jobName, [...runs, { testbed, tookMs, silentMs }].slice(-runsOfName));
    const [oldest] = this.#names.keys();
    if (this.#names.size > rememberedNames && oldest !== undefined) this.#names.delete(oldest);
  }

  /** Whether it says no more than an entry since the last job that was begun there. */
  isRepeated({ testbed, result, cause }: Pick<JobEntry, "testbed" | "result" | "cause">): boolean {
    return result === "not begun" && this.#testbeds.get(testbed)?.notBegun.has(cause) === true;
  }

  /** How the last jobs came out, the latest last. */
  recent(testbed: string): JobResult[] {
    return this.#testbeds.get(testbed)?.results ?? [];
  }

  /** In ms, from the agent's start to the job's end: of the last jobs of this name, on this testbed if there are enough. */
  took(jobName: string, testbed: string): number[] {
    const runs = (this.#names.get(jobName) ?? []).filter(({ tookMs }) => tookMs !== null);
    const here = runs.filter((run) => run.testbed === testbed);
    return (here.length >= enoughJobs ? here : runs)
      .slice(-countedJobs)
      .flatMap(({ tookMs }) => tookMs ?? []);
  }

  /** Whether no job of this name was ever silent for so long; false if fewer than three tell. */
  isUnusual(jobName: string, silentMs: number): boolean {
    const silences = (this.#names.get(jobName) ?? []).flatMap((run) => run.silentMs ?? []);
    // A silence is known from looks, to within the time between two.
    return silences.length >= enoughSilences && silentMs > Math.max(...silences) + limits.lookMs;
  }
}
