/**
 * The words of the factory: testbed, instance, worker, agent, and what is true in each state of them.
 * No file that these words do not need may be imported here.
 */
import type { EndCause } from "./end-cause.ts";
import type { Secret } from "./secret.ts";

/** How far an instance has come. It only moves down this list; a crash resumes at the phase that was committed. */
export type Phase =
  /** A job is leased and bound to a testbed; a minder may be armed; the server knows of nothing. */
  | "preparing"
  /** A worker was asked for, and it is not known whether the server made it. */
  | "creating"
  /** The worker is ours; it may be associated. */
  | "created"
  /** The worker is associated, not held and wanted; the minder may have been told to go. */
  | "starting"
  /** The agent went: it runs, or has run. */
  | "running"
  /** The end is decided; the agent is being stopped. */
  | "destroying"
  /** Nothing of the instance is alive, proved; the worker may still be there. */
  | "stopped"
  /** The worker is deleted and the testbed free. */
  | "destroyed"
  /** It ended before it had a worker; the job is untouched and the testbed free. */
  | "dropped";

export type OpenPhase = Exclude<Phase, "destroyed" | "dropped">;

/** All of them, in their order. */
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

/** Phases only move forward, and only what has no worker can be dropped. */
export function canMove(from: Phase, to: Phase): boolean {
  if (to === "dropped") return from === "preparing" || from === "creating";
  return isOpen(from) && phases.indexOf(to) > phases.indexOf(from);
}

/** The state that the Rust factory's table has for a phase; null where it would have no row. */
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

/** What the server's last good list says of an instance's worker. */
export type WorkerView =
  /** No list has been asked for since the worker was recorded. */
  | "unseen"
  /** The last list lacks it; one list proves nothing. */
  | "missing"
  /** Two lists, asked for at least 10 s apart, lack it. */
  | "gone"
  /** It is associated with something else than this instance. */
  | "foreign"
  /** An operator, or the server, keeps it as it is. */
  | "held"
  /** The server wants it deleted. */
  | "recycle"
  /** Its agent has not bootstrapped yet. */
  | "offline"
  /** Its agent has bootstrapped at least once. */
  | "online";

/** What the minder last said of an instance's agent. Only `dead` and `exited` prove that it does not run. */
export type AgentView =
  /** Not asked yet. */
  | "unseen"
  /** The minder's place could not be reached or read. */
  | "cannot tell"
  /** There is no minder and never was an agent. */
  | "absent"
  /** A minder holds the testbed and waits to be told to go. */
  | "armed"
  | "alive"
  /** The server has acknowledged the job's end (job-done.json); the agent itself never exits. */
  | "done"
  /** The agent ended by itself, without the job's end. */
  | "exited"
  /** It went, and neither it nor its minder is alive. */
  | "dead";

/** How an agent is reached. */
export type Way =
  | { way: "local" }
  | { way: "ssh"; ssh: SshHost }
  /** The service that works on the board; the agent is on this host. */
  | { way: "sp-runner"; spRunnerUrl: string };

interface Located {
  /** Absolute, on its host. */
  directory: string;
  agent: "external" | "built-in";
}

/** Where and how an instance's agent runs. Recorded once: what runs is found again by this, not by today's configuration. */
export type Place = Located & Way;
export type SshPlace = Extract<Place, { way: "ssh" }>;

/** The Rust factory did not record where its agents run, and how to get there: `at` is what can be guessed. */
export interface RustPlace extends Located {
  way: "rust";
  at: "local" | "ssh" | "sp-runner" | "unknown";
}

/** What the system's ssh is told. Null: as the user's own ssh configuration says. */
export interface SshAddress {
  host: string;
  user: string;
  port: number | null;
  key: string | null;
  /** Type and key; null: the one seen first. */
  hostKey: string | null;
}

/** An address and what is learnt when it is reached: who we are there, and which machine it is. */
export interface SshHost extends SshAddress {
  /** What makes agents root there: a program, or that `user` is root; null: they run as `user`. */
  elevation: "sudo" | "pfexec" | "root" | null;
  /** The number of `user` there. */
  uid: number;
  /** What `testbed-id` in its work directory says; rows of an early version do not have it, or an empty one. */
  machine?: string | undefined;
}

