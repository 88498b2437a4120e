/** What a job's process prints, as events (lib/agent/README.md "Output of processes"). How it ends is process-end.ts's part. */
import type { Clock } from "../../doors/clock.ts";
import type { Child, Pipe } from "./child.ts";
import { createLines } from "../events/lines.ts";

/** Resolves when the event is queued, which can take long; rejects when the job is over. */
export type Tell = (stream: string, payload: string) => Promise<void>;

/** The event streams of a process. */
export interface Streams {
  stdout: string;
  stderr: string;
  exit: string;
  warning: string;
  /** Stands in its warnings: which process it is. */
  about: string;
}

export interface Printed {
  child: Child;
  streams: Streams;
  clock: Clock;
  tell: Tell;
}

/** Output that waits for its newline is shown after this much quiet: a prompt, or a line of dots. */
const quietMs = 1000;

export interface Pumps {
  /** Resolves when all output is reported; rejects if it cannot be. */
  drained: Promise<unknown>;
  /** Names of the pipes that are still held open. */
  open(): string[];
  close(): void;
}

/** Tells what the process prints, line by line. */
export function openPumps({ child, streams, clock, tell }: Printed): Pumps {
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
  // A failure is the job's end. It is seen when somebody awaits this, perhaps only after the process has ended.
  drained.catch(() => undefined);
  return {
    drained,
    open: () => pumps.filter(({ isOpen }) => isOpen).map(({ name }) => name),
    close: () => {
      for (const { pipe } of pumps) pipe.close();
    },
  };
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
