/**
 * The processes that a task starts beside itself with `bmat process` (lib/agent/README.md "Background processes"). They
 * end with their task. How one of them ends is reported, but does not fail the job: the real agent's own comment says so,
 * though its code does otherwise.
 */
import type { Clock } from "../../doors/clock.ts";
import type { Child, Children } from "./child.ts";
import type { ControlReply, ProcessStart } from "../bmat/messages.ts";
import { endsWithin, heldQuietlyMs, overGraceMs, tellExit } from "./process-end.ts";
import { openPumps, type Pumps, type Streams, type Tell } from "./process-output.ts";
import { debugText, showOsError } from "../os-error.ts";

export interface BackgroundOptions {
  children: Children;
  clock: Clock;
  /** As the task's. */
  tell: Tell;
  /** Aborts when the job is over. */
  signal: AbortSignal;
  /** Whether processes run as the user who asked for them; else as the agent. */
  asCaller: boolean;
}

export interface Background {
  /** A refusal is an answer too. */
  start(request: ProcessStart): ControlReply;
  /** Ends them all, and reports what they printed. Rejects if that cannot be reported. */
  end(): Promise<void>;
}

interface Running {
  child: Child;
  pumps: Pumps;
  /** Resolves when its end has been reported, if it is to be reported. */
  told: Promise<void>;
}

const mostProcesses = 100;
/** `bg.NAME.stdout` is a stream's name: at most 64 of these characters, or the server takes none of its output. */
const longestName = 54;
const plainName = /^[A-Za-z0-9._-]*$/;
/** As the real agent's: what a process has to end in when its task has ended; and what it has left of its group then. */
const graceMs = 10_000;
const groupGraceMs = 2000;
/** For the output of one that is gone, if others hold it open. */
const lastWordsMs = 2000;

export function createBackground(options: BackgroundOptions): Background {
  const { children, clock, tell, signal, asCaller } = options;
  const names = new Set<string>();
  const running: Running[] = [];
  const ending = new AbortController();

  function begin({ name, cmd, args, env, pwd, uid, gid }: ProcessStart): void {
    const child = children.start({
      argv: [cmd, ...args],
      cwd: pwd,
      env,
      user: asCaller ? { uid, gid } : null,
    });
    const streams = {
      stdout: `bg.${name}.stdout`,
      stderr: `bg.${name}.stderr`,
      exit: `bg.${name}`,
      warning: `bg.${name}`,
      about: `background process ${debugText(name)}: `,
    };
    const pumps = openPumps({ child, streams, clock, tell });
    const told = tellItsEnd(child, pumps, streams);
    told.catch(() => undefined); // seen when they are ended
    running.push({ child, pumps, told });
  }

  /** The end of one that ended with its task is not reported. */
  async function tellItsEnd(child: Child, pumps: Pumps, streams: Streams): Promise<void> {
    const exit = await child.exited;
    if (ending.signal.aborted) return;
    const late = new AbortController();
    const held = clock.sleep(heldQuietlyMs, AbortSignal.any([late.signal, ending.signal, signal]));
    try {
      await Promise.race([pumps.drained, held]);
    } finally {
      late.abort();
    }
    await tellExit(exit, { streams, tell });
  }

  async function endOne({ child, pumps, told }: Running): Promise<void> {
    const hastened: Promise<void>[] = [];
    const hasten = (): void => void hastened.push(child.endGroup(overGraceMs));
    signal.addEventListener("abort", hasten, { once: true });
    try {
      if (signal.aborted) {
        await child.endGroup(overGraceMs);
      } else {
        // It alone at first: it may have children to end, and last words.
        child.askToEnd();
        const isEnded = await endsWithin(child.exited, graceMs, clock, signal);
        await child.endGroup(isEnded ? groupGraceMs : 0);
      }
      await endsWithin(pumps.drained, lastWordsMs, clock, signal);
      pumps.close();
      await pumps.drained;
      await told;
    } finally {
      signal.removeEventListener("abort", hasten);
      await Promise.all(hastened);
      pumps.close();
    }
  }

  return {
    start: (request) => {
      const name = debugText(request.name);
      const refuse = (why: string): ControlReply => ({
        Error: `starting background process ${name}: ${why}`,
      });
      if (ending.signal.aborted) return { Error: "no task is running" };
      if (names.has(request.name)) return { Error: `background process ${name} is already running` };
      if (request.name.length > longestName) return refuse(`a name has at most ${longestName} characters`);
      if (!plainName.test(request.name)) return refuse('a name has letters, digits, ".", "_" and "-" alone');
      if (names.size >= mostProcesses) return refuse(`a task has at most ${mostProcesses} of them`);
      try {
        begin(request);
      } catch (error) {
        return refuse(showOsError(error));
      }
      names.add(request.name);
      return "Ack";
    },
    end: async () => {
      ending.abort();
      const ended = await Promise.allSettled(running.map(endOne));
      for (const each of ended) if (each.status === "rejected") throw each.reason;
    },
  };
}
