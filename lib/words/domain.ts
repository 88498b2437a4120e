/**
 * The factory's terms: testbed, instance, worker, agent, and what is true in each of their states.
 * Import only what these types need.
 */
import type { EndCause } from "./end-cause.ts";
import type { Place, RustPlace } from "./place.ts";
import type { Secret } from "./secret.ts";

/** How far an instance has come. It only moves down this list; after a crash it resumes at its last committed phase. */
export type Phase =
  /** A job is leased and bound to a testbed. A minder may be armed. The server does not know the testbed yet. */
  | "preparing"
  /** We asked for a worker and do not know yet whether the server created it. */
  | "creating"
  /** We have a worker; it may be associated. */
  | "created"
  /** The worker is associated, not held, and wanted. The minder may have the go signal. */
  | "starting"
  /** The agent was started: it runs, or has run. */
  | "running"
  /** The instance is ending; its agent is being stopped. */
  | "destroying"
  /** It is proved that nothing of the instance is alive. The worker may still exist. */
  | "stopped"
  /** The worker is deleted and the testbed is free. */
  | "destroyed"
  /** It ended before it had a worker: the job is untouched and the testbed is free. */
  | "dropped";

export type OpenPhase = Exclude<Phase, "destroyed" | "dropped">;

/** All phases, in order. */
export const phases = [
  "preparing",
  "creating",
  "created",
  "starting",
  "running",
  "destroying",
  "stopped",
  "destroyed",
  "dropped",
] as const satisfies readonly Phase[];

export function isOpen(phase: Phase): phase is OpenPhase {
  return phase !== "destroyed" && phase !== "dropped";
}

/** Phases only move forward, and only an instance without a worker can be dropped. */
export function canMove(from: Phase, to: Phase): boolean {
  if (to === "dropped") return from === "preparing" || from === "creating";
  return isOpen(from) && phases.indexOf(to) > phases.indexOf(from);
}

/** The phase's state in the Rust factory's table; null if that table would have no row. */
export function rustState(phase: Phase): "created" | "running" | "destroying" | "destroyed" | null {
  switch (phase) {
    case "preparing":
    case "creating":
    case "dropped":
      return null;
    case "created":
    case "starting":
      return "created";
    case "running":
      return "running";
    case "destroying":
    case "stopped":
      return "destroying";
    case "destroyed":
      return "destroyed";
  }
}

/** An instance's worker in the server's last good list. */
export type WorkerView =
  /** No list has been requested since the worker was recorded. */
  | "unseen"
  /** It is not in the last list, which alone proves nothing. */
  | "missing"
  /** It is not in two lists that were requested at least 10 s apart. */
  | "gone"
  /** It is associated with something other than this instance. */
  | "foreign"
  /** An operator or the server holds it, so that it can be examined. */
  | "held"
  /** The server wants it deleted. */
  | "recycle"
  /** Its agent has not bootstrapped yet. */
  | "offline"
  /** Its agent has bootstrapped at least once. */
  | "online";

/** An instance's agent in the minder's last answer. Only `dead` and `exited` prove that it does not run. */
export type AgentView =
  /** Not asked yet. */
  | "unseen"
  /** The minder's host or directory could not be reached or read. */
  | "cannot tell"
  /** There is no minder and never was an agent. */
  | "absent"
  /** A minder holds the testbed and waits for the go signal. */
  | "armed"
  | "alive"
  /** The server has acknowledged the job's end (job-done.json). The agent itself does not exit. */
  | "done"
  /** The agent ended by itself before its job did. */
  | "exited"
  /** It was started, and now neither it nor its minder is alive. */
  | "dead";

/** An uptime of a named boot, in ms: comparable only within that boot. */
export interface Moment {
  bootId: string;
  uptimeMs: number;
}

/** A limit of a running job, as its testbed's section has it. */
export type LimitKey = "job_timeout" | "silence_timeout";

