/** The board that a hardware test is for, looked at again and again; what the looks prove is lib/runner/idle-board.ts's. */
import type { Clock } from "../../doors/clock.ts";
import { type BoardLook, type IdleSpan, lastedMs, lookAtBoard } from "../../runner/idle-board.ts";
import type { SpRunnerApi } from "../../runner/sp-runner.ts";
import { type JobCalls, JobOver } from "../job-calls.ts";

export interface WatchOptions {
  testbed: { testbed: string };
  runner: SpRunnerApi;
  calls: JobCalls;
  clock: Clock;
}

const pollMs = 1000;

/** Each call looks once. Rejects with JobOver. */
export function watchBoard(options: WatchOptions): () => Promise<BoardLook> {
  let idle: IdleSpan | null = null;
  return async () => {
    const look = await lookAtBoard(options, options.testbed.testbed, idle);
    throwIfOver(options);
    idle = look.idle;
    return look;
  };
}

/** How long it has been seen idle without a break; 0 if it is not idle, or unknown. */
export function idleMs(look: BoardLook): number {
  return look.is === "idle" ? lastedMs(look.idle) : 0;
}

/** The job on it; null if there is none, or its name is unknown. */
export function jobOn(look: BoardLook): string | null {
  return look.is === "at work" ? look.board.current_job || null : null;
}

/** For people. */
export function stateOf(look: BoardLook): string {
  switch (look.is) {
    case "no answer":
      return look.message;
    case "not there":
      return "the service does not tell of it";
    case "at work":
      return "it is at work";
    case "idle":
    case "unclear":
      return `it is ${look.board.status}`;
  }
}

/** Until the next look. Rejects with JobOver. */
export async function pause(options: Pick<WatchOptions, "calls" | "clock">): Promise<void> {
  await options.clock.sleep(pollMs, options.calls.signal);
  throwIfOver(options);
}

export function throwIfOver({ calls }: Pick<WatchOptions, "calls">): void {
  if (calls.signal.aborted) throw new JobOver();
}
