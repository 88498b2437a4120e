/** All that the development server remembers, in memory: its rows and the ways to find them. It knows no HTTP. */
import type { Clock } from "../../doors/clock.ts";
import type { Random } from "../../doors/random.ts";
import { createUlids } from "../../words/ulid.ts";
import type { Metadata } from "./metadata.ts";
import type { OutputRule } from "./output-rules.ts";

/** One moment by both clocks: the wall's is shown, the uptime's is counted with. */
export interface Moment {
  wallMs: number;
  uptimeMs: number;
}

export interface Target {
  id: string;
  name: string;
  desc: string;
  redirect: string | null;
  /** What a user must have been granted to use it. */
  privilege: string | null;
}

export interface Factory {
  id: string;
  name: string;
  lastPingMs: number | null;
  isEnabled: boolean;
  /** Its new workers are born held. */
  holdsWorkers: boolean;
  /** Not the deleted ones; in the order of their ids. */
  workers: Map<string, Worker>;
}

export interface User {
  id: string;
  name: string;
  createdMs: number;
  privileges: Set<string>;
  /** In the order of their ids. */
  jobs: Job[];
}

export interface Worker {
  id: string;
  factory: Factory;
  target: Target;
  bootstrap: string;
  created: Moment;
  /** What the agent chose at bootstrap; null until then. */
  token: string | null;
  private: string | null;
  ip: string | null;
  metadata: Metadata | null;
  lastPing: Moment | null;
  isRecycled: boolean;
  isDeleted: boolean;
  hold: { timeMs: number; reason: string } | null;
  /** The agent is not told of its job until the factory flushes. */
  waitsForFlush: boolean;
  /** The agent announced diagnostics after the job and has not reported on them. */
  hasDiagnostics: boolean;
  /** The one job of its life. */
  job: Job | null;
  events: WorkerEvent[];
}

export interface WorkerEvent {
  seq: number;
  stream: string;
  time: string;
  time_remote: string | null;
  payload: string;
}

export interface JobEvent extends WorkerEvent {
  task: number | null;
}

export interface Task {
  name: string;
  script: string;
  env_clear: boolean;
  env: Record<string, string>;
  uid: number | null;
  gid: number | null;
  workdir: string | null;
  state: "pending" | "completed" | "failed";
}

export interface StoredFile {
  id: string;
  bytes: Blob;
}

export interface JobOutput extends StoredFile {
  path: string;
}

/** A file being put together; polled until it is complete. */
export interface Commit {
  /** The arguments it was asked for with: the same id with others is refused. */
  asked: string;
  dueUptimeMs: number;
  /** Puts the file in its place, or says why it cannot. */
  run(): string | null;
  outcome: { error: string | null } | null;
}

export interface StoreValue {
  value: string;
  isSecret: boolean;
  updatedMs: number;
  source: "worker" | "user";
}

export interface Dependency {
  name: string;
  prior: Job;
  copyOutputs: boolean;
  onFailed: boolean;
  onCompleted: boolean;
  isSatisfied: boolean;
}

export interface Job {
  id: string;
  owner: User;
  name: string;
  /** The target's name as it was asked for, and what it stood for then. */
  targetName: string;
  target: Target;
  outputRules: { text: string; rule: OutputRule }[];
  tasks: Task[];
  tags: Record<string, string>;
  depends: Dependency[];
  /** By name; null until uploaded. */
  inputs: Map<string, StoredFile | null>;
  isWaiting: boolean;
  isCancelled: boolean;
  isFailed: boolean;
  isComplete: boolean;
  worker: Worker | null;
  submitted: Moment;
  ready: Moment | null;
  assigned: Moment | null;
  completed: Moment | null;
  events: JobEvent[];
  chunks: Map<string, Uint8Array<ArrayBuffer>>;
  commits: Map<string, Commit>;
  outputs: JobOutput[];
  store: Map<string, StoreValue>;
  /** Told, once an operation is over, that something of the job changed. */
  watchers: Set<() => void>;
}

export interface Lease {
  factory: Factory;
  expiresUptimeMs: number;
}

export interface Settings {
  /** A job that ran longer is failed. Seconds. */
  maxRuntimeSeconds: number;
  /** How long putting a file together takes. */
  commitMs: number;
}

export interface State {
  settings: Settings;
  adminToken: string;
  started: Moment;
  now(): Moment;
  createId(): string;
  /** Letters and digits. */
  createToken(length: number): string;
  targets: Map<string, Target>;
  targetsByName: Map<string, Target>;
  factories: Map<string, Factory>;
  factoriesByToken: Map<string, Factory>;
  users: Map<string, User>;
  usersByToken: Map<string, User>;
  workers: Map<string, Worker>;
  workersByBootstrap: Map<string, Worker>;
  workersByToken: Map<string, Worker>;
  /** Not the deleted ones. This and the sets below are in the order of the ids. */
  activeWorkers: Set<Worker>;
  jobs: Map<string, Job>;
  /** Not the complete ones. */
  activeJobs: Set<Job>;
  /** Those of them without a worker. */
  unassignedJobs: Set<Job>;
  leases: Map<Job, Lease>;
  /** An administrator stopped the leasing of jobs. */
  isOnHold: boolean;
  /** Ends of the open watch streams. */
  watches: Set<() => void>;
}

const tokenAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

export function createState(doors: {
  clock: Clock;
  random: Random;
  adminToken: string;
  settings: Settings;
}): State {
  const { clock, random } = doors;
  const now = (): Moment => ({ wallMs: clock.wallMs(), uptimeMs: clock.uptimeMs() });
  return {
    settings: doors.settings,
    adminToken: doors.adminToken,
    started: now(),
    now,
    createId: createUlids({ clock, random }),
    createToken: (length) =>
      Array.from(random.bytes(length), (byte) => tokenAlphabet[byte % tokenAlphabet.length]).join(""),
    targets: new Map(),
    targetsByName: new Map(),
    factories: new Map(),
    factoriesByToken: new Map(),
    users: new Map(),
    usersByToken: new Map(),
    workers: new Map(),
    workersByBootstrap: new Map(),
    workersByToken: new Map(),
    activeWorkers: new Set(),
    jobs: new Map(),
    activeJobs: new Set(),
    unassignedJobs: new Set(),
    leases: new Map(),
    isOnHold: false,
    watches: new Set(),
  };
}
