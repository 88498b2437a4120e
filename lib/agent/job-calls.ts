/**
 * Calls of a job that must succeed: each is repeated every second until the server has answered it. It decides which
 * answers end the job instead; what is called is others' knowledge.
 */
import type { Answer, Refusal } from "../server/call.ts";
import type { Clock } from "../doors/clock.ts";
import type { Http } from "../doors/http.ts";
import type { Log } from "../words/logger.ts";

/** The job is no longer this agent's to play: cancelled, recycled, deleted, or the agent was told to stop. */
export class JobOver extends Error {
  override name = "JobOver";
}

/** What a 409 says: the job is over, it will pass, or it is an answer for the caller. */
export type Conflict = "ends the job" | "passes" | "is an answer";

type NextStep = "retry" | "doubt" | "job over" | "answer";

/**
 * A call that is refused with one of these would be refused again. Another 4xx, for example 404, comes from a proxy on the way:
 * these calls exist.
 */
const finalStatuses: (number | null)[] = [400, 413, 422];

const steps: Record<Refusal, Record<Conflict, NextStep>> = {
  "no answer": { "ends the job": "retry", passes: "retry", "is an answer": "retry" },
  // A deleted worker, or a server under repair: the ping decides, because it is asked twice.
  unauthorised: { "ends the job": "doubt", passes: "doubt", "is an answer": "doubt" },
  // `not your job`: it never becomes ours again.
  forbidden: { "ends the job": "job over", passes: "job over", "is an answer": "job over" },
  conflict: { "ends the job": "job over", passes: "retry", "is an answer": "answer" },
  rejected: { "ends the job": "answer", passes: "answer", "is an answer": "answer" },
};

export interface JobCalls {
  /** Aborts when the job is over. */
  signal: AbortSignal;
  /** Ends the job for this agent; the first reason is logged. */
  end(reason: string): void;
  /** Repeats the call until it succeeds or is refused for good. Throws JobOver once the job is over. */
  insist<T>(
    what: string,
    conflict: Conflict,
    call: () => Promise<Answer<T>>,
    caller?: Caller,
  ): Promise<Answer<T>>;
}

/** The other program that waits for a call. */
export interface Caller {
  /** Aborts when it has gone: the call is not made again. */
  signal: AbortSignal;
  /** The call failed for now, and is made again. */
  retrying(why: string): void;
}

const goneCaller: Answer<never> = {
  ok: false,
  refusal: "no answer",
  status: null,
  message: "its caller has gone",
};

export const retryMs = 1000;

/** `doubt` is called when a call says 401: a ping should be made now. */
export function createJobCalls({
  clock,
  log,
  doubt,
}: {
  clock: Clock;
  log: Log;
  doubt: () => void;
}): JobCalls {
  const controller = new AbortController();
  const { signal } = controller;
  const end = (reason: string): void => {
    if (signal.aborted) return;
    log.warn(`the job is over for this agent: ${reason}`);
    controller.abort();
  };
  return {
    signal,
    end,
    insist: async (what, conflict, call, caller) => {
      let hasFailed = false;
      const awake = caller === undefined ? signal : AbortSignal.any([signal, caller.signal]);
      for (;;) {
        if (signal.aborted) throw new JobOver();
        if (caller?.signal.aborted === true) return goneCaller;
        const answer = await call();
        if (signal.aborted) throw new JobOver();
        if (answer.ok) {
          if (hasFailed) log.info(`${what}: the server answers again`);
          return answer;
        }
        let step = steps[answer.refusal][conflict];
        if (answer.refusal === "rejected" && !finalStatuses.includes(answer.status)) step = "retry";
        if (step === "answer") return answer;
        if (step === "job over") end(`${what}: ${answer.message}`);
        if (step === "doubt") doubt();
        if (step !== "job over" && !hasFailed)
          log.warn(`${what}: ${answer.message}; tried again each second`);
        hasFailed = true;
        caller?.retrying(answer.message);
        await clock.sleep(retryMs, awake);
      }
    },
  };
}

/** A network whose exchanges all end when `signal` aborts. */
export function boundHttp(http: Http, signal: AbortSignal): Http {
  const bind = <R extends { signal?: AbortSignal }>(request: R): R => ({
    ...request,
    signal: request.signal === undefined ? signal : AbortSignal.any([signal, request.signal]),
  });
  return {
    request: (request) => http.request(bind(request)),
    download: (request) => http.download(bind(request)),
  };
}
