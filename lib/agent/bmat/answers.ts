/**
 * The agent's answers to bmat: the job's store, the task's processes, and what the server said about the factory
 * (lib/agent/README.md "bmat").
 */
import type { Answer } from "../../server/call.ts";
import type { Ping, WorkerApi } from "../../server/worker-side.ts";
import type { Background } from "../task/background.ts";
import type { ControlReply, ControlRequest } from "./messages.ts";
import { type Caller, type JobCalls, JobOver } from "../job-calls.ts";

/** The job that runs, as far as requests need it. */
export interface JobAccess {
  jobId: string;
  api: WorkerApi;
  calls: JobCalls;
  /** Of the task that runs; null between tasks. */
  background: Background | null;
  puts: Puts;
}

/** What is to be put into the store: one at a time, in the order in which it was asked for. */
export interface Puts {
  /** Resolves when the last one has been put or given up. */
  last: Promise<unknown>;
  /** Also those whose turn has not come. */
  callers: Set<Caller>;
}

export function createPuts(): Puts {
  return { last: Promise.resolve(), callers: new Set() };
}

/** Never rejects: a refusal is an answer too. While the server is away the answer waits, and the caller is informed. */
export async function answerControl(
  request: ControlRequest,
  caller: Caller,
  { ping, job }: { ping: Ping | null; job: JobAccess | null },
): Promise<ControlReply> {
  if (request === "FactoryInfo") {
    return ping === null ? { Error: "factory info not available" } : { FactoryInfoResult: ping.factory_info };
  }
  if (job === null) return { Error: "no job is running" };
  if ("ProcessStart" in request) {
    if (job.background === null) return { Error: "no task is running" };
    return job.background.start(request.ProcessStart);
  }
  try {
    return await answerStore(request, caller, job);
  } catch (error) {
    if (error instanceof JobOver) return { Error: "the job is over" };
    throw error;
  }
}

async function answerStore(
  request: Extract<ControlRequest, { StoreGet: string } | { StorePut: unknown }>,
  caller: Caller,
  { jobId, api, calls, puts }: JobAccess,
): Promise<ControlReply> {
  if ("StoreGet" in request) {
    const name = request.StoreGet;
    const got = await calls.insist("store get", "is an answer", () => api.storeGet(jobId, name), caller);
    if (!got.ok) return { Error: got.message };
    return { StoreGetResult: got.value === null ? null : { name, ...got.value } };
  }
  const [name, value, secret] = request.StorePut;
  const put = (): Promise<Answer<void>> =>
    calls.insist("store put", "is an answer", () => api.storePut(jobId, name, value, secret), {
      signal: caller.signal,
      // Those behind it wait for the same reason.
      retrying: (why) => puts.callers.forEach((each) => each.retrying(why)),
    });
  puts.callers.add(caller);
  const turn = puts.last.then(put);
  puts.last = turn.catch(() => undefined);
  try {
    const answer = await turn;
    return answer.ok ? "Ack" : { Error: answer.message };
  } finally {
    puts.callers.delete(caller);
  }
}
