/**
 * The minder's adapter: arms, starts, looks at and stops the one job process of an instance, through a POSIX sh
 * script (minder.sh) that lives outside the factory and outlives it. It knows nothing of the server or the store.
 *
 * No method throws if a host or process fails: the answer is then `cannot tell`, and only `dead` frees a testbed.
 */
import type { Random } from "../../doors/random.ts";
import {
  readArm,
  readGo,
  readKept,
  readLocks,
  readLook,
  readProbe,
  readRecalled,
  readStop,
  readTidy,
} from "./answer-parser.ts";
import type {
  ArmResult,
  FormerResult,
  GoResult,
  KeptResult,
  LocksResult,
  MinderView,
  ProbeResult,
  Recalled,
  RecallResult,
  StopResult,
  TailResult,
  TidyResult,
} from "./minder-answer.ts";
import { openScript } from "./script-call.ts";
import { type ArmSpec, armText, type Elevation, type GoSpec, goText } from "./specification.ts";
import type { Transport } from "./transport.ts";

export interface ProbeOptions {
  /** The agent that is not built in. */
  external?: string | undefined;
  /** The same settings as for instances. */
  isolate?: "auto" | "off";
}

export interface Minder {
  /** Tries everything that `arm` needs, and removes it again. `agents` are the programs that instances would run. */
  probe(agents?: string[], options?: ProbeOptions): Promise<ProbeResult>;
  arm(spec: ArmSpec): Promise<ArmResult>;
  go(spec: GoSpec): Promise<GoResult>;
  /**
   * One view for each directory, in order. Cheap: one process looks at all of them. `nameless`: the job's
   * name is also wanted for these, which costs processes.
   */
  look(directories: string[], nameless?: ReadonlySet<string>): Promise<MinderView[]>;
  /**
   * Ends the whole instance: TERM, `graceMs`, KILL. If its agent was never started, it also removes the directory. With
   * `cookie`, here and below, a directory of another instance is not touched. `isVouched`: an operator vouches that nothing is
   * left running. That decides what we cannot see; processes that we see alive are ended anyway.
   */
  stop(
    directory: string,
    options: { cookie?: string; graceMs: number; isVouched?: boolean },
  ): Promise<StopResult>;
  /** Ends only the agent, as `stop` does. The minder's processes stay and hold the testbed's lock. */
  quiet(directory: string, options: { cookie?: string; graceMs: number }): Promise<StopResult>;
  /** The end of the agent's log. */
  tail(directory: string, maxBytes: number): Promise<TailResult>;
  /** After `stopped`: removes secrets, sockets and the job's files; the log and small records stay. */
  tidy(directory: string, cookie?: string): Promise<TidyResult>;
  /** The directories in a work directory. */
  kept(workDirectory: string): Promise<KeptResult>;
  /** Removes an ended instance completely. */
  remove(directory: string, cookie?: string): Promise<TidyResult>;
  locks(): Promise<LocksResult>;
  /** All instance directories in a work directory that have an intent. */
  recall(workDirectory: string): Promise<RecallResult>;
  /** `look` and `stop` for agents that the Rust factory started in these directories, found by HOME and BUILDOMAT_OPT. */
  lookAtFormer(directories: string[]): Promise<MinderView[]>;
  stopFormer(directory: string): Promise<StopResult>;
  /** Directories with one of these names that have a running agent, wherever that factory made them. */
  formerDirectories(names: string[]): Promise<FormerResult>;
}

export interface MinderOptions {
  transport: Transport;
  /** Starts minders, which outlive the factory. If it is absent or fails, `transport` is used. */
  lasting?: Transport | undefined;
  random: Random;
  /** The work directory, which also holds the script as `.minder-<hash>.sh`. */
  directory: string;
  /** The lock directory, shared by all users of the host; one lock for each testbed. */
  lockDirectory: string;
  /** The shell that runs the script. */
  shell?: string;
  /** If set, the transport runs as root: agents run as root, in directories that belong to this user. */
  elevation?: Elevation;
}

