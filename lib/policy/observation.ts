/** The input of plan(): everything that is known now, and when. */
import type { Config } from "../config/config.ts";
import type { AgentView, Health, Instance, Moment } from "../words/domain.ts";
import type { Intent } from "../words/intent.ts";
import type { Lease, Worker } from "../server/factory-side.ts";

/** A lease that no testbed has been chosen for yet. */
export interface PendingLease extends Lease {
  askedAt: Moment;
  /** Testbeds that could not be got ready for it. */
  tried: readonly string[];
}

/** What the minder said of an instance, and when; all times are uptimes in ms. */
export interface Look {
  view: AgentView;
  atMs: number;
  /** Something may have changed since: look again at once. */
  isStale: boolean;
  /** The last look before which the job may have printed. */
  printedMs: number;
  /** How the agent ended, if it ended by itself. */
  exit?: { code: number } | { signal: number } | null;
}

export interface ServerView {
  /** The last good list, by worker id. */
  list: { askedAtMs: number; workers: ReadonlyMap<string, Worker> } | null;
  /** A new list is wanted at once. */
  isListWanted: boolean;
  /** By instance name: when the first list of the run that lacks its worker was asked for. */
  missingSinceMs: ReadonlyMap<string, number>;
  /** By instance name: when its worker was recorded by this process; absent for those that an earlier one recorded. */
  recordedMs: ReadonlyMap<string, number>;
  /** By worker id: when the first list that has it was asked for. */
  firstListedMs: ReadonlyMap<string, number>;
  /** When it was last settled what became of a request for a worker. */
  lastSettledMs: number;
  /** No call before this: the server does not answer. */
  retryAtMs: number;
  /** Since when it has answered without a break; null while it does not. */
  answeringSinceMs: number | null;
  /** When it came back, the last time that it was away; null: it was never away in this run. */
  backSinceMs: number | null;
  /** Since when it has not; null while it does, and before it was asked. */
  silentSinceMs: number | null;
  leaseDueMs: number;
  lastPingMs: number;
  isTokenRefused: boolean;
  refusedSinceMs: number | null;
}

export interface HostFaults {
  atMs: number;
  /** Why no job can run there, which may be fixed while this program runs; null: nothing is wrong. */
  fault: string | null;
  /** By testbed: why no job can run on it. */
  faults: ReadonlyMap<string, string>;
}

export interface Check {
  atMs: number;
  /** Why it fails; null: it succeeded. */
  fault: string | null;
  /** The armed instance that it was run for; null: for none, before the first lease or after a failure. */
  instance: string | null;
}

/** What is known of some instances or testbeds, by name. */
export type Lookup<Value> = Pick<ReadonlyMap<string, Value>, "get" | "has">;

export interface Observation {
  now: Moment;
  /** Uptime at which this run of the factory began. */
  startedMs: number;
  /** `drain`: finish what runs and take nothing new. `hand over`: begin what is leased, and ask for nothing. */
  mode: "run" | "hand over" | "drain";
  config: Config;
  instances: readonly Instance[];
  leases: readonly PendingLease[];
  /** By job: the only testbed that may have it, because it is there to prove that one. */
  meant: Lookup<string>;
  health: Lookup<Health>;
  /** By testbed: what an operator wants of it, with a deadline of this boot. */
  intents: Lookup<Intent>;
  /** By testbed: no lease before this, because one came to nothing. */
  rests: Lookup<{ untilMs: number; reason: string }>;
  /** Testbeds on which an instance runs that can only be taken over once an older one of theirs has ended. */
  untaken: Pick<ReadonlySet<string>, "has" | "keys">;
  /** By testbed: who holds its lock, if not an open instance of ours. */
  elsewhere: Lookup<string>;
  locksSeenMs: number | null;
  /** What the last look at this host found; null: none yet. */
  host: HostFaults | null;
  /** By testbed: how its `check` command last ended. */
  checks: Lookup<Check>;
  /** Why this host last refused to isolate an instance; null: it isolates, as far as we know. */
  refusal: string | null;
  /** Testbeds on other hosts that refused it. */
  alone: Pick<ReadonlySet<string>, "has">;
  /** By testbed on another host: how that was last reached. */
  reached: Lookup<
    { atMs: number } & ({ ok: true } | { ok: false; reason: string; is?: "in use" | "unavailable" })
  >;
  looks: Lookup<Look>;
  /** By instance name: how often its agent was started again. */
  resumed: Lookup<number>;
  /** When old instance directories were last looked through; null: not yet. */
  sweptMs: number | null;
  server: ServerView;
  /** A commit failed, and none was tried since. */
  isStoreFailing: boolean;
  /** By action key: not before this, because it failed. */
  retryAtMs: ReadonlyMap<string, number>;
  /** By action key, and by `server`: what was logged of its last failure; null: nothing. */
  failures: Lookup<{ message: string | null }>;
  /** Keys of the actions that are under way. */
  busy: ReadonlySet<string>;
}
