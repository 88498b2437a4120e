/**
 * A process told as events: what it prints, how it ended, and who still holds its output (lib/agent/README.md "Output
 * of processes").
 */
import type { Clock } from "../../doors/clock.ts";
import type { Child, Exit, Pipe } from "./child.ts";
import { JobOver } from "../job-calls.ts";
import { createLines } from "../events/lines.ts";

/** Resolves when the event is queued, which can take long; rejects when the job is over. */
export type Tell = (stream: string, payload: string) => Promise<void>;

/** Which event streams a process is told in. */
export interface Streams {
  stdout: string;
  stderr: string;
  exit: string;
  warning: string;
  /** Stands in its warnings: which process it is. */
  about: string;
}

export interface Narrated {
  child: Child;
  streams: Streams;
  clock: Clock;
  tell: Tell;
  /** Aborts when the job is over: the process group is ended. */
  signal: AbortSignal;
}

/** Output that waits for its newline is shown after this much quiet: a prompt, or a line of dots. */
const quietMs = 1000;
/** How long others may hold the output open once the process has ended: quietly, and after a warning. */
export const heldQuietlyMs = 5000;
const heldMs = 60_000;
/** What a process group has to end in when its job is over. */
export const overGraceMs = 5000;
/** What the real agent reports for a process without an exit code. */
const noExitCode = 2_147_483_647;

/** Resolves once the process has ended and its output is told. Rejects when the job is over, with the group ended. */
export async function narrate(narrated: Narrated): Promise<Exit> {
  const { child, signal } = narrated;
  const endings: Promise<void>[] = [];
  const end = (): void => void endings.push(child.endGroup(overGraceMs));
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  const pumps = openPumps(narrated);
  try {
    const exit = await child.exited;
    await tellEnd(exit, pumps, narrated);
    return exit;
  } finally {
    signal.removeEventListener("abort", end);
    pumps.close();
    await Promise.all(endings);
  }
}

async function tellEnd(exit: Exit, pumps: Pumps, narrated: Narrated): Promise<void> {
  const { clock, signal } = narrated;
  const isDrained = await endsWithin(pumps.drained, heldQuietlyMs, clock, signal);
  await tellExit(exit, narrated);
  if (isDrained) return;
  const warn = warner(narrated);
  await warn("stdio descriptors remain open after task exit; waiting 60 seconds for them to close");
  if (await endsWithin(pumps.drained, heldMs, clock, signal)) return;
  for (const name of pumps.open()) {
    await warn(`${name} descriptor may be held open by a background process; giving up!`);
  }
  pumps.close();
  await pumps.drained;
}

export async function tellExit(exit: Exit, narrated: Pick<Narrated, "streams" | "tell">): Promise<void> {
  if (exit.signal !== null) await warner(narrated)(`child terminated by signal ${exit.signal}`);
  const code = exit.code ?? noExitCode;
  await narrated.tell(
    narrated.streams.exit,
    `process exited: duration ${exit.durationMs} ms, exit code ${code}`,
  );
}

function warner({ streams, tell }: Pick<Narrated, "streams" | "tell">): (text: string) => Promise<void> {
  return (text) => tell(streams.warning, `exec warning: ${streams.about}: ${text}`);
}

export interface Pumps {
  /** Resolves when all output is told; rejects when it cannot be. */
  drained: Promise<unknown>;
  /** Names of the pipes that are still held open. */
  open(): string[];
  close(): void;
}

/** Tells what the process prints, line by line. */
export function openPumps({ child, streams, clock, tell }: Omit<Narrated, "signal">): Pumps {
  const pumps = [
    { name: "stdout", stream: streams.stdout, pipe: child.stdout, isOpen: true },
    { name: "stderr", stream: streams.stderr, pipe: child.stderr, isOpen: true },
  ];
  const drained = Promise.all(
    pumps.map(async (pump) => {
      await pumpLines(pump.pipe, clock, (payload) => tell(pump.stream, payload));
      pump.isOpen = false;
    }),
  );
  // A failure is the job's end: seen by whoever waits, perhaps only after the process has ended.
  drained.catch(() => undefined);
  return {
    drained,
    open: () => pumps.filter(({ isOpen }) => isOpen).map(({ name }) => name),
    close: () => {
      for (const { pipe } of pumps) pipe.close();
    },
  };
}

/** True once `work` is done, false after `ms`. Rejects as `work` does, and when the job is over: then nothing ends `work`. */
export async function endsWithin(
  work: Promise<unknown>,
  ms: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<boolean> {
  const early = new AbortController();
  const late = clock.sleep(ms, AbortSignal.any([early.signal, signal])).then(() => false);
  try {
    const isDone = await Promise.race([work.then(() => true), late]);
    if (signal.aborted) throw new JobOver();
    return isDone;
  } finally {
    early.abort();
  }
}

/** Ends with the pipe; holds no more than a part of output and a piece of a line. */
async function pumpLines(pipe: Pipe, clock: Clock, tell: (payload: string) => Promise<void>): Promise<void> {
  const lines = createLines();
  try {
    let next = pipe.read();
    for (;;) {
      if (lines.waiting > 0 && !(await comesWithin(next, quietMs, clock))) {
        for (const piece of lines.takeQuiet()) await tell(piece);
      }
      const part = await next;
      if (part === null) break;
      for (const piece of lines.push(part)) await tell(piece);
      next = pipe.read();
    }
    for (const piece of lines.end()) await tell(piece);
  } finally {
    pipe.close();
  }
}

async function comesWithin(next: Promise<unknown>, ms: number, clock: Clock): Promise<boolean> {
  const early = new AbortController();
  const late = clock.sleep(ms, early.signal).then(() => false);
  const isThere = await Promise.race([next.then(() => true), late]);
  early.abort();
  return isThere;
}
