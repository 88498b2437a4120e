/**
 * The hosts that agents run on: this one, and those behind ssh. What runs is found again by the place that was recorded
 * when it was begun, never by today's configuration.
 */
import type { AgentProgram } from "./agent-program.ts";
import type { Testbed } from "../config/config.ts";
import type { Cover } from "./covered-paths.ts";
import type { Place, RustPlace, SshHost, SshPlace } from "../words/domain.ts";
import type { Minder } from "./minder/minder.ts";

export interface Host {
  minder: Minder;
  agent: AgentProgram;
  /** Absolute, there; instance directories are made in it. */
  workDirectory: string;
  /** What isolated jobs there do not see, besides other instances and the host's /tmp. */
  cover: Cover;
  /** What agents get as PATH, and the user that they run as. */
  path: string;
  user: { name: string; home: string };
  /** What agents get of this process's environment (agent-environment.ts); on other hosts nothing. */
  environment: Record<string, string>;
  /** How it is reached; null: it is this one. */
  ssh: SshHost | null;
}

/** `reason` is for people, and may name what an operator must do. With a `host` it answers, but can take no job. */
export type Reached = { ok: true; host: Host } | { ok: false; reason: string; host?: Host };

/**
 * What a look found that changed nothing; `remarks` are on what jobs may miss there, though they can be run; `tried` is on
 * what was found good, or could not be tried.
 */
export type Inspected =
  | { ok: true; remarks: string[]; tried?: string[] }
  /** `isServerSilent`: all else is good there, but the server does not answer. */
  | { ok: false; reason: string; isServerSilent?: true };

/** Minders, for one that needs only `Calls` of them. */
export interface Minders<Calls extends keyof Minder> {
  minderOf(place: Place | RustPlace): Pick<Minder, Calls>;
}

export interface Hosts {
  here: Host;
  /** The agent of testbeds with an sp-runner service: no other one knows how to ask it. */
  builtIn: AgentProgram;
  /** Of the host that an instance was begun on. */
  minderOf(place: Place | RustPlace): Minder;
  /** Connects to the host of a testbed that is not on this one, and sees to it that an agent is there. */
  reach(testbed: Testbed): Promise<Reached>;
  /** Calls `onChange` when something of an instance on another host may have changed: a hint to look at it. */
  watch(place: SshPlace, cookie: string, onChange: () => void): { close(): void };
  /** Ends the connections. What runs there runs on. */
  close(): Promise<void>;
}
