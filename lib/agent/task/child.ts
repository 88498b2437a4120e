/**
 * A job's process: the only file of the agent that starts and signals one. It knows no script and no server.
 *
 * Its output goes through pipes. The runtime's own are sockets, and a job that writes to /dev/stdout or runs
 * `tee /dev/stderr` would be refused (ENXIO, observed with Bun 1.4.5).
 */
/* oxlint-disable no-restricted-properties -- SIGCHLD tells that a job's process may have ended */
import { closeSync } from "node:fs";
import type { Clock } from "../../doors/clock.ts";
import { endProcessGroup } from "./process-group.ts";
import { type LaunchOptions, type Launched, type Launcher, openLauncher } from "./launch.ts";

export interface Exit {
  /** Null if a signal ended it. */
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

export interface Children {
  /** Makes ready to start processes, which takes some milliseconds; else the first start does. */
  prepare(): void;
  /** Whether what is started knows the locale. */
  hasLocale(name: string): boolean;
  /** Throws the operating system's error when it cannot be started. */
  start(options: LaunchOptions): Child;
  /** Frees what starts need. No process may be running. */
  close(): void;
}

/** `directory` is the agent's own. */
export function openChildren({ clock, directory }: { clock: Clock; directory: string }): Children {
  let launcher: Launcher | null = null;
  /** Of each process that runs: looks whether it has ended. */
  const looks = new Map<number, () => void>();
  const lookAtAll = (): void => looks.forEach((look) => look());

  const prepare = (): Launcher => {
    if (launcher === null) {
      launcher = openLauncher(directory);
      process.on("SIGCHLD", lookAtAll);
    }
    return launcher;
  };

  return {
    prepare,
    hasLocale: (name) => prepare().hasLocale(name),
    start: (options) => {
      const { launch, reap } = prepare();
      const measureMs = startMeasure(clock);
      const launched = launch(options);
      const { promise: exited, resolve } = Promise.withResolvers<Exit>();
      const look = (): void => {
        const end = reap(launched.pid);
        if (end === null) return;
        looks.delete(launched.pid);
        resolve({ ...end, durationMs: measureMs() });
      };
      looks.set(launched.pid, look);
      // Its end may have come before anyone looked.
      look();
      return openChild(launched, { exited, isRunning: () => looks.get(launched.pid) === look, clock });
    },
    close: () => {
      process.off("SIGCHLD", lookAtAll);
      launcher?.close();
      launcher = null;
    },
  };
}

function openChild(
  { pid, ...ends }: Launched,
  { exited, isRunning, clock }: { exited: Promise<Exit>; isRunning: () => boolean; clock: Clock },
): Child {
  const stdout = openPipe(ends.stdout);
  const stderr = openPipe(ends.stderr);
  return {
    stdout,
    stderr,
    exited,
    askToEnd: () => {
      if (isRunning()) process.kill(pid, "SIGTERM");
    },
    endGroup: async (graceMs) => {
      // Once the process is gone and nobody writes for it, its group's number may be another's.
      const isOurs = isRunning() || !stdout.isClosed() || !stderr.isClosed();
      if (isOurs) await endProcessGroup(pid, graceMs, clock);
    },
  };
}

/** Uptime goes in steps of 10 ms: the wall clock is more precise, unless it was set meanwhile. */
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

function openPipe(fd: number): Pipe & { isClosed(): boolean } {
  const reader = Bun.file(fd).stream().getReader();
  let isClosed = false;
  const close = (): void => {
    if (isClosed) return;
    isClosed = true;
    void reader.cancel().catch(() => undefined);
    // The stream has a duplicate of its own (observed).
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
