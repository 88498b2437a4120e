/** The board that a hardware test is for, as its service tells of it, looked at again and again. */
import type { Clock } from "../../doors/clock.ts";
import {
  type IdleSpan,
  isAtWork,
  isIdle,
  lastedMs,
  seenIdle,
  type SpRunnerApi,
} from "../../runner/sp-runner.ts";
import { type JobCalls, JobOver } from "../job-calls.ts";

export interface BoardLook {
  /** The service told of its boards. */
  isAnswered: boolean;
  /** It would take a job now. */
  isFree: boolean;
  /** A job is on it for certain. */
  isAtWork: boolean;
  /** The job on it; null where there is none, or its name is not told. */
  job: string | null;
  /** So long ago it was first seen idle, and never otherwise since; null where it is not, or that cannot be told. */
  idleMs: number | null;
  /** For people. */
  state: string;
}

export interface WatchOptions {
  testbed: { testbed: string };
  runner: SpRunnerApi;
  calls: JobCalls;
  clock: Clock;
}

/** A board that is idle for so long has no job of ours. */
export const confirmMs = 10_000;
const pollMs = 1000;

/** Each call looks once. Rejects with JobOver. */
export function watchBoard(options: WatchOptions): () => Promise<BoardLook> {
  const { testbed, runner, clock } = options;
  let idle: IdleSpan | null = null;
  return async () => {
    const boards = await runner.boards();
    throwIfOver(options);
    const board = boards.ok ? boards.value.find(({ name }) => name === testbed.testbed) : undefined;
    if (board === undefined || !isIdle(board)) {
      if (board !== undefined) idle = null;
      const why = boards.ok ? "the service does not tell of it" : boards.message;
      const state = board === undefined ? why : isAtWork(board) ? "it is at work" : `it is ${board.status}`;
      return {
        isAnswered: boards.ok,
        isFree: false,
        isAtWork: board !== undefined && isAtWork(board),
        job: (board?.current_job ?? "") || null,
        idleMs: null,
        state,
      };
    }
    idle = seenIdle(idle, clock.uptimeMs());
    return {
      isAnswered: true,
      isFree: board.status === "available",
      isAtWork: false,
      job: null,
      idleMs: lastedMs(idle),
      state: `it is ${board.status}`,
    };
  };
}

/** Until the next look. Rejects with JobOver. */
export async function pause(options: Pick<WatchOptions, "calls" | "clock">): Promise<void> {
  await options.clock.sleep(pollMs, options.calls.signal);
  throwIfOver(options);
}

export function throwIfOver({ calls }: Pick<WatchOptions, "calls">): void {
  if (calls.signal.aborted) throw new JobOver();
}