/** Whether two lead to the same service, or to the same user of the same machine, by whatever address. */
export function isSameWay(a: Way, b: Way): boolean {
  if (a.way === "sp-runner" && b.way === "sp-runner") return a.spRunnerUrl === b.spRunnerUrl;
  if (a.way !== "ssh" || b.way !== "ssh") return a.way === b.way;
  const keys = ["host", "user", "uid", "machine", "elevation"] as const;
  return keys.every((key) => a.ssh[key] === b.ssh[key]);
}

/** Names what isSameWay() compares, and the way there: what has one name is looked at in one command. */
export function farHostName({ host, user, port, uid, machine, elevation }: SshHost): string {
  return [host, user, port ?? "", uid, machine ?? "", elevation ?? ""].join(" ");
}

/** An uptime of a named boot, in ms: comparable only within that boot. */
export interface Moment {
  bootId: string;
  uptimeMs: number;
}

interface AnyInstance {
  testbed: string;
  /** Counts the instances of a testbed; never used twice, also after a lost database. */
  seq: number;
  phase: Phase;
  /** ULID of the target. */
  target: string;
  /** ULID of the leased job; null for a row of the Rust factory, which did not record it. */
  job: string | null;
  /** The job is named at the worker's creation (general.bind_job). */
  isBound: boolean;
  /** An operator vouches that nothing of it is left running where we cannot look. */
  isCleared: boolean;
  /** When the lease was last asked for or renewed: the moment before the request was sent. */
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
  /** Why it was or is being ended, for people; null while it lives. */
  endReason: string | null;
  /** The same as a value; null, too, for what an older version or the Rust factory ended. */
  endCause: EndCause | null;
  /** What the job's owner is still to be told, because the lab failed the job; null when told or nothing to tell. */
  untold: string | null;
  /** Wall-clock ms: for showing only. */
  begunMs: number;
  endedMs: number | null;
}

interface Own extends AnyInstance {
  /** Random; in the arguments of every process of ours, so that a pid alone proves nothing. */
  cookie: string;
  place: Place;
}

/** Its minder is not told to go, because it has no worker. */
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

/** The Rust factory began it: its agent has no minder and no cookie. */
export interface RustInstance extends AnyInstance {
  phase: "running" | "destroying" | "stopped" | "destroyed";
  cookie: null;
  place: RustPlace;
  worker: string;
}

export type Instance = OwnInstance | RustInstance;

/** What an instance is in a phase. */
export type InstanceIn<P extends Phase, I = Instance> = I extends Instance
  ? P extends I["phase"]
    ? I
    : never
  : never;

export function isRust(instance: Instance): instance is RustInstance {
  return instance.cookie === null;
}

/** What may change of an instance. */
export type Changes = Partial<Omit<AnyInstance, "testbed" | "seq"> & { place: Place | RustPlace }>;

/** `<testbed>/<seq>`: the worker's `private`, and how people name an instance. */
export function instanceName({ testbed, seq }: { testbed: string; seq: number }): string {
  return `${testbed}/${seq}`;
}

/** The instance that a worker's `private` names; null where it names none. */
export function parseInstanceName(text: string): { testbed: string; seq: number } | null {
  const match = /^([^/]+)\/([1-9]\d{0,14})$/.exec(text);
  return match === null ? null : { testbed: match[1] ?? "", seq: Number(match[2]) };
}

/** The directory's name under the work directory: `<testbed>_<seq>`. */
export function directoryName({ testbed, seq }: { testbed: string; seq: number }): string {
  return `${testbed}_${seq}`;
}

/** What the lab has against a testbed; apart from what the operator wants of it. */
export interface Health {
  /** Failures of the lab in a row; a job that the lab did not fail sets it back to 0. */
  strikes: number;
  /** No lease for it before this. */
  retryAt: Moment;
  /** The last failure's. */
  reason: string;
}

/** What keeps jobs from a testbed: its host, its agent, its sp-runner service or its check. */
export interface Trouble {
  reason: string;
  /** Wall-clock ms. */
  sinceMs: number;
  /** How often its board was told to recover since it was last available. */
  recoveries: number;
}

/** Ms from `moment` to now; null when the machine was booted since: how long that took is not known. */
export function elapsedMs(moment: Moment, now: Moment): number | null {
  return moment.bootId === now.bootId ? now.uptimeMs - moment.uptimeMs : null;
}
