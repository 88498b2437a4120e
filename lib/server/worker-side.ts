/** The server as a job's agent sees it (lib/server/README.md "The server as an agent sees it"). */
import { z } from "zod";
import { callServer, type Answer, type Server } from "./call.ts";

export const pingSchema = z.object({
  poweroff: z.boolean(),
  job: z
    .object({
      id: z.string(),
      name: z.string(),
      output_rules: z.array(
        z.object({
          rule: z.string(),
          ignore: z.boolean(),
          size_change_ok: z.boolean(),
          require_match: z.boolean(),
        }),
      ),
      tasks: z.array(
        z.object({
          id: z.number().int(),
          name: z.string(),
          script: z.string(),
          env_clear: z.boolean(),
          env: z.record(z.string(), z.string()),
          uid: z.number().int(),
          gid: z.number().int(),
          workdir: z.string(),
        }),
      ),
      inputs: z.array(z.object({ name: z.string(), id: z.string() })),
    })
    .nullable(),
  factory_info: z.object({ id: z.string(), name: z.string(), private: z.string().nullable() }),
});
export type Ping = z.infer<typeof pingSchema>;
export type PingJob = NonNullable<Ping["job"]>;
export type Task = PingJob["tasks"][number];
export type OutputRule = PingJob["output_rules"][number];

/** One line of a job's event stream. `time` is RFC 3339 with a zone; a null or absent task is the job itself. */
export interface WorkerEvent {
  stream: string;
  time: string;
  payload: string;
  task?: number;
}

const commitSchema = z.object({ complete: z.boolean(), error: z.string().nullable() });
export type Commit = z.infer<typeof commitSchema>;
const storeSchema = z.object({
  value: z.object({ value: z.string(), secret: z.boolean() }).nullable(),
});
export type StoreValue = z.infer<typeof storeSchema>["value"];

export interface WorkerApi {
  bootstrap(bootstrap: string, token: string): Promise<Answer<{ id: string }>>;
  ping(): Promise<Answer<Ping>>;
  fail(reason: string): Promise<Answer<void>>;
  append(job: string, events: WorkerEvent[]): Promise<Answer<void>>;
  completeTask(job: string, task: number, failed: boolean): Promise<Answer<void>>;
  completeJob(job: string, failed: boolean): Promise<Answer<void>>;
  quota(job: string): Promise<Answer<{ max_bytes_per_output: number }>>;
  chunk(job: string, bytes: Uint8Array<ArrayBuffer>): Promise<Answer<{ id: string }>>;
  output(
    job: string,
    output: { path: string; size: number; chunks: string[]; commit_id: string },
  ): Promise<Answer<Commit>>;
  storeGet(job: string, name: string): Promise<Answer<StoreValue>>;
  storePut(job: string, name: string, value: string, secret: boolean): Promise<Answer<void>>;
}

export function openWorkerApi(server: Server): WorkerApi {
  const id = z.object({ id: z.string() });
  const quota = z.object({ max_bytes_per_output: z.number() });
  const job = (name: string): string => `/0/worker/job/${encodeURIComponent(name)}`;
  const post = <T>(path: string, body: unknown, reply: z.ZodType<T> | null): Promise<Answer<T>> =>
    callServer(server, { method: "POST", path, body, reply });
  /** For bodies of megabytes on a slow link. */
  const postMuch = <T>(path: string, body: unknown, reply: z.ZodType<T> | null): Promise<Answer<T>> =>
    callServer(server, { method: "POST", path, body, reply, timeoutMs: 600_000 });
  const get = <T>(path: string, reply: z.ZodType<T>): Promise<Answer<T>> =>
    callServer(server, { method: "GET", path, reply });
  return {
    bootstrap: (bootstrap, token) => post("/0/worker/bootstrap", { bootstrap, token }, id),
    ping: () => get("/0/worker/ping", pingSchema),
    fail: (reason) => post("/0/worker/fail", { reason }, null),
    append: (jobId, events) => postMuch(`/1/worker/job/${encodeURIComponent(jobId)}/append`, events, null),
    completeTask: (jobId, task, failed) => post(`${job(jobId)}/task/${task}/complete`, { failed }, null),
    completeJob: (jobId, failed) => post(`${job(jobId)}/complete`, { failed }, null),
    quota: (jobId) => get(`${job(jobId)}/quota`, quota),
    chunk: (jobId, bytes) => postMuch(`${job(jobId)}/chunk`, bytes, id),
    output: (jobId, output) =>
      post(`/1/worker/job/${encodeURIComponent(jobId)}/output`, output, commitSchema),
    storeGet: async (jobId, name) => {
      const answer = await get(`${job(jobId)}/store/${encodeURIComponent(name)}`, storeSchema);
      return answer.ok ? { ok: true, value: answer.value.value } : answer;
    },
    storePut: (jobId, name, value, secret) =>
      callServer(server, {
        method: "PUT",
        path: `${job(jobId)}/store/${encodeURIComponent(name)}`,
        body: { value, secret },
        reply: null,
      }),
  };
}