interface AnyInstance {
  testbed: string;
  /** Counts the instances of a testbed. No number is used twice, not even after a lost database. */
  seq: number;
  phase: Phase;
  /** ULID of the target. */
  target: string;
  /** ULID of the leased job; null for a row of the Rust factory, which did not record it. */
  job: string | null;
  /** The request for the worker names the job (general.bind_job). */
  isBound: boolean;
  /** An operator vouches that nothing of it is left running. */
  isCleared: boolean;
  /** The moment before we sent the last request for the lease, or for its renewal. */
  leasedAt: Moment;
  createSentAt: Moment | null;
  worker: string | null;
  bootstrap: Secret | null;
  wentAt: Moment | null;
  isOnline: boolean;
  isFlushed: boolean;
  startTimeoutMs: number;
  jobTimeoutMs: number | null;
  silenceTimeoutMs: number | null;
  /** When the job was told that a limit is about to end it. */
  announced: Partial<Record<LimitKey, Moment>>;
  /** Why it ends or ended, for people; null while it runs. */
  endReason: string | null;
  /** The same as a value; also null if an older version or the Rust factory ended it. */
  endCause: EndCause | null;
  /** A message for the job's owner, because the lab failed the job; null if there is none or it was sent. */
  untold: string | null;
  /** Wall-clock ms, only for display. */
  begunMs: number;
  endedMs: number | null;
}

interface Own extends AnyInstance {
  /** Random, in the arguments of each of our processes: identifies them, because a pid may be reused. */
  cookie: string;
  place: Place;
}

/** It has no worker, so its minder does not get the go signal. */
export interface PreparingInstance extends Own {
  phase: "preparing" | "creating";
  worker: null;
}

export interface WorkingInstance extends Own {
  phase: "created" | "starting" | "running";
  worker: string;
}

export interface EndingInstance extends Own {
  phase: "destroying" | "stopped" | "destroyed" | "dropped";
}

export type OwnInstance = PreparingInstance | WorkingInstance | EndingInstance;

/** The Rust factory started it: its agent has no minder and no cookie. */
export interface RustInstance extends AnyInstance {
  phase: "running" | "destroying" | "stopped" | "destroyed";
  cookie: null;
  place: RustPlace;
  worker: string;
}

export type Instance = OwnInstance | RustInstance;

/** The type of an instance in a phase. */
export type InstanceIn<P extends Phase, I = Instance> = I extends Instance
  ? P extends I["phase"]
    ? I
    : never
  : never;

export function isRust(instance: Instance): instance is RustInstance {
  return instance.cookie === null;
}

/** The fields of an instance that may change. */
export type Changes = Partial<Omit<AnyInstance, "testbed" | "seq"> & { place: Place | RustPlace }>;

/** `<testbed>/<seq>`: the worker's `private`, and how people name an instance. */
export function instanceName({ testbed, seq }: { testbed: string; seq: number }): string {
  return `${testbed}/${seq}`;
}

/** The instance that a worker's `private` names; null if it does not name one. */
export function parseInstanceName(text: string): { testbed: string; seq: number } | null {
  const match = /^([^/]+)\/([1-9]\d{0,14})$/.exec(text);
  return match === null ? null : { testbed: match[1] ?? "", seq: Number(match[2]) };
}

/** The directory's name under the work directory: `<testbed>_<seq>`. */
export function directoryName({ testbed, seq }: { testbed: string; seq: number }): string {
  return `${testbed}_${seq}`;
}

/** A testbed's recent failures. */
export interface Health {
  /** Failures in a row that were the lab's fault; any other end of a job sets it back to 0. */
  strikes: number;
  /** It gets no lease before this moment. */
  retryAt: Moment;
  /** Of the last failure. */
  reason: string;
}

/** Why a testbed gets no jobs: its host, its agent, its sp-runner service or its check. */
export interface Trouble {
  reason: string;
  /** Wall-clock ms. */
  sinceMs: number;
  /** Attempts to recover its board since it was last available. */
  recoveries: number;
}

/** Ms from `moment` to now; null if the machine was rebooted since then: the time is not known. */
export function elapsedMs(moment: Moment, now: Moment): number | null {
  return moment.bootId === now.bootId ? now.uptimeMs - moment.uptimeMs : null;
}
