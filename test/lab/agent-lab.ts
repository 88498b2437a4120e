/** The embedded server and built-in agents as real processes, each in a temporary base of its own. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type CustomerApi,
  type Job,
  type JobEvent,
  type JobRequest,
  openCustomerApi,
} from "../../lib/devserver/customer.ts";
import { startDevserver } from "../../lib/devserver/server.ts";
import { openClock } from "../../lib/doors/clock.ts";
import { openHttp } from "../../lib/doors/http.ts";
import { openRandom } from "../../lib/doors/random.ts";
import { type FactoryApi, openFactoryApi } from "../../lib/server/factory-side.ts";
import { Secret } from "../../lib/words/secret.ts";
import { type AgentProxy, startAgentProxy } from "./agent-proxy.ts";
import { given } from "../devserver/stage.ts";
import { endLeavings } from "./leavings.ts";
import { until } from "./until.ts";

export interface AgentLab {
  directory: string;
  /** Between agent and server. */
  proxy: AgentProxy;
  admin: CustomerApi;
  user: CustomerApi;
  factory: FactoryApi;
  /** Submits a job with one task for each script; `more` changes the request, `inputs` are uploaded. */
  submit(
    scripts: string[],
    more?: Partial<JobRequest>,
    inputs?: Record<string, Uint8Array<ArrayBuffer>>,
  ): Promise<string>;
  /** A worker bound to the job and an agent for it. */
  start(
    job: string | null,
    options?: { env?: Record<string, string>; testbed?: object; prefix?: string[] },
  ): Promise<AgentProcess>;
  /** Starts an agent that was stopped once more, on the same files. */
  relaunch(agent: AgentProcess): AgentProcess;
  ended(job: string): Promise<Job>;
  events(job: string): Promise<JobEvent[]>;
  /** Payloads of one stream. */
  said(job: string, stream: string): Promise<string[]>;
  /** Starts an agent for the job, waits for its end and stops it. */
  play(job: string): Promise<Job>;
  close(): Promise<void>;
}

export interface AgentProcess {
  worker: string;
  instance: string;
  base: string;
  home: string;
  input: string;
  child: Bun.Subprocess;
  log(): string;
  file(path: string): string | null;
  stop(): Promise<number>;
}

const adminToken = "admin-token-of-the-lab";

export async function openAgentLab(): Promise<AgentLab> {
  const clock = openClock();
  const http = openHttp({ clock });
  const server = startDevserver({ clock, random: openRandom(), adminToken, loopMs: 50 });
  const proxy = startAgentProxy(server.url);
  const as = (token: string) => ({ http, baseurl: server.url, token: new Secret(token) });
  const admin = openCustomerApi(as(adminToken));
  const target = given(await admin.createTarget("sp-test", "for tests")).id;
  const factoryToken = given(await admin.createFactory("lab")).token;
  const factory = openFactoryApi(as(factoryToken));
  const userToken = given(await admin.createUser("engineer")).token;
  const user = openCustomerApi(as(userToken));
  const directory = mkdtempSync(join(tmpdir(), "agent-"));
  const started: AgentProcess[] = [];

  const lab: AgentLab = {
    directory,
    proxy,
    admin,
    user,
    factory,
    submit: async (scripts, more = {}, inputs = {}) => {
      const tasks = scripts.map((script, index) => ({
        name: `task-${index}`,
        script,
        env_clear: false,
        env: {},
      }));
      const names = Object.keys(inputs);
      const request = { name: "job", target: "sp-test", tasks, output_rules: [], inputs: names, ...more };
      const { id } = given(await user.submitJob(request));
      for (const [name, bytes] of Object.entries(inputs)) given(await user.uploadInput(id, name, bytes));
      return id;
    },
    start: async (job, options = {}) => {
      const instance = join(directory, String(started.length));
      const { env = {}, testbed = null, prefix = [] } = options;
      const paths = {
        base: join(instance, "opt"),
        home: join(instance, "home"),
        input: join(instance, "in"),
      };
      for (const path of [join(paths.base, "etc"), paths.home]) mkdirSync(path, { recursive: true });
      const worker = given(await factory.createWorker(target, job));
      given(await factory.associate(worker.id, `bed/${started.length}`));
      const identity = { baseurl: proxy.url, bootstrap: worker.bootstrap, token: `token-${worker.id}` };
      writeFileSync(join(paths.base, "etc/agent.json"), JSON.stringify(identity));
      if (testbed !== null) writeFileSync(join(paths.home, "testbed.json"), JSON.stringify(testbed));
      const agent = { worker: worker.id, instance, ...paths, ...launch(instance, paths, env, prefix) };
      started.push(agent);
      return agent;
    },
    relaunch: (agent) => {
      const again = { ...agent, ...launch(agent.instance, agent, {}) };
      started.push(again);
      return again;
    },
    ended: (job) =>
      until(`job ${job} ends`, async () => {
        const found = given(await user.job(job));
        return found.state === "completed" || found.state === "failed" ? found : null;
      }),
    events: async (job) => {
      // Not by the client, which takes 8 MiB at a time.
      const events: JobEvent[] = [];
      for (;;) {
        const page = await fetch(
          `${server.url}/0/jobs/${job}/events?minseq=${(events.at(-1)?.seq ?? 0) + 1}`,
          {
            headers: { authorization: `Bearer ${userToken}` },
          },
        );
        const more = (await page.json()) as JobEvent[];
        if (more.length === 0) return events;
        events.push(...more);
      }
    },
    said: async (job, stream) =>
      (await lab.events(job)).filter((event) => event.stream === stream).map(({ payload }) => payload),
    play: async (job) => {
      const agent = await lab.start(job);
      const ended = await lab.ended(job);
      await agent.stop();
      return ended;
    },
    close: async () => {
      for (const agent of started) await agent.stop();
      await proxy.stop();
      await server.stop();
      await endLeavings(directory);
      rmSync(directory, { recursive: true, force: true });
    },
  };
  return lab;
}

function launch(
  instance: string,
  { base, home, input }: { base: string; home: string; input: string },
  env: Record<string, string>,
  prefix: string[] = [],
): Pick<AgentProcess, "child" | "log" | "file" | "stop"> {
  const logPath = join(instance, "agent.log");
  const argv = [...prefix, process.execPath, join(import.meta.dir, "agent-main.ts"), "run", input];
  const child = Bun.spawn(argv, {
    cwd: "/",
    stdin: "ignore",
    stdout: Bun.file(logPath),
    stderr: Bun.file(`${logPath}.err`),
    env: {
      PATH: "/usr/bin:/bin",
      HOME: home,
      USER: "robot",
      BUN_TMPDIR: home,
      BUILDOMAT_OPT: base,
      BUILDOMAT_NONROOT: "1",
      ...env,
    },
  });
  const read = (path: string): string | null => {
    try {
      return readFileSync(path, "utf8");
    } catch {
      return null;
    }
  };
  return {
    child,
    log: () => `${read(logPath)}${read(`${logPath}.err`)}`,
    file: (path) => read(join(base, path)),
    stop: async () => {
      child.kill("SIGTERM");
      return await child.exited;
    },
  };
}
