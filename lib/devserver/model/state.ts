/** Everything that the embedded server remembers, and its indexes. It must not know HTTP. */
import type { Clock } from "../../doors/clock.ts";
import type { Random } from "../../doors/random.ts";
import { createUlids } from "../../words/ulid.ts";
import type { Metadata } from "./metadata.ts";
import type { RuleRecord } from "./output-rules.ts";

/** One moment on both clocks: wall time is for people, uptime for measuring. */
export interface ServerTime {
  wallMs: number;
  uptimeMs: number;
}

export interface TargetRecord {
  id: string;
  name: string;
  desc: string;
  redirect: string | null;
  /** The privilege that a user needs for it. */
  privilege: string | null;
}

export interface FactoryRecord {
  id: string;
  name: string;
  lastPingMs: number | null;
  isEnabled: boolean;
  /** Its new workers are held from the start. */
  holdsWorkers: boolean;
  /** Without the deleted ones, in the order of their ids. */
  workers: Map<string, WorkerRecord>;
}

export interface UserRecord {
  id: string;
  name: string;
  createdMs: number;
  privileges: Set<string>;
  /** In the order of their ids. */
  jobs: JobRecord[];
}

export interface WorkerRecord {
  id: string;
  factory: FactoryRecord;
  target: TargetRecord;
  bootstrap: string;
  created: ServerTime;
  /** What the agent chose at bootstrap; null until then. */
  token: string | null;
  private: string | null;
  ip: string | null;
  metadata: Metadata | null;
  lastPing: ServerTime | null;
  isRecycled: boolean;
  isDeleted: boolean;
  hold: { timeMs: number; reason: string } | null;
  /** The ping hides the job until the factory flushes. */
  waitsForFlush: boolean;
  /** The agent announced diagnostics after the job and has not reported on them. */
  hasDiagnostics: boolean;
  /** A worker gets one job in its life. */
  job: JobRecord | null;
  events: EventRecord[];
}

export interface EventRecord {
  seq: number;
  stream: string;
  time: string;
  time_remote: string | null;
  payload: string;
}

export interface JobEventRecord extends EventRecord {
  task: number | null;
}

export interface TaskRecord {
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

export interface OutputRecord extends StoredFile {
  path: string;
}

/** A file that is being assembled; polled until it is complete. */
export interface FileCommit {
  /** The request's arguments: the same id with other arguments is refused. */
  asked: string;
  dueUptimeMs: number;
  /** Stores the file; gives the error, or null. */
  run(): string | null;
  outcome: { error: string | null } | null;
}

export interface StoreRecord {
  value: string;
  isSecret: boolean;
  updatedMs: number;
  source: "worker" | "user";
}

export interface Dependency {
  name: string;
  prior: JobRecord;
  copyOutputs: boolean;
  onFailed: boolean;
  onCompleted: boolean;
  isSatisfied: boolean;
}

export interface JobRecord {
  id: string;
  owner: UserRecord;
  name: string;
  /** The target's name in the request, and the target that it meant then. */
  targetName: string;
  target: TargetRecord;
  outputRules: { text: string; rule: RuleRecord }[];
  tasks: TaskRecord[];
  tags: Record<string, string>;
  depends: Dependency[];
  /** By name; null until uploaded. */
  inputs: Map<string, StoredFile | null>;
  isWaiting: boolean;
  isCancelled: boolean;
  isFailed: boolean;
  isComplete: boolean;
  worker: WorkerRecord | null;
  submitted: ServerTime;
  ready: ServerTime | null;
  assigned: ServerTime | null;
  completed: ServerTime | null;
  events: JobEventRecord[];
  chunks: Map<string, Uint8Array<ArrayBuffer>>;
  commits: Map<string, FileCommit>;
  outputs: OutputRecord[];
  store: Map<string, StoreRecord>;
  /** Called after an operation that changed the job. */
  watchers: Set<() => void>;
}

export interface LeaseRecord {
  factory: FactoryRecord;
  expiresUptimeMs: number;
}

export interface Settings {
  /** A job that runs longer fails. Seconds. */
  maxRuntimeSeconds: number;
  /** How long it takes to assemble a file. */
  commitMs: number;
}

export interface State {
  settings: Settings;
  adminToken: string;
  started: ServerTime;
  now(): ServerTime;
  createId(): string;
  /** Letters and digits. */
  createToken(length: number): string;
  targets: Map<string, TargetRecord>;
  targetsByName: Map<string, TargetRecord>;
  factories: Map<string, FactoryRecord>;
  factoriesByToken: Map<string, FactoryRecord>;
  users: Map<string, UserRecord>;
  usersByToken: Map<string, UserRecord>;
  workers: Map<string, WorkerRecord>;
  workersByBootstrap: Map<string, WorkerRecord>;
  workersByToken: Map<string, WorkerRecord>;
  /** Without the deleted ones. This and the sets below are in the order of the ids. */
  activeWorkers: Set<WorkerRecord>;
  jobs: Map<string, JobRecord>;
  /** Without the complete ones. */
  activeJobs: Set<JobRecord>;
  /** The active jobs without a worker. */
  unassignedJobs: Set<JobRecord>;
  leases: Map<JobRecord, LeaseRecord>;
  /** An administrator stopped the leasing of jobs. */
  isOnHold: boolean;
  /** Functions that end the open watch streams. */
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
  const now = (): ServerTime => ({ wallMs: clock.wallMs(), uptimeMs: clock.uptimeMs() });
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
