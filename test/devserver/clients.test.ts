import { describe, expect, test } from "bun:test";
import type { Answer, Refusal } from "../../lib/server/call.ts";
import { openCustomerApi, type CustomerApi } from "../../lib/devserver/customer.ts";
import { openFactoryApi, type FactoryApi } from "../../lib/server/factory-side.ts";
import { Secret } from "../../lib/words/secret.ts";
import { openWorkerApi, type WorkerApi } from "../../lib/server/worker-side.ts";
import { openRecordedDoor } from "../lab/recorded-door.ts";
import {
  isDigest,
  isSpRunnerLine,
  readRecording,
  recordingNames,
  type RecordedLine,
} from "../lab/recording.ts";

interface Clients {
  factory: FactoryApi;
  worker: WorkerApi;
  customer: CustomerApi;
}

/** How a client makes the recorded call: `ids` are what the path's pattern caught, `body` what was sent. */
interface Made {
  /** Method and path. */
  pattern: RegExp;
  make(clients: Clients, ids: [string, string], body: never): Promise<Answer<unknown>>;
  /** The client's value of a recorded reply, where it is not the reply itself. */
  value?(reply: never): unknown;
  /** The client sends the very body that was recorded. */
  isSameBody?: true;
}

const id = "([^/]+)";
const made: Made[] = [
  { pattern: /^GET \/0\/factory\/ping$/, make: ({ factory }) => factory.ping() },
  {
    pattern: /^POST \/0\/factory\/lease$/,
    make: ({ factory }, _, body: { supported_targets: string[] }) => factory.lease(body.supported_targets),
    value: (reply: { lease: unknown }) => reply.lease,
    isSameBody: true,
  },
  {
    pattern: new RegExp(`^POST /0/factory/lease/${id}$`),
    make: ({ factory }, [job]) => factory.renew(job),
  },
  {
    pattern: /^POST \/0\/factory\/worker$/,
    make: ({ factory }, _, body: { target: string; job?: string }) =>
      factory.createWorker(body.target, body.job ?? null),
  },
  { pattern: /^GET \/0\/factory\/workers$/, make: ({ factory }) => factory.workers() },
  {
    pattern: new RegExp(`^GET /0/factory/worker/${id}$`),
    make: ({ factory }, [worker]) => factory.worker(worker),
    value: (reply: { worker: unknown }) => reply.worker,
  },
  {
    pattern: new RegExp(`^PATCH /0/factory/worker/${id}$`),
    make: ({ factory }, [worker], body: { private: string }) => factory.associate(worker, body.private),
  },
  {
    pattern: new RegExp(`^POST /0/factory/worker/${id}/append$`),
    make: ({ factory }, [worker], body) => factory.append(worker, body),
    value: (reply: { retry: unknown }) => reply.retry,
    isSameBody: true,
  },
  {
    pattern: new RegExp(`^POST /0/factory/worker/${id}/flush$`),
    make: ({ factory }, [worker]) => factory.flush(worker),
  },
  {
    pattern: new RegExp(`^DELETE /0/factory/worker/${id}$`),
    make: ({ factory }, [worker]) => factory.deleteWorker(worker),
  },

  {
    pattern: /^POST \/0\/worker\/bootstrap$/,
    make: ({ worker }, _, body: { bootstrap: string; token: string }) =>
      worker.bootstrap(body.bootstrap, body.token),
    isSameBody: true,
  },
  { pattern: /^GET \/0\/worker\/ping$/, make: ({ worker }) => worker.ping() },
  { pattern: /^POST \/0\/worker\/fail$/, make: ({ worker }) => worker.fail("why") },
  {
    pattern: new RegExp(`^POST /1/worker/job/${id}/append$`),
    make: ({ worker }, [job], body) => worker.append(job, body),
    isSameBody: true,
  },
  {
    pattern: new RegExp(`^POST /0/worker/job/${id}/task/${id}/complete$`),
    make: ({ worker }, [job, task], body: { failed: boolean }) =>
      worker.completeTask(job, Number(task), body.failed),
    isSameBody: true,
  },
  {
    pattern: new RegExp(`^POST /0/worker/job/${id}/complete$`),
    make: ({ worker }, [job], body: { failed: boolean }) => worker.completeJob(job, body.failed),
    isSameBody: true,
  },
  {
    pattern: new RegExp(`^GET /0/worker/job/${id}/quota$`),
    make: ({ worker }, [job]) => worker.quota(job),
  },
  {
    pattern: new RegExp(`^POST /0/worker/job/${id}/chunk$`),
    make: ({ worker }, [job]) => worker.chunk(job, new Uint8Array(1)),
  },
  {
    pattern: new RegExp(`^POST /1/worker/job/${id}/output$`),
    make: ({ worker }, [job], body) => worker.output(job, body),
    isSameBody: true,
  },
  {
    pattern: new RegExp(`^GET /0/worker/job/${id}/store/${id}$`),
    make: ({ worker }, [job, name]) => worker.storeGet(job, name),
    value: (reply: { value: unknown }) => reply.value,
  },
  {
    pattern: new RegExp(`^PUT /0/worker/job/${id}/store/${id}$`),
    make: ({ worker }, [job, name], body: { value: string; secret: boolean }) =>
      worker.storePut(job, name, body.value, body.secret),
    isSameBody: true,
  },

  {
    pattern: /^POST \/0\/admin\/target$/,
    make: ({ customer }, _, body: { name: string; desc: string }) =>
      customer.createTarget(body.name, body.desc),
    isSameBody: true,
  },
  {
    pattern: /^POST \/0\/admin\/factory$/,
    make: ({ customer }, _, body: { name: string }) => customer.createFactory(body.name),
    isSameBody: true,
  },
  {
    pattern: /^POST \/0\/users$/,
    make: ({ customer }, _, body: { name: string }) => customer.createUser(body.name),
    isSameBody: true,
  },
  {
    pattern: new RegExp(`^POST /0/admin/factory/${id}/enable$`),
    make: ({ customer }, [factory]) => customer.enableFactory(factory, true),
  },
  {
    pattern: new RegExp(`^POST /0/admin/factory/${id}/disable$`),
    make: ({ customer }, [factory]) => customer.disableFactory(factory),
  },
  {
    pattern: new RegExp(`^POST /0/admin/worker/${id}/hold$`),
    make: ({ customer }, [worker], body: { reason: string }) => customer.holdWorker(worker, body.reason),
    isSameBody: true,
  },
  {
    pattern: new RegExp(`^POST /0/admin/worker/${id}/release$`),
    make: ({ customer }, [worker]) => customer.releaseWorker(worker),
  },
  {
    pattern: new RegExp(`^POST /0/admin/worker/${id}/recycle$`),
    make: ({ customer }, [worker]) => customer.recycleWorker(worker),
  },
  {
    pattern: new RegExp(`^GET /0/admin/worker/${id}$`),
    make: ({ customer }, [worker]) => customer.adminWorker(worker),
  },
  {
    pattern: new RegExp(`^GET /0/admin/worker/${id}/events$`),
    make: ({ customer }, [worker]) => customer.adminWorkerEvents(worker),
  },
  {
    pattern: /^POST \/0\/jobs$/,
    make: ({ customer }, _, body) => customer.submitJob(body),
    isSameBody: true,
  },
  { pattern: new RegExp(`^GET /0/job/${id}$`), make: ({ customer }, [job]) => customer.job(job) },
  { pattern: new RegExp(`^GET /0/jobs/${id}/events$`), make: ({ customer }, [job]) => customer.events(job) },
  {
    pattern: new RegExp(`^GET /0/jobs/${id}/outputs$`),
    make: ({ customer }, [job]) => customer.outputs(job),
  },
  {
    pattern: new RegExp(`^GET /0/jobs/${id}/outputs/${id}$`),
    make: ({ customer }, [job, output]) => customer.downloadOutput(job, output),
  },
  { pattern: new RegExp(`^GET /0/jobs/${id}/store$`), make: ({ customer }, [job]) => customer.store(job) },
  { pattern: new RegExp(`^POST /0/jobs/${id}/cancel$`), make: ({ customer }, [job]) => customer.cancel(job) },
];

