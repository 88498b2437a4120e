/**
 * A lab for end-to-end tests: the embedded server, a proxy that can misbehave, and the real factory as a process of its
 * own, with everything in one temporary directory. Its disposal fails the test if any process of it is left.
 */
import {
  chmodSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type CustomerApi, type Job, openCustomerApi } from "../../lib/devserver/customer.ts";
import { startDevserver } from "../../lib/devserver/server.ts";
import { openClock } from "../../lib/doors/clock.ts";
import { openHttp } from "../../lib/doors/http.ts";
import { openRandom } from "../../lib/doors/random.ts";
import { type FactoryApi, openFactoryApi } from "../../lib/server/factory-side.ts";
import { Secret } from "../../lib/words/secret.ts";
import { buildExecutable } from "../../scripts/build.ts";
import { type FaultyProxy, startFaultyProxy } from "./faulty-proxy.ts";
import { endLeavings, processesNaming } from "./leavings.ts";
import { until } from "./until.ts";

const root = join(import.meta.dir, "../..");

export interface LabOptions {
  /** Testbeds by name, with the TOML lines that each has beyond the usual ones. */
  testbeds?: Record<string, string[]>;
  general?: string[];
  /** Instead of the server's own. */
  targetId?: string;
  /** The end of config.toml. */
  more?: string;
  /** `stub`: an external agent with the real one's bad habits; else a path or `builtin`. */
  agent?: string;
  /** Runs the factory as this user and group, from an executable that they can read. Without root: as the user who runs the tests. */
  uid?: number;
  env?: Record<string, string>;
  /** Runs the factory from an executable. */
  isCompiled?: boolean;
}

export interface StartOptions {
  base?: string;
  /** Words instead of none: another command. */
  command?: string[];
  /** Words before the command, to run it somewhere else. */
  prefix?: string[];
  args?: string[];
  env?: Record<string, string>;
}

export interface FactoryProcess {
  kill(signal: NodeJS.Signals): void;
  exited: Promise<number>;
  stdout(): Promise<string>;
  /** What it logged so far. */
  log(): { level: string; message: string; [field: string]: string }[];
  pid: number;
}

export interface Lab {
  directory: string;
  base: string;
  proxy: FaultyProxy;
  admin: CustomerApi;
  user: CustomerApi;
  factoryApi: FactoryApi;
  factoryId: string;
  factoryToken: string;
  userToken: string;
  targetId: string;
  start(options?: StartOptions): FactoryProcess;
  /** Replaces config.toml. */
  configure(options: LabOptions, base?: string): void;
  submit(
    script: string,
    more?: { rules?: string[]; name?: string; scripts?: string[]; env?: Record<string, string> },
  ): Promise<string>;
  job(id: string): Promise<Job>;
  ended(id: string): Promise<Job>;
  /** The payloads of a job's events in one stream; all streams if absent. */
  said(id: string, stream?: string): Promise<string[]>;
  /** `<testbed>_<seq>` -> the text of a file in that instance's directory; null if there is none. */
  instanceFile(instance: string, path: string): string | null;
  /** Pids of processes whose arguments or environment name this lab's directory or `mark`. */
  processes(mark?: string): number[];
  [Symbol.asyncDispose](): Promise<void>;
}

export function must<T>(answer: { ok: true; value: T } | { ok: false; message: string }): T {
  if (!answer.ok) throw new Error(answer.message);
  return answer.value;
}

