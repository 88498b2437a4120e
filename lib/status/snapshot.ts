/**
 * What is known of the lab at one moment: what `status`, the page and the metrics show. A running factory makes it of what it
 * knows; without one it is made of the files. Times are wall-clock ms.
 */
import type { ShownTestbed } from "../config/summary.ts";
import type { IntentKind } from "../words/intent.ts";
import type { JobResult } from "../words/journal.ts";

/** A testbed in one word. It is `free` only if a job for one of its targets would be taken now. */
export const testbedStates = [
  "free",
  /** A job is leased; its agent was not told to go yet. */
  "preparing",
  "running",
  /** The end is decided; what is left of the job is being stopped, or its worker deleted. */
  "ending",
  /** Its worker is held on the server: nothing is touched. */
  "held",
  /** Takes no further job: the factory drains, or the testbed was removed from the configuration. */
  "draining",
  "paused",
  "reserved",
  /** The lab failed on it three times in a row, or an operator said so. */
  "quarantined",
  /** No job for a moment: the lab failed on it once or twice, or a lease came to nothing. */
  "backing off",
  /** Another factory uses it, or another instance its host. */
  "in use",
  /** Its host or its sp-runner service does not answer. */
  "unreachable",
  /** Its agent, its host's disk, its board or its `check` is at fault. */
  "unavailable",
  /** The server does not answer, or refuses the token. */
  "no server",
  "disabled",
  /** As it is configured, no job can be asked for. */
  "not served",
] as const;
export type TestbedState = (typeof testbedStates)[number];

export interface Snapshot {
  /** Counts up when a field changes its meaning. */
  format: 1;
  madeMs: number;
  factory: {
    isRunning: boolean;
    /** Null: no factory is running. */
    version: string | null;
    mode: "run" | "drain" | "hand over" | null;
    startedMs: number | null;
    database: string;
  };
  server: {
    url: string | null;
    is: "answers" | "does not answer" | "refuses the token" | "not asked yet" | "not known";
    /** Since when; null: not known. */
    sinceMs: number | null;
    reason: string | null;
    /** Jobs leased for which no testbed is chosen yet. */
    leases: number;
  };
  /** Lines about config.toml: a mistake in it, or what of it is not in use yet. */
  remarks: string[];
  /** What several testbeds suffer from at once. */
  shared: { reason: string; testbeds: string[] }[];
  /** What would become of the jobs if the factory stopped now, for people. */
  ifStopped: string | null;
  testbeds: TestbedSnapshot[];
}

export interface TestbedSnapshot {
  testbed: string;
  /** Null: no longer configured. */
  type: ShownTestbed["spType"] | null;
  targets: string[];
  /** Null: this host. */
  host: string | null;
  service: string | null;
  state: TestbedState;
  sinceMs: number | null;
  /** Why it takes no job, in the plan's own words; null: it does. */
  whyNot: string | null;
  /** Of the configuration. */
  note: string;
  intent: {
    kind: IntentKind;
    who: string;
    note: string;
    sinceMs: number;
    untilMs: number | null;
    /** It begins when the job has ended. */
    isAfterJob: boolean;
  } | null;
  health: { strikes: number; untilMs: number | null; reason: string } | null;
  job: RunningJob | null;
  /** When it is likely to take the next job, from how long jobs of this name took; null: not known. */
  freeAt: { ms: number; earliestMs: number; latestMs: number; jobs: number } | null;
  /** Of its last jobs, the latest last. */
  recent: JobResult[];
}

export interface RunningJob {
  /** Null: the Rust factory did not record it. */
  id: string | null;
  name: string | null;
  instance: string;
  worker: string | null;
  /** When it was submitted to the server. */
  queuedMs: number | null;
  leasedMs: number;
  wentMs: number | null;
  /** Why it ends; null: it runs. */
  endReason: string | null;
  /** For how long it has printed nothing, if that is longer than any job of its name was silent. */
  silentMs: number | null;
}
