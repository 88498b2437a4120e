/**
 * The server as its customers see it: people who have jobs run, and its administrator (lib/server/README.md "The server as its
 * customers see it"). The factory itself never makes these calls; `selftest`, `cancel`, the demo, tests and benchmarks do.
 */
import { z } from "zod";
import { callServer, requestFor, refused, type Answer, type Call, type Server } from "../server/call.ts";

export interface JobRequest {
  name: string;
  /** A target's name. */
  target: string;
  tasks: {
    name: string;
    script: string;
    env_clear: boolean;
    env: Record<string, string>;
    uid?: number | null;
    gid?: number | null;
    workdir?: string | null;
  }[];
  output_rules: string[];
  /** Names of files that are uploaded afterwards. */
  inputs?: string[];
  tags?: Record<string, string>;
  /** Keys: the names under which the prior jobs' outputs appear. */
  depends?: Record<
    string,
    { prior_job: string; copy_outputs: boolean; on_failed: boolean; on_completed: boolean }
  >;
}

const taskState = z.enum(["pending", "completed", "failed"]);
const jobState = z.enum(["queued", "waiting", "running", "completed", "failed"]);
const nullableNumber = z.number().int().nullable();

const jobSchema = z.object({
  id: z.string(),
  owner: z.string(),
  name: z.string(),
  target: z.string(),
  target_real: z.string(),
  output_rules: z.array(z.string()),
  tasks: z.array(
    z.object({
      name: z.string(),
      script: z.string(),
      env_clear: z.boolean(),
      env: z.record(z.string(), z.string()),
      uid: nullableNumber,
      gid: nullableNumber,
      workdir: z.string().nullable(),
      state: taskState,
    }),
  ),
  state: jobState,
  tags: z.record(z.string(), z.string()),
  /** A cancelled job ends as `failed`. */
  cancelled: z.boolean(),
  /** Keys: those of `submit`, `ready`, `assigned`, `complete` that were reached. */
  times: z.record(z.string(), z.string()),
});
export type Job = z.infer<typeof jobSchema>;

const recentJobsSchema = z.object({ items: z.array(z.object({ id: z.string(), target_id: z.string() })) });

const workerEventSchema = z.object({
  seq: z.number().int(),
  stream: z.string(),
  time: z.string(),
  time_remote: z.string().nullable(),
  payload: z.string(),
});
export type WatchedEvent = z.infer<typeof workerEventSchema>;
const jobEventSchema = workerEventSchema.extend({ task: nullableNumber });
export type JobEvent = z.infer<typeof jobEventSchema>;

const outputSchema = z.object({ id: z.string(), size: z.number().int(), path: z.string() });
export type JobOutput = z.infer<typeof outputSchema>;

const storeSchema = z.record(
  z.string(),
  z.object({
    /** Null if it is secret. */
    value: z.string().nullable(),
    secret: z.boolean(),
    time_update: z.string(),
    source: z.string(),
  }),
);
export type JobStore = z.infer<typeof storeSchema>;

const adminWorkerSchema = z.object({
  id: z.string(),
  factory: z.string(),
  factory_private: z.string().nullable(),
  factory_ip: z.string().nullable(),
  target: z.string(),
  bootstrap: z.boolean(),
  deleted: z.boolean(),
  /** The raw flag, also while the worker is held. */
  recycle: z.boolean(),
  lastping: z.string().nullable(),
  jobs: z.array(z.object({ id: z.string(), name: z.string(), owner: z.string(), state: jobState })),
  hold: z.object({ time: z.string(), reason: z.string() }).nullable(),
  diagnostics: z.boolean(),
});
export type AdminWorker = z.infer<typeof adminWorkerSchema>;

const idSchema = z.object({ id: z.string() });
const accountSchema = z.object({ id: z.string(), name: z.string(), token: z.string() });
export type Account = z.infer<typeof accountSchema>;
const commitSchema = z.object({ complete: z.boolean(), error: z.string().nullable() });

/** With an administrator's token. */
export interface AdminApi {
  createTarget(name: string, desc: string): Promise<Answer<{ id: string }>>;
  /** The token is shown only here. */
  createFactory(name: string): Promise<Answer<Account>>;
  createUser(name: string): Promise<Answer<Account>>;
  enableFactory(id: string, holdWorkers: boolean): Promise<Answer<void>>;
  disableFactory(id: string): Promise<Answer<void>>;
  holdWorker(id: string, reason: string): Promise<Answer<void>>;
  releaseWorker(id: string): Promise<Answer<void>>;
  recycleWorker(id: string): Promise<Answer<void>>;
  adminWorker(id: string): Promise<Answer<AdminWorker>>;
  adminWorkerEvents(id: string): Promise<Answer<WatchedEvent[]>>;
}

/** With a user's token. */
export interface UserApi {
  submitJob(request: JobRequest): Promise<Answer<{ id: string }>>;
  /** For a job that waits for it; true once the server has stored it. */
  uploadInput(job: string, name: string, bytes: Uint8Array<ArrayBuffer>): Promise<Answer<true>>;
  job(id: string): Promise<Answer<Job>>;
  /** ULID of the target that the server resolved a recent job's target to; null: the job is not among the last. */
  targetOf(job: string): Promise<Answer<string | null>>;
  /** All events, from as many pages as it takes. */
  events(job: string): Promise<Answer<JobEvent[]>>;
  outputs(job: string): Promise<Answer<JobOutput[]>>;
  /** The whole file, in memory. */
  downloadOutput(job: string, output: string): Promise<Answer<Uint8Array<ArrayBuffer>>>;
  store(job: string): Promise<Answer<JobStore>>;
  putStore(job: string, name: string, value: string, secret: boolean): Promise<Answer<void>>;
  cancel(job: string): Promise<Answer<void>>;
}

