/** What `check` learnt of a lab host and its server, before anything is made of it. It knows no verdict. */
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

/** Something that several testbeds may name in the same way. */
export interface Named {
  /** As configured. */
  text: string;
  /** Null: it is nowhere. */
  place: Place | null;
  testbeds: string[];
}

export interface Facts {
  base: Base;
  config: Config;
  platform: string;
  /** Null where the system has none. */
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
  /** By testbed on another host or at an sp-runner service: whether that can be used. */
  reaches: Look<Map<string, Inspected>>;
  /** By testbed with a check of its own: what came of it, or why it was not run. */
  boardChecks: Look<Map<string, BoardCheck | { untried: string }>>;
  /** Why its content cannot be used; null: it can, or there is none. */
  databaseTrouble: Look<string | null>;
  workDirectory: Look<Place>;
  lockDirectory: Look<Place>;
  /** Where instance directories are, or will be. */
  freeBytes: Look<number>;
  isFactoryRunning: Look<boolean>;
  /** By testbed: what the factory that is running said last keeps jobs from it. Empty where none is. */
  troubles: Look<Map<string, string>>;
  /** What the factory that is running has read of the configuration; null: none is, or it did not say. */
  reading: Look<Reading | null>;
  /** By testbed. */
  quarantines: Look<Map<string, Quarantine>>;
  locks: Look<LocksResult>;
  /** Those that are not there. */
  missingPrograms: Look<{ ofJobs: string[]; ofIsolation: string[] }>;
  /** In a directory of its own: of the real ones it says nothing. */
  probe: Look<ProbeResult>;
  agent: Look<{ program: AgentProgram; place: Place; run: RunResult | null }>;
  /** Whether the server is reached with the environment that agents have here; null: no agent runs here. */
  agentServer: Look<RunResult | null>;
  /** The programs of the testbeds whose jobs run on this host, and their configurations. */
  runners: Look<{ programs: Named[]; configurations: Named[] }>;
}
