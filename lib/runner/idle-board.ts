/**
 * The proof that a board is idle, for the daemon and for the built-in agent: it was seen idle at two looks far enough apart,
 * and not otherwise in between. It knows of a job only what the service says of the board.
 */
import type { Clock } from "../doors/clock.ts";
import type { Board, SpRunnerApi } from "./sp-runner.ts";

/** A board that is idle for so long has no job of ours: between two jobs a service may show it as idle for a moment. */
export const confirmMs = 10_000;

/** So long a service may take to begin what was submitted, with nobody waiting for the answer. */
export const cutOffMs = 60_000;

/** After so long without a usable word of a job, an idle board decides. */
export const silenceMs = 3_600_000;

/**
 * Longer without a look that told of the board, and much may have happened on it. A service that hangs makes a look last a
 * minute and more.
 */
const longestGapMs = 180_000;

const idleWords = ["available", "offline", "failed-needs-recovery"];

/** Whether there is certainly some job on it, ours or not. */
export function isAtWork({ status, current_job: job }: Board): boolean {
  return status === "busy" || (job ?? "") !== "";
}

/** A board that was idle at each look in a row. */
export interface IdleSpan {
  sinceMs: number;
  seenMs: number;
}

/** After a further look at which it is idle. */
export function seenIdle(before: IdleSpan | null, nowMs: number): IdleSpan {
  const isOne = before !== null && nowMs - before.seenMs <= longestGapMs;
  return { sinceMs: isOne ? before.sinceMs : nowMs, seenMs: nowMs };
}

/** From the first look to the last. */
export function lastedMs(span: IdleSpan | null): number {
  return span === null ? 0 : span.seenMs - span.sinceMs;
}

/** The service does not answer, or does not have the board. */
type NotSeen = { is: "no answer"; message: string } | { is: "not there"; others: string[] };

/** `idle` is what this look and those before it prove. */
export type BoardLook =
  /** It proves nothing, and earlier looks stay valid. */
  | (NotSeen & { idle: IdleSpan | null })
  /** `unclear`: the service has a word for its state that is not known here. */
  | { is: "at work" | "unclear"; board: Board; idle: null }
  | { is: "idle"; board: Board; idle: IdleSpan };

/** `before` is what the looks before this one prove. An answer that is shared was asked for at `sinceMs` or later. */
export async function lookAtBoard(
  { runner, clock }: { runner: SpRunnerApi; clock: Clock },
  name: string,
  before: IdleSpan | null,
  sinceMs?: number,
): Promise<BoardLook> {
  const found = await findBoard(runner, name, sinceMs);
  if (found.is !== "found") return { ...found, idle: before };
  const { board, askedAtMs = clock.uptimeMs() } = found;
  if (isAtWork(board)) return { is: "at work", board, idle: null };
  if (!idleWords.includes(board.status)) return { is: "unclear", board, idle: null };
  return { is: "idle", board, idle: seenIdle(before, askedAtMs) };
}

async function findBoard(
  runner: SpRunnerApi,
  name: string,
  sinceMs?: number,
): Promise<{ is: "found"; board: Board; askedAtMs: number | undefined } | NotSeen> {
  const boards = await runner.boards(sinceMs);
  if (!boards.ok) return { is: "no answer", message: boards.message };
  const board = boards.value.find((each) => each.name === name);
  if (board !== undefined) return { is: "found", board, askedAtMs: boards.askedAtMs };
  return { is: "not there", others: boards.value.map((each) => each.name) };
}

/** For people, as `url` is. */
export function whyNotSeen(look: NotSeen, url: string, name: string): string {
  return look.is === "no answer"
    ? `sp-runner ${url} does not tell of its boards: ${look.message}`
    : `sp-runner ${url} has no testbed ${name}, but ${look.others.join(", ") || "none"}`;
}

/** What the service says of one board, if it is well and knows of it. `url` is for people. */
export async function askForBoard(
  runner: SpRunnerApi,
  url: string,
  name: string,
): Promise<{ ok: true; board: Board } | { ok: false; reason: string }> {
  const health = await runner.health();
  if (!health.ok)
    return {
      ok: false,
      reason: `sp-runner ${url} does not answer: ${health.message}; start it, or correct sp_runner_url`,
    };
  if (health.value.status !== "healthy" && health.value.status !== "degraded") {
    return { ok: false, reason: `sp-runner ${url} says that it is ${health.value.status}` };
  }
  const found = await findBoard(runner, name);
  if (found.is !== "found") return { ok: false, reason: whyNotSeen(found, url, name) };
  return { ok: true, board: found.board };
}