export async function openLab(options: LabOptions = {}): Promise<Lab> {
  const clock = openClock();
  const random = openRandom();
  const http = openHttp({ clock });
  const adminToken = "admin-token-of-the-lab";
  const server = startDevserver({ clock, random, adminToken });
  const proxy = await startFaultyProxy(server.url);
  const admin = openCustomerApi({ http, baseurl: server.url, token: new Secret(adminToken) });
  const targetId = must(await admin.createTarget("sp-test", "a target for tests")).id;
  const account = must(await admin.createFactory("lab"));
  const userToken = must(await admin.createUser("engineer")).token;
  const user = openCustomerApi({ http, baseurl: server.url, token: new Secret(userToken) });
  // Jobs see it, as they do not see the host's /tmp.
  const directory = mkdtempSync("/var/tmp/lab-");
  chmodSync(directory, 0o755);
  const base = join(directory, "base");
  mkdirSync(join(directory, "locks"));
  chmodSync(join(directory, "locks"), 0o1777);
  const stub = join(directory, "stub-agent");
  // A copy: the checkout may lie under /work, which is another directory inside an instance.
  copyFileSync(join(root, "test/lab/stub-agent.ts"), `${stub}.ts`);
  const program = [process.execPath, join(root, "factory.ts")];
  // Beside the agent and named after it: an isolated job sees no other file of the host's /tmp, where Bun may lie.
  try {
    linkSync(process.execPath, `${stub}-bun`);
  } catch {
    copyFileSync(process.execPath, `${stub}-bun`);
  }
  let bun = `exec '${stub}-bun'`;
  if (options.uid !== undefined || options.isCompiled === true) {
    const executable = join(directory, "executable");
    await buildExecutable({ entry: join(root, "factory.ts"), executable });
    program.splice(0, 2, executable);
    bun = `BUN_BE_BUN=1 exec '${executable}'`;
  }
  writeFileSync(stub, `#!/bin/sh\n${bun} '${stub}.ts' "$@"\n`);
  chmodSync(stub, 0o755);
  const started: Bun.Subprocess[] = [];

  function configure(wanted: LabOptions, where = base): void {
    mkdirSync(where, { recursive: true, mode: 0o700 });
    const testbeds = Object.entries(wanted.testbeds ?? { "bed-1": [] }).map(([name, lines]) =>
      [`[testbed.${name}]`, 'sp_type = "grapefruit"', 'targets = ["sp-test"]', ...lines].join("\n"),
    );
    const agent = wanted.agent === undefined || wanted.agent === "stub" ? stub : wanted.agent;
    const general = [`baseurl = "${proxy.url}"`, `agent = "${agent}"`, 'poll_interval = "100ms"'];
    writeFileSync(
      join(where, "config.toml"),
      [
        `[general]\n${[...general, ...(wanted.general ?? [])].join("\n")}`,
        `[factory]\ntoken = "${account.token}"`,
        ...testbeds,
        `[target.sp-test]\nid = "${wanted.targetId ?? targetId}"`,
        wanted.more ?? "",
      ].join("\n\n"),
      { mode: 0o600 },
    );
    if (wanted.uid !== undefined && process.getuid?.() === 0) {
      Bun.spawnSync(["chown", "-R", `${wanted.uid}:${wanted.uid}`, where]);
    }
  }

  function start({
    base: where = base,
    command = [],
    prefix = [],
    args = [],
    env = {},
  }: StartOptions = {}): FactoryProcess {
    const as =
      options.uid === undefined || process.getuid?.() !== 0
        ? []
        : ["setpriv", `--reuid=${options.uid}`, `--regid=${options.uid}`, "--clear-groups", "--"];
    const logPath = join(directory, `factory-${started.length}.log`);
    const child = Bun.spawn([...prefix, ...as, ...program, ...command, "--base-dir", where, ...args], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: Bun.file(logPath),
      env: {
        PATH: process.env["PATH"] ?? "",
        HOME: where,
        FACTORY_LOCK_DIR: join(directory, "locks"),
        ...options.env,
        ...env,
      },
      cwd: "/",
    });
    started.push(child);
    return {
      kill: (signal: NodeJS.Signals) => child.kill(signal),
      exited: child.exited,
      stdout: async () => await child.stdout.text(),
      pid: child.pid,
      log: () =>
        readFileSync(logPath, "utf8")
          .split("\n")
          .filter((line) => line.startsWith("{"))
          .map((line) => JSON.parse(line) as { level: string; message: string }),
    };
  }

  const readJob = async (id: string): Promise<Job> => must(await user.job(id));
  const lab: Lab = {
    directory,
    base,
    proxy,
    admin,
    user,
    factoryApi: openFactoryApi({ http, baseurl: server.url, token: new Secret(account.token) }),
    factoryId: account.id,
    factoryToken: account.token,
    userToken,
    targetId,
    start,
    configure,
    submit: async (script, { rules = [], name = "job", scripts = [script], env = {} } = {}) => {
      const tasks = scripts.map((text, index) => ({
        name: `task-${index}`,
        script: text,
        env_clear: false,
        env,
      }));
      return must(await user.submitJob({ name, target: "sp-test", tasks, output_rules: rules })).id;
    },
    job: readJob,
    ended: async (id) =>
      await until("the job ends", async () => {
        const job = await readJob(id);
        return job.state === "completed" || job.state === "failed" ? job : null;
      }),
    said: async (id, stream) =>
      must(await user.events(id))
        .filter((event) => stream === undefined || event.stream === stream)
        .map(({ payload }) => payload),
    instanceFile: (instance, path) => {
      try {
        return readFileSync(join(base, "work", instance, path), "utf8");
      } catch {
        return null;
      }
    },
    processes: (mark = directory) => processesNaming(mark),
    [Symbol.asyncDispose]: async () => {
      for (const child of started) child.kill("SIGKILL");
      await Promise.all(started.map(({ exited }) => exited));
      await proxy.stop();
      await server.stop();
      await endLeavings(directory);
      rmSync(directory, { recursive: true, force: true });
    },
  };
  configure(options);
  return lab;
}
