/** What `check` learnt of a lab host and its server, not yet judged. */
import type { AgentProgram } from "../../hosts/agent-program.ts";
import type { Base } from "../../config/locations.ts";
import type { Answer } from "../../server/call.ts";
import type { Config } from "../../config/config.ts";
import type { Reading } from "../../config/reading.ts";
import type { HttpFailure, HttpReply } from "../../doors/http.ts";
import type { RunResult } from "../../doors/processes.ts";
import type { Worker } from "../../server/factory-side.ts";
import type { BoardCheck } from "../../hosts/board-check.ts";
import type { Inspected } from "../../hosts/host.ts";
import type { LocksResult, ProbeResult } from "../../hosts/minder/replies.ts";
import type { Quarantine } from "./database.ts";
import type { SeenDirectory } from "../../hosts/work-directory.ts";

/** What was seen, or why it could not be. */
export type Look<T> = { ok: true; value: T } | { ok: false; reason: string };

/** A path as this user finds it. */
export interface Place extends SeenDirectory {
  isReadable: boolean;
  isExecutable: boolean;
}

/** Something that several testbeds may name. */
export interface Named {
  /** As configured. */
  text: string;
  /** Null: it was not found. */
  place: Place | null;
  testbeds: string[];
}

export interface Facts {
  base: Base;
  config: Config;
  platform: string;
  /** Null: the system has no users. */
  uid: number | null;
  /** The files that hold the token. */
  tokenFiles: Look<Place[]>;
  ping: Look<{
    reply: HttpReply | HttpFailure;
    /** This host's clock in the middle of the exchange. */
    wallMs: number;
  }>;
  workers: Look<Answer<Worker[]>>;
  configDirectory: Look<Place>;
  databaseDirectory: Look<Place>;
  database: Look<Place>;
  /** For each testbed on another host or at an sp-runner service: whether it can be used. */
  reaches: Look<Map<string, Inspected>>;
  /** By testbed with a check of its own: what came of it, or why it was not run. */
  boardChecks: Look<Map<string, BoardCheck | { untried: string }>>;
  /** Why the content cannot be used; null: it can, or there is no database. */
  databaseTrouble: Look<string | null>;
  workDirectory: Look<Place>;
  lockDirectory: Look<Place>;
  /** Where instance directories are, or will be. */
  freeBytes: Look<number>;
  isFactoryRunning: Look<boolean>;
  /** By testbed: why it takes no jobs, as the running factory said last. Empty if none is running. */
  troubles: Look<Map<string, string>>;
  /** What the running factory has read of the configuration; null: none is running, or it did not say. */
  reading: Look<Reading | null>;
  /** By testbed. */
  quarantines: Look<Map<string, Quarantine>>;
  locks: Look<LocksResult>;
  /** Those that are missing. */
  missingPrograms: Look<{ ofJobs: string[]; ofIsolation: string[] }>;
  /** Made in a scratch directory: it says nothing about the real ones. */
  probe: Look<ProbeResult>;
  agent: Look<{ program: AgentProgram; place: Place; run: RunResult | null }>;
  /** Whether the server is reached with the environment that agents get here; null: no agent runs here. */
  agentServer: Look<RunResult | null>;
  /** The programs of the testbeds whose jobs run on this host, and their configurations. */
  runners: Look<{ programs: Named[]; configurations: Named[] }>;
}