/** Recorded calls that no client makes, each with how many lines there are of it. */
const unmade: [pattern: RegExp, count: number][] = [
  [/^GET \/0\/(?:whoami|quota)$/, 3],
  [/^GET \/0\/admin\/(?:factories|targets|jobs)$/, 4],
  [/^POST \/0\/control\/(?:hold|resume)$/, 2],
  [/^GET \/1\/jobs$/, 1],
  [/^GET \/0\/jobs\/[^/]+\/watch$/, 4],
  [/^POST \/0\/worker\/(?:append|diagnostics\/\w+)$/, 7],
  [/^POST \/0\/worker\/job\/[^/]+\/append$/, 1],
  // Files are read by the agent itself, part by part.
  [/^GET \/0\/worker\/job\/[^/]+\/inputs\/[^/]+$/, 2],
  // Three of uploadInput()'s, which devserver/customer.test.ts feeds in their order.
  [/^POST \/[01]\/jobs\/[^/]+\/(?:chunk|input)$/, 3],
  [/^(?:GET \/0\/factory\/nope|POST \/0\/factory\/ping)$/, 2],
];

const refusals: Record<number, Refusal> = {
  400: "rejected",
  401: "unauthorised",
  403: "forbidden",
  409: "conflict",
  500: "no answer",
};

