/**
 * A job's process: the only file of the agent that starts and signals one. It knows no script and no server.
 *
 * Its output goes through named pipes that lose their names at once. The runtime's own pipes are sockets, and a job that
 * writes to /dev/stdout or runs `tee /dev/stderr` would be refused (ENXIO, observed with Bun 1.4.5).
 */
import { closeSync, constants, openSync, unlinkSync } from "node:fs";
import { constants as system } from "node:os";
import type { Clock } from "../doors/clock.ts";

export interface Exit {
  /** Null where a signal ended it. */
  code: number | null;
  signal: number | null;
  durationMs: number;
}

/** The reading end of a pipe. Reads nothing ahead of its caller but one part, so that a slow caller stalls the writer. */
export interface Pipe {
  /** The next part; null at the end, when nobody holds the other end any more, and after `close`. */
  read(): Promise<Uint8Array | null>;
  close(): void;
}

export interface Child {
  stdout: Pipe;
  stderr: Pipe;
  exited: Promise<Exit>;
  /** Asks the process alone to end: TERM. */
  askToEnd(): void;
  /** Ends the process and its group: TERM, and KILL after the grace. Resolves when nobody of the group is left. */
  endGroup(graceMs: number): Promise<void>;
}

/** Whom a process runs as, with no further groups. */
export interface User {
  uid: number;
  gid: number;
}

export interface ChildOptions {
  argv: string[];
  cwd: string;
  /** All of it: nothing is inherited. */
  env: Record<string, string>;
  /** Null: as this process. */
  user: User | null;
  /** An open file that the process has as its descriptor 3. */
  descriptor?: number;
}

export interface Children {
  /** Makes the pipes of the next process ahead of time: that takes 2 ms. */
  prepare(): void;
  /** Rejects with the operating system's error when it cannot be started. */
  start(options: ChildOptions): Promise<Child>;
  /** Frees what was made ahead. */
  close(): Promise<void>;
}

const lookMs = 20;
/** After KILL: only a process in the kernel's hands, or one that its parent has not collected, can still be there. */
const giveUpAfterMs = 1000;

interface PipeEnds {
  read: number;
  write: number;
}

/** `directory` is where the pipes have their names for a moment. */
export function openChildren({ clock, directory }: { clock: Clock; directory: string }): Children {
  let count = 0;
  let ahead: Promise<[PipeEnds, PipeEnds]> | null = null;

  async function makePipes(): Promise<[PipeEnds, PipeEnds]> {
    count += 1;
    const paths = [`${directory}/out-${count}`, `${directory}/err-${count}`] as const;
    const maker = Bun.spawn(["mkfifo", "-m", "600", ...paths], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { PATH: "/usr/bin:/bin", LC_ALL: "C" },
    });
    const [said, code] = await Promise.all([new Response(maker.stderr).text(), maker.exited]);
    if (code !== 0) throw new Error(`cannot make a pipe: ${said.trim().slice(0, 500)}`);
    return [openEnds(paths[0]), openEnds(paths[1])];
  }

  function prepare(): void {
    ahead ??= makePipes();
    ahead.catch(() => undefined); // told to whoever starts the process
  }

  async function takePipes(): Promise<[PipeEnds, PipeEnds]> {
    prepare();
    const pipes = ahead as Promise<[PipeEnds, PipeEnds]>;
    ahead = null;
    return pipes;
  }

  return {
    prepare,
    start: async (options) => {
      const [out, err] = await takePipes();
      try {
        return startChild({ ...options, out, err, clock });
      } catch (error) {
        closeSync(out.read);
        closeSync(err.read);
        throw error;
      } finally {
        closeSync(out.write);
        closeSync(err.write);
      }
    },
    close: async () => {
      const pipes = await ahead?.catch(() => null);
      ahead = null;
      for (const ends of pipes ?? []) for (const fd of [ends.read, ends.write]) closeSync(fd);
    },
  };
}

function openEnds(path: string): PipeEnds {
  // In this order neither open waits: the reader need not, and then the writer has a reader.
  const read = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const write = openSync(path, constants.O_WRONLY);
  unlinkSync(path);
  return { read, write };
}

function startChild(options: ChildOptions & { out: PipeEnds; err: PipeEnds; clock: Clock }): Child {
  const { argv, cwd, env, user, descriptor, out, err, clock } = options;
  const measureMs = startMeasure(clock);
  const child = Bun.spawn(argv, {
    cwd,
    env,
    ...user,
    stdio: ["ignore", out.write, err.write, ...(descriptor === undefined ? [] : [descriptor])],
    // A session and group of its own: the whole group can be ended, and nobody else with it.
    detached: true,
  });
  let hasExited = false;
  const exited = child.exited.then(() => {
    hasExited = true;
    const signal = child.signalCode === null ? null : system.signals[child.signalCode as NodeJS.Signals];
    return { code: child.exitCode, signal, durationMs: measureMs() };
  });
  const stdout = openPipe(out.read);
  const stderr = openPipe(err.read);
  return {
    stdout,
    stderr,
    exited,
    askToEnd: () => {
      if (!hasExited) child.kill("SIGTERM");
    },
    endGroup: async (graceMs) => {
      // Once the process is gone and nobody writes for it, its group's number may be another's.
      const isOurs = (): boolean => !hasExited || !stdout.isClosed() || !stderr.isClosed();
      if (!isOurs()) return;
      const isGone = async (withinMs: number): Promise<boolean> => {
        for (let waited = 0; waited < withinMs; waited += lookMs) {
          if (!signalGroup(child.pid, 0)) return true;
          await clock.sleep(lookMs);
        }
        return !signalGroup(child.pid, 0);
      };
      signalGroup(child.pid, "SIGTERM");
      if (await isGone(graceMs)) return;
      signalGroup(child.pid, "SIGKILL");
      await isGone(giveUpAfterMs);
    },
  };
}

/** Uptime goes in steps of 10 ms: the wall clock tells more, where it has not been set meanwhile. */
function startMeasure(clock: Clock): () => number {
  const uptimeStep = 10;
  const wall = clock.wallMs();
  const uptime = clock.uptimeMs();
  return () => {
    const byWall = clock.wallMs() - wall;
    const byUptime = clock.uptimeMs() - uptime;
    return Math.abs(byWall - byUptime) <= uptimeStep ? Math.max(byWall, 0) : byUptime;
  };
}

/** False where the group has no member. */
function signalGroup(pid: number, signal: "SIGTERM" | "SIGKILL" | 0): boolean {
  try {
    process.kill(-pid, signal);
    return true;
  } catch (error) {
    // EPERM: there, and another user's. Nobody who waits for its end is told that it came.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

function openPipe(fd: number): Pipe & { isClosed(): boolean } {
  const reader = Bun.file(fd).stream().getReader();
  let isClosed = false;
  const close = (): void => {
    if (isClosed) return;
    isClosed = true;
    void reader.cancel().catch(() => undefined);
    // The stream does not own the descriptor (observed).
    closeSync(fd);
  };
  return {
    read: async () => {
      if (isClosed) return null;
      const { done, value } = await reader.read();
      if (!done) return value;
      close();
      return null;
    },
    close,
    isClosed: () => isClosed,
  };
}
