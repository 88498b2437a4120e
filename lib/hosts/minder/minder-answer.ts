/**
 * What a minder can answer, and what each answer proves: what could not be learnt is `cannot tell`, and only `dead` frees a
 * testbed.
 */
import type { AgentView } from "../../words/domain.ts";

/** Whether a process is there: `dead` is proved, `cannot tell` proves nothing. */
export type Liveness = "alive" | "dead" | "cannot tell";

export type ArmResult =
  /**
   * Lock held, directories and namespaces built, agent found: it waits for `go`. Or it went before: `go` says `went` then.
   * `refusal`: why it was to be isolated and is not, but alone on its host; null otherwise.
   */
  | { kind: "armed"; refusal: string | null }
  /** Another live instance holds the testbed, or the host where nothing is isolated: no fault of the testbed's. */
  | { kind: "elsewhere"; owner: string; isHost: boolean }
  /**
   * The directory is another instance's, of another factory perhaps: no fault of the testbed's, and another seq does. Of one that
   * is to go again, it may also be gone.
   */
  | { kind: "taken"; reason: string }
  /** Nothing was left behind. */
  | { kind: "failed"; reason: string }
  /** No answer: it may or may not be armed. Arm again, or stop. */
  | { kind: "cannot tell"; reason: string };

/** What an instance would find on a host. */
export interface HostView {
  /** The user that agents run as. */
  uid: number;
  /** Whether an instance can have namespaces of its own. */
  isolation: { kind: "possible" } | { kind: "refused"; reason: string };
  /** Why the host's own /work and /input do not serve an instance that is not isolated; null: they do. */
  unshared: string | null;
  /** Why nothing can be armed at all: the work or lock directory, or too little power; null: it can. */
  unusable: string | null;
  /** In the work directory; null where it could not be learnt. */
  freeBytes: number | null;
  /** Why each agent that was asked for cannot be run, in order; null: it can. */
  agentFaults: (string | null)[];
}

export type ProbeResult = ({ ok: true } & HostView) | { ok: false; reason: string };

export type GoResult =
  /** The mark is durable; the agent is being started, or was started before. Never twice: `look` says what became of it. */
  | { kind: "went" }
  /** Never told to go, and never will be: it expired, was stopped, or was never armed. It may be armed again. */
  | { kind: "expired" }
  /** No answer, or it could not be done: ask again. */
  | { kind: "cannot tell"; reason: string };

/**
 * - `absent`: no minder and never an agent: never armed, expired or disarmed. May be armed (again).
 * - `armed`: its first process waits for `go`. With `went`, it was told and is just starting: repeat `go`.
 * - `alive`: the agent runs.
 * - `done`: `etc/job-done.json` is there; the agent may still run (see `process`).
 * - `exited`: the agent ended by itself without `job-done.json`; what it left running may still be there.
 * - `dead`: it went, and is proved gone without a trace of an end.
 * - `cannot tell`: none of these is proved.
 */
export type MinderState = Exclude<AgentView, "unseen">;

export interface MinderView {
  directory: string;
  state: MinderState;
  /** Why it cannot be told. */
  reason: string | null;
  /** It was told to go: from then on it is never started again. */
  went: boolean;
  /** The instance's first process, with which all others end. `dead`: nothing of the instance is alive. */
  process: Liveness;
  /** The minder itself; the agent does not need it. */
  minder: Liveness;
  /** The agent took a job (`etc/job.json`). */
  hasJob: boolean;
  /** The agent's end, if it ended by itself. */
  exit: { code: number } | { signal: number } | null;
  logBytes: number;
  /** Another one after the job has printed; `own`: nothing of the job runs just now; null: it cannot be told, or nobody asked. */
  output: string | null;
}

export type StopResult =
  /** Everything of the instance is proved gone and its lock is free; of `quiet`: its agent is, and the lock still held. */
  | { kind: "stopped" }
  /** It did not end after KILL. */
  | { kind: "unkillable"; reason: string }
  | { kind: "cannot tell"; reason: string };

/** How a job ended, as the files of its agent say. They may be missing, and the job could have written them: for people only. */
export interface EndRecord {
  jobName: string | null;
  /** Only the built-in agent says so. `why` may be empty. */
  verdict: { is: "completed" | "failed"; why: string } | null;
}

/** `left`: what could not be removed, for people; it holds nobody up. */
export type TidyResult =
  | { kind: "tidied"; left: string | null; end?: EndRecord }
  | { kind: "refused" | "cannot tell"; reason: string };

export interface Kept {
  directory: string;
  /** As the disk counts them. */
  bytes: number;
}

export type KeptResult = { ok: true; directories: Kept[] } | { ok: false; reason: string };

export type TailResult = { ok: true; text: string } | { ok: false; reason: string };

export interface TestbedLock {
  testbed: string;
  instance: string;
  directory: string;
  cookie: string;
  uid: number;
  /** Whether its owner, minder or agent, is there. A lock whose owner is `dead` holds nobody up. */
  owner: Liveness;
}

export type LocksResult = { ok: true; locks: TestbedLock[] } | { ok: false; reason: string };

/** What an instance directory says of itself. */
export interface Recalled {
  directory: string;
  intentJson: string;
  /** Known once it was told to go. */
  worker: string | null;
}

export type RecallResult = { ok: true; instances: Recalled[] } | { ok: false; reason: string };

export type FormerResult = { ok: true; directories: string[] } | { ok: false; reason: string };