export type CustomerApi = AdminApi & UserApi;

/** The server's own command line uses the same size. */
const chunkBytes = 5 * 1024 * 1024;
/** The embedded server needs one poll, a real one a few. */
const maxPolls = 100;
/** The largest file that a job can leave. */
const maxFileBytes = 1024 ** 3;

export function openCustomerApi(server: Server): CustomerApi {
  const send = <T>(method: Call<T>["method"], path: string, body: unknown, reply: Call<T>["reply"]) =>
    callServer(server, { method, path, body, reply });
  const get = <T>(path: string, reply: z.ZodType<T>): Promise<Answer<T>> =>
    send("GET", path, undefined, reply);
  const post = <T>(path: string, body: unknown, reply: z.ZodType<T> | null): Promise<Answer<T>> =>
    send("POST", path, body, reply);
  const worker = (id: string): string => `/0/admin/worker/${encodeURIComponent(id)}`;
  const factory = (id: string): string => `/0/admin/factory/${encodeURIComponent(id)}`;
  const jobs = (id: string): string => `/0/jobs/${encodeURIComponent(id)}`;

  /** A page has up to 1000 events; an empty page is the end. */
  async function allEvents<E extends WatchedEvent>(path: string, event: z.ZodType<E>): Promise<Answer<E[]>> {
    const events: E[] = [];
    for (;;) {
      const minseq = (events.at(-1)?.seq ?? 0) + 1;
      const page = await get(`${path}/events?minseq=${minseq}`, z.array(event));
      if (!page.ok) return page;
      if (page.value.length === 0) return { ok: true, value: events };
      events.push(...page.value);
    }
  }

  async function uploadInput(
    job: string,
    name: string,
    bytes: Uint8Array<ArrayBuffer>,
  ): Promise<Answer<true>> {
    const chunks: string[] = [];
    // An empty file is one empty chunk.
    for (let offset = 0; offset < Math.max(bytes.byteLength, 1); offset += chunkBytes) {
      const part = bytes.subarray(offset, offset + chunkBytes);
      const chunk = await post(`${jobs(job)}/chunk`, part, idSchema);
      if (!chunk.ok) return chunk;
      chunks.push(chunk.value.id);
    }
    const path = `/1/jobs/${encodeURIComponent(job)}/input`;
    // A commit needs a ULID of its own: a chunk's id serves.
    const commit = { name, size: bytes.byteLength, chunks, commit_id: chunks[0] };
    for (let polls = 0; polls < maxPolls; polls += 1) {
      const answer = await post(path, commit, commitSchema);
      if (!answer.ok) return answer;
      const { complete, error } = answer.value;
      if (error !== null) return { ok: false, refusal: "rejected", status: 200, message: error };
      if (complete) return { ok: true, value: true };
    }
    return {
      ok: false,
      refusal: "no answer",
      status: 200,
      message: "the server does not complete the input",
    };
  }

  async function downloadOutput(job: string, output: string): Promise<Answer<Uint8Array<ArrayBuffer>>> {
    const path = `${jobs(job)}/outputs/${encodeURIComponent(output)}`;
    const reply = await server.http.request({
      ...requestFor(server, { method: "GET", path }),
      maxBytes: maxFileBytes,
    });
    if (!reply.ok) return { ok: false, refusal: "no answer", status: null, message: reply.reason };
    if (reply.status !== 200) return refused(reply.status, new TextDecoder().decode(reply.body));
    return { ok: true, value: reply.body };
  }

  return {
    createTarget: (name, desc) => post("/0/admin/target", { name, desc }, idSchema),
    createFactory: (name) => post("/0/admin/factory", { name }, accountSchema),
    createUser: (name) => post("/0/users", { name }, accountSchema),
    enableFactory: (id, holdWorkers) => post(`${factory(id)}/enable`, { hold_workers: holdWorkers }, null),
    disableFactory: (id) => post(`${factory(id)}/disable`, undefined, null),
    holdWorker: (id, reason) => post(`${worker(id)}/hold`, { reason }, null),
    releaseWorker: (id) => post(`${worker(id)}/release`, undefined, null),
    recycleWorker: (id) => post(`${worker(id)}/recycle`, undefined, null),
    adminWorker: (id) => get(worker(id), adminWorkerSchema),
    adminWorkerEvents: (id) => allEvents(worker(id), workerEventSchema),
    submitJob: (request) => post("/0/jobs", request, idSchema),
    uploadInput,
    job: (id) => get(`/0/job/${encodeURIComponent(id)}`, jobSchema),
    targetOf: async (id) => {
      const page = await get("/1/jobs?recent_first=true", recentJobsSchema);
      if (!page.ok) return page;
      return { ok: true, value: page.value.items.find((job) => job.id === id)?.target_id ?? null };
    },
    events: (job) => allEvents(jobs(job), jobEventSchema),
    outputs: (job) => get(`${jobs(job)}/outputs`, z.array(outputSchema)),
    downloadOutput,
    store: (job) => get(`${jobs(job)}/store`, storeSchema),
    putStore: (job, name, value, secret) =>
      send("PUT", `${jobs(job)}/store/${encodeURIComponent(name)}`, { value, secret }, null),
    cancel: (job) => post(`${jobs(job)}/cancel`, undefined, null),
  };
}
