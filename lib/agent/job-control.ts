/** What bmat is told: the job's store, the task's processes, and what the server said of the factory (protocol/agent.md §8). */
import type { Ping, WorkerApi } from "../worker-api.ts";
import type { Background } from "./background.ts";
import { addressesSchema, type ControlReply, type ControlRequest } from "./frames.ts";
import { type JobCalls, JobOver } from "./job-calls.ts";

/** The job that runs, as far as requests need it. */
export interface JobAccess {
  jobId: string;
  api: WorkerApi;
  calls: JobCalls;
  /** Of the task that runs; null between tasks. */
  background: Background | null;
}

/** Never rejects: what cannot be done is an answer too. While the server is away the answer waits. */
export async function answerControl(
  request: ControlRequest,
  { ping, job }: { ping: Ping | null; job: JobAccess | null },
): Promise<ControlReply> {
  if (request === "MetadataAddresses") {
    const addresses = addressesSchema.safeParse(ping?.factory_metadata?.["addresses"] ?? []);
    return { MetadataAddressesResult: addresses.success ? addresses.data : [] };
  }
  if (request === "FactoryInfo") {
    return ping === null ? { Error: "factory info not available" } : { FactoryInfoResult: ping.factory_info };
  }
  if (job === null) return { Error: "no job is running" };
  if ("ProcessStart" in request) {
    if (job.background === null) return { Error: "no task is running" };
    return job.background.start(request.ProcessStart);
  }
  try {
    return await answerStore(request, job);
  } catch (error) {
    if (error instanceof JobOver) return { Error: "the job is over" };
    throw error;
  }
}

async function answerStore(
  request: Extract<ControlRequest, { StoreGet: string } | { StorePut: unknown }>,
  { jobId, api, calls }: JobAccess,
): Promise<ControlReply> {
  if ("StoreGet" in request) {
    const name = request.StoreGet;
    const got = await calls.insist("store get", "is an answer", () => api.storeGet(jobId, name));
    if (!got.ok) return { Error: got.message };
    return { StoreGetResult: got.value === null ? null : { name, ...got.value } };
  }
  const [name, value, secret] = request.StorePut;
  const put = await calls.insist("store put", "is an answer", () => api.storePut(jobId, name, value, secret));
  return put.ok ? "Ack" : { Error: put.message };
}
