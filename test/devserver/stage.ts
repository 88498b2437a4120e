/** A development server under a settable clock, with one target, one factory and one user, and clients for all of them. */
import { type Answer } from "../../lib/server/call.ts";
import { openCustomerApi, type CustomerApi, type JobRequest } from "../../lib/devserver/customer.ts";
import { startDevserver, type Devserver, type DevserverOptions } from "../../lib/devserver/server.ts";
import { openClock } from "../../lib/doors/clock.ts";
import { openHttp, type Http } from "../../lib/doors/http.ts";
import { openRandom } from "../../lib/doors/random.ts";
import { openFactoryApi, type FactoryApi, type Worker } from "../../lib/server/factory-side.ts";
import { Secret } from "../../lib/words/secret.ts";
import { openWorkerApi, type WorkerApi } from "../../lib/server/worker-side.ts";
import { createSettableClock, type SettableClock } from "../lab/settable-clock.ts";

export interface Stage {
  clock: SettableClock;
  server: Devserver;
  http: Http;
  target: string;
  /** The id of the factory. */
  factoryId: string;
  factoryToken: string;
  userToken: string;
  admin: CustomerApi;
  factory: FactoryApi;
  user: CustomerApi;
  createFactory(name: string): Promise<FactoryApi>;
  /** Its id; one task, no rules. */
  submit(more?: Partial<JobRequest>): Promise<string>;
  /** Made, associated and bootstrapped. */
  bringUp(job: string | null): Promise<{ worker: Worker; agent: WorkerApi; token: string }>;
  /** Calls without a client: the status and the text that came. */
  send(
    method: string,
    path: string,
    more?: SendOptions,
  ): Promise<{ status: number; text: string; headers: Headers }>;
}

export interface SendOptions {
  token?: string;
  headers?: Record<string, string>;
  body?: string;
}

/** What a call gave, or the test's end. */
export function given<T>(answer: Answer<T>): T {
  if (!answer.ok) throw new Error(`${answer.status}: ${answer.message}`);
  return answer.value;
}

/** The message of a call that must have been refused. */
export function refusal(answer: Answer<unknown>): string {
  return answer.ok ? "it was not refused" : answer.message;
}

const adminToken = "admin-token";

/** The server is gone when `act` is over, with all that waited for time. */
export async function onStage(
  act: (stage: Stage) => Promise<void>,
  options: Partial<DevserverOptions> = {},
): Promise<void> {
  const clock = createSettableClock();
  const http = openHttp({ clock: openClock() });
  const server = startDevserver({ clock, random: openRandom(), adminToken, ...options });
  try {
    await act(await setStage({ clock, http, server }));
  } finally {
    await server.stop();
  }
  if (clock.waiting() > 0) throw new Error(`${clock.waiting()} waits were left behind`);
}

async function setStage(parts: { clock: SettableClock; http: Http; server: Devserver }): Promise<Stage> {
  const { http, server } = parts;
  const as = (token: string) => ({ http, baseurl: server.url, token: new Secret(token) });
  const admin = openCustomerApi(as(adminToken));
  const target = given(await admin.createTarget("sp-grapefruit", "a board")).id;
  const { id: factoryId, token: factoryToken } = given(await admin.createFactory("lab"));
  const { token: userToken } = given(await admin.createUser("dev"));
  const factory = openFactoryApi(as(factoryToken));
  const user = openCustomerApi(as(userToken));
  let agents = 0;
  return {
    ...parts,
    target,
    factoryId,
    factoryToken,
    userToken,
    admin,
    factory,
    user,
    createFactory: async (name) => openFactoryApi(as(given(await admin.createFactory(name)).token)),
    submit: async (more = {}) => {
      const tasks = [{ name: "t", script: "true\n", env_clear: false, env: {} }];
      const request = { name: "job", target: "sp-grapefruit", output_rules: [], tasks, ...more };
      return given(await user.submitJob(request)).id;
    },
    bringUp: async (job) => {
      agents += 1;
      const token = `agent-token-${agents}`;
      const worker = given(await factory.createWorker(target, job));
      given(await factory.associate(worker.id, `bed/${agents}`));
      const agent = openWorkerApi(as(token));
      given(await agent.bootstrap(worker.bootstrap, token));
      return { worker, agent, token };
    },
    send: async (method, path, { token, headers = {}, body } = {}) => {
      const response = await fetch(`${server.url}${path}`, {
        method,
        headers: token === undefined ? headers : { authorization: `Bearer ${token}`, ...headers },
        ...(body === undefined ? {} : { body: new TextEncoder().encode(body) }),
      });
      return { status: response.status, text: await response.text(), headers: response.headers };
    },
  };
}
