/**
 * A minder's possible answers and what each proves. `cannot tell` means that it could not find out; only `dead` frees a testbed.
 */
import type { AgentView } from "../../words/domain.ts";

/** Whether a process exists: `dead` is proved, `cannot tell` proves nothing. */
export type Liveness = "alive" | "dead" | "cannot tell";

export type ArmResult =
  /**
   * It holds the lock, has built directories and namespaces, and waits for `go`. Or its agent was started before: then `go`
   * answers `went`. `refusal`: why it could not be isolated and runs alone on its host instead; null otherwise.
   */
  | { kind: "armed"; refusal: string | null }
  /** Another live instance holds the testbed, or the whole host if there is no isolation. The testbed is not at fault. */
  | { kind: "elsewhere"; owner: string; isHost: boolean }
  /**
   * The directory belongs to another instance, perhaps of another factory. The testbed is not at fault, and another seq will do.
   * If an agent is to be started again, the directory may also be gone.
   */
  | { kind: "taken"; reason: string }
  /** Nothing was left behind. */
  | { kind: "failed"; reason: string }
  /** No answer: it may or may not be armed. Arm again, or stop. */
  | { kind: "cannot tell"; reason: string };

/** What a host offers to instances. */
export interface HostView {
  /** The user that agents run as. */
  uid: number;
  /** Whether an instance can have namespaces of its own. */
  isolation: { kind: "possible" } | { kind: "refused"; reason: string };
  /** Why an instance without isolation cannot use the host's /work and /input; null: it can. */
  unshared: string | null;
  /** Why no instance can be armed, for example because of the work or lock directory or missing privileges; null: it can. */
  unusable: string | null;
  /** In the work directory; null if not known. */
  freeBytes: number | null;
  /** For each requested agent, in order: why it cannot be run; null: it can. */
  agentFaults: (string | null)[];
}

export type ProbeResult = ({ ok: true } & HostView) | { ok: false; reason: string };

export type GoResult =
  /** The mark is on the disk, and the agent is being started or was started before. It starts only once; `look` shows its state. */
  | { kind: "went" }
  /** The agent was not started and will not be: it expired, was stopped or was never armed. It may be armed again. */
  | { kind: "expired" }
  /** There was no answer, or it failed: ask again. */
  | { kind: "cannot tell"; reason: string };

/**
 * - `absent`: there is no minder and never was an agent: never armed, expired or disarmed. It may be armed (again).
 * - `armed`: its first process waits for `go`. With `went`, it has the go signal and is starting: repeat `go`.
 * - `alive`: the agent runs.
 * - `done`: `etc/job-done.json` is there; the agent may still run (see `process`).
 * - `exited`: the agent ended by itself without `job-done.json`; what it left running may still be there.
 * - `dead`: the agent was started, and is proved gone without a record of its end.
 * - `cannot tell`: none of these is proved.
 */
export type MinderState = Exclude<AgentView, "unseen">;

export interface MinderView {
  directory: string;
  state: MinderState;
  /** Why the state is `cannot tell`. */
  reason: string | null;
  /** Nothing came back: the host, or the network on the way to it, may be down. */
  isHostSilent?: true;
  /** It had the go signal, so its agent is never started again. */
  went: boolean;
  /** The instance's first process; all others end with it. `dead`: nothing of the instance is alive. */
  process: Liveness;
  /** The minder itself; the agent does not need it. */
  minder: Liveness;
  /** The agent took a job (`etc/job.json`). */
  hasJob: boolean;
  /** Missing if it was not asked for, or is not known. For people: the job may have written it. */
  jobName?: string;
  /** The agent's end, if it ended by itself. */
  exit: { code: number } | { signal: number } | null;
  logBytes: number;
  /** Changes when the job prints; `own`: no process of the job runs now; null: not known. Of another agent than the built-in only on request. */
  output: string | null;
}

export type StopResult =
  /** The whole instance is proved gone and its lock is free. After `quiet`: the agent is proved gone, and the lock is still held. */
  | { kind: "stopped" }
  /** It did not end in time, not even after SIGKILL. */
  | { kind: "unkillable"; reason: string }
  | { kind: "cannot tell"; reason: string };

/** How a job ended, from its agent's files. Only for people: files may be missing, and the job could have written them. */
export interface EndRecord {
  jobName: string | null;
  /** Only the built-in agent writes this. `why` may be empty. */
  verdict: { is: "completed" | "failed"; why: string } | null;
}

/** `left`: what could not be removed, for people. It does not block anything. */
export type TidyResult =
  | { kind: "tidied"; left: string | null; end?: EndRecord }
  | { kind: "refused" | "cannot tell"; reason: string };

export interface Kept {
  directory: string;
  /** Space used on the disk. */
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
  /** Whether its owner, the minder or agent, exists. A lock whose owner is `dead` does not block anybody. */
  owner: Liveness;
}

export type LocksResult = { ok: true; locks: TestbedLock[] } | { ok: false; reason: string };

/** An instance, from the records in its directory. */
export interface Recalled {
  directory: string;
  intentJson: string;
  /** Known after the go signal. */
  worker: string | null;
}

export type RecallResult = { ok: true; instances: Recalled[] } | { ok: false; reason: string };

export type FormerResult = { ok: true; directories: string[] } | { ok: false; reason: string };
