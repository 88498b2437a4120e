/**
 * A job that the service has taken, followed until its true end. What the service cannot say is asked again; that the job
 * is lost is believed only when the board says so too.
 */
import type { Answer } from "../../server/call.ts";
import { type BoardLook, confirmMs, silenceMs } from "../../runner/idle-board.ts";
import {
  isActive,
  isOthers,
  isTerminal,
  type RunnerResult,
  type RunnerStatus,
} from "../../runner/sp-runner.ts";
import { idleMs, jobOn, pause, throwIfOver, watchBoard, type WatchOptions } from "./board-watch.ts";

export interface FollowOptions extends WatchOptions {
  tell(stream: string, payload: string): Promise<void>;
}

export type JobEnd =
  | { is: "told"; result: RunnerResult }
  /** The lab failed it: whatever its result says, it has not passed. */
  | { is: "broken"; why: string; result: RunnerResult | null }
  /** Its end was not seen. `isOver`: the board has nothing of it any more. */
  | { is: "lost"; why: string; isOver: boolean };

const longestProgress = 4000;
const longestWord = 200;
/** A job that the lab failed may have no result. */
const brokenTries = 3;

export async function followJob(options: FollowOptions, job: string): Promise<JobEnd> {
  const { runner, tell } = options;
  let told: string | null = null;
  let doubted: string | null = null;
  let doubt: Doubt | null = null;
  for (;;) {
    const answer = await runner.status(job);
    throwIfOver(options);
    const trouble = troubleOf(answer, options);
    if (trouble === null && answer.ok) {
      doubt = null;
      const { status, error } = answer.value;
      const progress = (answer.value.progress ?? "").slice(0, longestProgress).toWellFormed();
      if (progress !== "" && progress !== told) await tell("stdout", progress);
      told = progress;
      if (status === "completed") return await fetchResult(options, job);
      if (status === "failed") return await fetchBroken(options, job, error ?? null);
    } else {
      // A trouble that comes and goes is reported once.
      if (trouble !== doubted) await tell("worker", `sp-runner: ${trouble}; asked again`);
      doubted = trouble;
      doubt ??= openDoubt(options, job);
      const isUnknown = !answer.ok && answer.refusal !== "no answer";
      const end = await doubt({
        isUnknown,
        isOthers: answer.ok && isOthers(answer.value, options.testbed.testbed),
      });
      if (end !== null) return end;
    }
    await pause(options);
  }
}

/** Why an answer does not tell the job's state; null if it does. */
function troubleOf(answer: Answer<RunnerStatus>, options: FollowOptions): string | null {
  if (!answer.ok) return saidBy(answer);
  const { status, testbed: board } = answer.value;
  if (isOthers(answer.value, options.testbed.testbed))
    return `it tells of a job on ${board?.slice(0, longestWord)}`;
  const isKnown = isTerminal(answer.value) || isActive(answer.value);
  return isKnown ? null : `it says that the job is ${status.slice(0, longestWord)}`;
}

/** The text of a refusal or a lost answer, with its status if it has one. */
export function saidBy({ message, status }: Extract<Answer<unknown>, { ok: false }>): string {
  const text = message.replace(/\.$/, "");
  return status === null || text.includes(String(status)) ? text : `${text} (status ${status})`;
}

/** One look at the board for each round without a usable word; non-null when the job is over. */
type Doubt = (said: {
  /** The service does not know the job. One odd answer does not hide it. */
  isUnknown: boolean;
  /** The service means another board's job of this name. */
  isOthers: boolean;
}) => Promise<JobEnd | null>;

function openDoubt(options: FollowOptions, job: string): Doubt {
  const look = watchBoard(options);
  let absentSinceMs: number | null = null;
  const isAbsent = (board: BoardLook): boolean =>
    board.is === "idle" || (jobOn(board) !== null && jobOn(board) !== job);
  return async ({ isUnknown, isOthers: isAnothers }) => {
    const board = await look();
    const nowMs = options.clock.uptimeMs();
    const isGone = isUnknown && isAbsent(board);
    // An answer that was lost says nothing of it.
    if (isGone) absentSinceMs ??= nowMs;
    else if (board.is === "at work" && !isAbsent(board)) absentSinceMs = null;
    const idleForMs = idleMs(board);
    if (isGone && absentSinceMs !== null && nowMs - absentSinceMs >= confirmMs) {
      const what = jobOn(board) === null ? "its board is idle" : "its board works on another one";
      const why = `sp-runner does not know the job any more, and ${what}`;
      return { is: "lost", why, isOver: idleForMs >= confirmMs };
    }
    if (idleForMs >= confirmMs && !isAnothers) {
      // It has a result only of a job that is over, whatever word the service has for that.
      const answer = await options.runner.result(job);
      throwIfOver(options);
      if (answer.ok) return { is: "told", result: answer.value };
    }
    if (idleForMs <= silenceMs) return null;
    return { is: "lost", why: "sp-runner told nothing of the job while its board was idle", isOver: true };
  };
}

async function fetchResult(options: FollowOptions, job: string): Promise<JobEnd> {
  let doubt: Doubt | null = null;
  for (;;) {
    const answer = await options.runner.result(job);
    throwIfOver(options);
    if (answer.ok) return { is: "told", result: answer.value };
    if (doubt === null)
      await options.tell("worker", `sp-runner: no result yet: ${saidBy(answer)}; asked again`);
    doubt ??= openDoubt(options, job);
    // A conflict is how a service says "not yet".
    const isUnknown = answer.refusal !== "no answer" && answer.refusal !== "conflict";
    const end = await doubt({ isUnknown, isOthers: false });
    if (end !== null) return end;
    await pause(options);
  }
}

async function fetchBroken(options: FollowOptions, job: string, error: string | null): Promise<JobEnd> {
  for (let tries = 1; ; tries += 1) {
    const answer = await options.runner.result(job);
    throwIfOver(options);
    const result = answer.ok ? answer.value : null;
    const why = `the lab failed it: ${(error ?? result?.error ?? "no reason is given").slice(0, longestProgress)}`;
    if (answer.ok || tries === brokenTries) return { is: "broken", why, result };
    await pause(options);
  }
}
