/** What `check` learnt of a lab host and its server, not yet judged. */
import type { AgentProgram } from "../../hosts/agent-program.ts";
import type { Base } from "../../config/locations.ts";
import type { Answer } from "../../server/call.ts";
import type { Config } from "../../config/config.ts";
import type { ConfigSummary } from "../../config/summary.ts";
import type { HttpFailure, HttpReply } from "../../doors/http.ts";
import type { RunResult } from "../../doors/processes.ts";
import type { Worker } from "../../server/factory-side.ts";
import type { BoardCheck } from "../../hosts/board-check.ts";
import type { Inspected } from "../../hosts/host.ts";
import type { LocksResult, ProbeResult } from "../../hosts/minder/minder-answer.ts";
import type { Quarantine } from "./database.ts";
import type { SeenDirectory } from "../../hosts/work-directory.ts";
import type { Snapshot } from "../../status/snapshot.ts";

/** What was seen, or why it could not be. */
export type Seen<T> = { ok: true; value: T } | { ok: false; reason: string };

/** A path as this user finds it. */
export interface SeenPath extends SeenDirectory {
  isReadable: boolean;
  isExecutable: boolean;
}

/** Something that several testbeds may name. */
export interface Named {
  /** As configured. */
  text: string;
  /** Null: it was not found. */
  place: SeenPath | null;
  testbeds: string[];
}

export interface Facts {
  base: Base;
  config: Config;
  platform: string;
  /** Null: the system has no users. */
  uid: number | null;
  /** The files that hold the token. */
  tokenFiles: Seen<SeenPath[]>;
  ping: Seen<{
    reply: HttpReply | HttpFailure;
    /** This host's clock in the middle of the exchange. */
    wallMs: number;
  }>;
  workers: Seen<Answer<Worker[]>>;
  configDirectory: Seen<SeenPath>;
  databaseDirectory: Seen<SeenPath>;
  database: Seen<SeenPath>;
  /** For each testbed on another host or at an sp-runner service: whether it can be used. */
  reaches: Seen<Map<string, Inspected>>;
  /** By testbed with a check of its own: what came of it, or why it was not run. */
  boardChecks: Seen<Map<string, BoardCheck | { untried: string }>>;
  /** Why the content cannot be used; null: it can, or there is no database. */
  databaseTrouble: Seen<string | null>;
  workDirectory: Seen<SeenPath>;
  lockDirectory: Seen<SeenPath>;
  /** Where instance directories are, or will be. */
  freeBytes: Seen<number>;
  isFactoryRunning: Seen<boolean>;
  /** What the running factory knows; null: none is running, or it does not say, for example an older version. */
  live: Seen<Snapshot | null>;
  /** By testbed: why it takes no jobs, as the running factory said last. Empty if none is running. */
  troubles: Seen<Map<string, string>>;
  /** What the running factory has read of the configuration; null: none is running, or it did not say. */
  runningConfig: Seen<ConfigSummary | null>;
  /** By testbed. */
  quarantines: Seen<Map<string, Quarantine>>;
  locks: Seen<LocksResult>;
  /** Those that are missing. */
  missingPrograms: Seen<{ ofJobs: string[]; ofIsolation: string[] }>;
  /** Made in a scratch directory: it says nothing about the real ones. */
  probe: Seen<ProbeResult>;
  agent: Seen<{ program: AgentProgram; place: SeenPath; run: RunResult | null }>;
  /** Whether the server is reached with the environment that agents get here; null: no agent runs here. */
  agentServer: Seen<RunResult | null>;
  /** The programs of the testbeds whose jobs run on this host, and their configurations. */
  /** `searchPath`: the PATH of jobs on this host. */
  runners: Seen<{ searchPath: string; programs: Named[]; configurations: Named[] }>;
}