export function openMinder({
  transport,
  lasting,
  random,
  directory,
  lockDirectory: locks,
  shell = "sh",
  elevation,
}: MinderOptions): Minder {
  const elevated = elevation === undefined ? "no" : "yes";
  const owner = elevation === undefined ? "" : String(elevation.uid);
  const script = openScript({ transport, lasting, random, directory, shell });

  async function end(
    verb: "stop" | "quiet",
    instanceDirectory: string,
    { cookie = "", graceMs, isVouched = false }: { cookie?: string; graceMs: number; isVouched?: boolean },
  ): Promise<StopResult> {
    const grace = String(Math.max(0, Math.round(graceMs)));
    const words = [instanceDirectory, locks, grace, cookie, isVouched ? "vouched" : ""];
    const reply = await script.call(verb, words, "", graceMs + 30_000);
    return reply.ok ? readStop(reply.lines) : { kind: "cannot tell", reason: reply.reason };
  }

  return {
    probe: async (agents = [], { external = "", isolate = "auto" } = {}) => {
      const words = [shell, directory, locks, elevated, owner, isolate, external, ...agents];
      const reply = await script.call("probe", words, "", 30_000);
      return reply.ok ? readProbe(reply.lines) : reply;
    },
    arm: async (spec) => {
      const text = armText(spec, elevation);
      if (!text.ok) return { kind: "failed", reason: text.reason };
      const reply = await script.call("arm", [shell, spec.directory, locks], text.text, 30_000, true);
      return reply.ok ? readArm(reply.lines) : { kind: "cannot tell", reason: reply.reason };
    },
    go: async (spec) => {
      const reply = await script.call("go", [spec.directory, locks], goText(spec), 20_000);
      return reply.ok ? readGo(reply.lines) : { kind: "cannot tell", reason: reply.reason };
    },
    look: async (directories, nameless) => {
      if (directories.length === 0) return [];
      const words = directories.flatMap((each) => (nameless?.has(each) === true ? ["named", each] : [each]));
      const reply = await script.call("look", [locks, ...words], "", 20_000);
      return readLook(directories, reply);
    },
    stop: async (instanceDirectory, options) => await end("stop", instanceDirectory, options),
    quiet: async (instanceDirectory, options) => await end("quiet", instanceDirectory, options),
    tail: async (instanceDirectory, maxBytes) => {
      const reply = await script.call("tail", [instanceDirectory, String(maxBytes)], "", 10_000);
      if (!reply.ok) return reply;
      if (reply.lines[0] !== "log") return { ok: false, reason: reply.lines.join(" ") };
      return { ok: true, text: reply.lines.slice(1).join("\n") };
    },
    tidy: async (instanceDirectory, cookie = "") => {
      const reply = await script.call("tidy", [instanceDirectory, cookie], "", 120_000);
      return reply.ok ? readTidy(reply.lines) : { kind: "cannot tell", reason: reply.reason };
    },
    kept: async (workDirectory) => {
      const reply = await script.call("kept", [workDirectory], "", 120_000);
      return reply.ok ? { ok: true, directories: readKept(reply.lines, workDirectory) } : reply;
    },
    remove: async (instanceDirectory, cookie = "") => {
      const reply = await script.call("remove", [instanceDirectory, cookie], "", 120_000);
      return reply.ok ? readTidy(reply.lines) : { kind: "cannot tell", reason: reply.reason };
    },
    locks: async () => {
      const reply = await script.call("locks", [locks], "", 20_000);
      return reply.ok ? { ok: true, locks: readLocks(reply.lines) } : reply;
    },
    recall: async (workDirectory) => {
      let instances: Recalled[] = [];
      for (;;) {
        const after = instances.at(-1)?.directory ?? "";
        const reply = await script.call("recall", [workDirectory, after], "", 30_000);
        if (!reply.ok) return reply;
        const last = reply.lines.at(-1);
        // The last directory of the page was removed meanwhile.
        if (last === "again") instances = [];
        else instances = [...instances, ...readRecalled(reply.lines)];
        if (last !== "again" && last !== "more") return { ok: true, instances };
      }
    },
    lookAtFormer: async (directories) => {
      if (directories.length === 0) return [];
      return readLook(directories, await script.call("look_former", directories, "", 20_000));
    },
    stopFormer: async (instanceDirectory) => {
      const reply = await script.call("stop_former", [instanceDirectory], "", 30_000);
      return reply.ok ? readStop(reply.lines) : { kind: "cannot tell", reason: reply.reason };
    },
    formerDirectories: async (names) => {
      const reply = await script.call("find_former_places", names, "", 20_000);
      if (!reply.ok) return reply;
      return { ok: true, directories: readRecalled(reply.lines).map(({ directory }) => directory) };
    },
  };
}