const lines = recordingNames
  .flatMap((name) => readRecording(name).map((line) => ({ name, line })))
  .filter(({ line }) => !isSpRunnerLine(line));

/** Without doubled and trailing slashes, and without the query. */
function nameOf({ method, path }: RecordedLine): string {
  const [bare = ""] = path.split("?");
  return `${method} ${bare.replace(/\/+/g, "/").replace(/\/$/, "")}`;
}

/** Only for a part of a file, which no client asks for. */
const isPart = (line: RecordedLine): boolean => line.status === 206;

describe("clients of the server", () => {
  test("every recorded line is a call of exactly one client, or listed as a call of none", () => {
    const counts = unmade.map(() => 0);
    for (const { line } of lines) {
      const name = nameOf(line);
      const makers = made.filter(({ pattern }) => pattern.test(name)).length;
      const others = unmade.flatMap(([pattern], index) => (pattern.test(name) ? [index] : []));
      expect([name, makers + others.length]).toEqual([name, 1]);
      for (const index of others) counts[index] = (counts[index] ?? 0) + 1;
    }
    expect(counts).toEqual(unmade.map(([, count]) => count));
  });

  test.each(made.map((each) => [each.pattern.source.replaceAll("\\", ""), each] as const))(
    "%s understands every recorded reply",
    async (_, { pattern, make, value, isSameBody }) => {
      const fitting = lines.filter(({ line }) => pattern.test(nameOf(line)) && !isPart(line));
      expect(fitting.length).toBeGreaterThan(0);
      for (const { line } of fitting) {
        const door = openRecordedDoor([line]);
        const server = { http: door, baseurl: "http://h", token: new Secret("token") };
        const clients: Clients = {
          factory: openFactoryApi(server),
          worker: openWorkerApi(server),
          customer: openCustomerApi(server),
        };
        const [, first = "", second = ""] = pattern.exec(nameOf(line)) ?? [];
        const answer = await make(clients, [first, second], (line.request_body ?? {}) as never);
        const [asked] = door.asked;
        const path = asked?.url.slice("http://h".length).replace(/\?.*$/, "");
        // A client cannot send a task number that is not a number.
        if (second !== "abc") expect(`${asked?.method} ${path}`).toBe(nameOf(line));
        if (line.status >= 400) {
          const { message } = line.response_body as { message: string };
          expect(answer).toEqual({
            ok: false,
            refusal: refusals[line.status] ?? "no answer",
            status: line.status,
            message,
          });
          continue;
        }
        expect(answer.ok).toBe(true);
        if (!answer.ok) continue;
        if (isSameBody === true && typeof line.request_body === "object") {
          // One recorded body has a key that nobody knows, and one, kept as text, has something after its end.
          expect(line.request_body).toMatchObject(JSON.parse(String(asked?.body)) as object);
        }
        if (line.status === 204) expect(answer.value).toBeUndefined();
        else if (isDigest(line.response_body)) {
          expect(answer.value).toHaveProperty("byteLength", line.response_body.length);
        } else {
          // Keys that a client has no use for are dropped, so the reply may hold more than the value does.
          const expected = value === undefined ? line.response_body : value(line.response_body as never);
          if (typeof expected === "object" && expected !== null) {
            expect(expected).toMatchObject(answer.value as object);
          } else expect(answer.value).toEqual(expected);
        }
      }
    },
  );
});
