/**
 * The hosts that agents run on: this one, and hosts behind ssh. A running instance is found by the place that was recorded
 * at its start, never by the current configuration.
 */
import type { AgentProgram } from "./agent-program.ts";
import type { Testbed } from "../config/config.ts";
import type { Cover } from "./covered-paths.ts";
import type { Place, RustPlace, SshHost, SshPlace } from "../words/place.ts";
import type { Minder } from "./minder/minder.ts";

export interface Host {
  minder: Minder;
  agent: AgentProgram;
  /** The absolute path there that holds the instance directories. */
  workDirectory: string;
  /** Hidden from isolated jobs there, as are other instances and the host's /tmp. */
  cover: Cover;
  /** The PATH of agents, and the user that they run as. */
  path: string;
  user: { name: string; home: string };
  /** Variables of this process that agents get (agent-environment.ts); on other hosts none. */
  environment: Record<string, string>;
  /** How the host is reached; null: it is this host. */
  ssh: SshHost | null;
}

/**
 * `reason` is for people and may contain the fix. With a `host`, the host answers but cannot take a job. `is`: something else
 * than that it does not answer.
 */
export type Reached =
  | { ok: true; host: Host }
  | { ok: false; reason: string; host?: Host; is?: "in use" | "unavailable" };

/**
 * The result of an inspection that changed nothing. `remarks`: jobs can run, but may miss something. `tried`: what is good, or
 * could not be tried.
 */
export type Inspected =
  | { ok: true; remarks: string[]; tried?: string[] }
  /** `isServerSilent`: everything there is good, but the server does not answer. */
  | { ok: false; reason: string; isServerSilent?: true };

/** Minders, for one that needs only `Calls` of them. */
export interface Minders<Calls extends keyof Minder> {
  minderOf(place: Place | RustPlace): Pick<Minder, Calls>;
}

export interface Hosts {
  here: Host;
  /** The agent of testbeds with an sp-runner service: only the built-in one can use such a service. */
  builtIn: AgentProgram;
  /** The minder of the host that an instance was started on. */
  minderOf(place: Place | RustPlace): Minder;
  /** Connects to the host of a testbed behind ssh, and makes sure that an agent is there. */
  reach(testbed: Testbed): Promise<Reached>;
  /** Calls `onChange` when an instance on another host may have changed: a hint to look at it. */
  watch(place: SshPlace, cookie: string, onChange: () => void): { close(): void };
  /** Ends the connections. Agents there keep running. */
  close(): Promise<void>;
}
