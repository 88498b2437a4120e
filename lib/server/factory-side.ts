/** The server as a factory sees it (lib/server/README.md "The server as a factory sees it"). */
import { z } from "zod";
import { callServer, type Answer, type Server } from "./call.ts";

const workerSchema = z.object({
  id: z.string(),
  /** The worker's instance, `<testbed>/<seq>`; null until it is associated. */
  private: z.string().nullable(),
  /** The server wants the worker deleted; never true while it is held. */
  recycle: z.boolean(),
  bootstrap: z.string(),
  /** Its agent has bootstrapped at least once. */
  online: z.boolean(),
  hold: z.boolean(),
  target: z.string(),
});
export type Worker = z.infer<typeof workerSchema>;

const leaseSchema = z.object({ lease: z.object({ target: z.string(), job: z.string() }).nullable() });
export type Lease = NonNullable<z.infer<typeof leaseSchema>["lease"]>;

export interface FactoryApi {
  ping(): Promise<Answer<{ ok: true }>>;
  /** Takes the oldest job for one of `targets` (ULIDs) out of the queue for 60 s; null if there is none. */
  lease(targets: string[]): Promise<Answer<Lease | null>>;
  /** True if the lease is ours; it then lasts for another 60 s. */
  renew(job: string): Promise<Answer<boolean>>;
  /** With a job, binds it to the worker at once; a 409 names the worker that already has it. */
  createWorker(target: string, job: string | null): Promise<Answer<Worker>>;
  workers(): Promise<Answer<Worker[]>>;
  /** Null: it is deleted, or never existed. */
  worker(id: string): Promise<Answer<Worker | null>>;
  /** The first value stays; a different one is refused as `unauthorised`. */
  associate(id: string, instance: string): Promise<Answer<void>>;
  /** Adds a line to the event stream of the worker's job. True: there is no job yet; send it again. */
  append(id: string, line: { stream: string; time: string; payload: string }): Promise<Answer<boolean>>;
  flush(id: string): Promise<Answer<void>>;
  deleteWorker(id: string): Promise<Answer<true>>;
}

export function openFactoryApi(server: Server): FactoryApi {
  const worker = (id: string): string => `/0/factory/worker/${encodeURIComponent(id)}`;
  const post = <T>(path: string, body: unknown, reply: z.ZodType<T> | null): Promise<Answer<T>> =>
    callServer(server, { method: "POST", path, body, reply });
  const get = <T>(path: string, reply: z.ZodType<T>): Promise<Answer<T>> =>
    callServer(server, { method: "GET", path, reply });
  return {
    ping: () => get("/0/factory/ping", z.object({ ok: z.literal(true) })),
    lease: async (targets) => {
      const answer = await post("/0/factory/lease", { supported_targets: targets }, leaseSchema);
      return answer.ok ? { ok: true, value: answer.value.lease } : answer;
    },
    renew: (job) => post(`/0/factory/lease/${encodeURIComponent(job)}`, undefined, z.boolean()),
    createWorker: (target, job) =>
      post(
        "/0/factory/worker",
        { target, wait_for_flush: false, ...(job === null ? {} : { job }) },
        workerSchema,
      ),
    workers: () => get("/0/factory/workers", z.array(workerSchema)),
    worker: async (id) => {
      const answer = await get(worker(id), z.object({ worker: workerSchema.nullable() }));
      return answer.ok ? { ok: true, value: answer.value.worker } : answer;
    },
    associate: (id, instance) =>
      callServer(server, { method: "PATCH", path: worker(id), body: { private: instance }, reply: null }),
    append: async (id, line) => {
      const answer = await post(`${worker(id)}/append`, line, z.object({ retry: z.boolean() }));
      return answer.ok ? { ok: true, value: answer.value.retry } : answer;
    },
    flush: (id) => post(`${worker(id)}/flush`, undefined, null),
    deleteWorker: (id) => callServer(server, { method: "DELETE", path: worker(id), reply: z.literal(true) }),
  };
}
