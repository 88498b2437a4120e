/** The lab of `bun run bench`: an embedded server, a factory as a process, and the cost of its processes. */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCustomerApi } from "../lib/devserver/customer.ts";
import { startDevserver } from "../lib/devserver/server.ts";
import { openClock } from "../lib/doors/clock.ts";
import { openHttp } from "../lib/doors/http.ts";
import { openRandom } from "../lib/doors/random.ts";
import { openFactoryApi } from "../lib/server/factory-side.ts";
import { Secret } from "../lib/words/secret.ts";

export const clock = openClock();
export const random = openRandom();
const http = openHttp({ clock });
const adminToken = "bench";
export const directory = mkdtempSync(join(tmpdir(), "bench-"));
export const executable = join(directory, "buildomat-factory-sp-test");

function must<T>(answer: { ok: true; value: T } | { ok: false; message: string }): T {
  if (!answer.ok) throw new Error(answer.message);
  return answer.value;
}

/** A factory with its own server; `calls` counts its requests to the server. */
export async function withFactory<T>(
  options: { agent: string; testbeds: number; bed?: string[] },
  measure: (bench: {
    submit(count: number, script: string): Promise<string[]>;
    jobs(ids: string[]): Promise<{ state: string; assigned: number; complete: number }[]>;
    calls(): number;
    pid: number;
    base: string;
  }) => Promise<T>,
): Promise<T> {
  const server = startDevserver({ clock, random, adminToken });
  let calls = 0;
  const counter = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => {
      const { pathname, search } = new URL(request.url);
      if (pathname.startsWith("/0/factory/")) calls += 1;
      return fetch(`${server.url}${pathname}${search}`, request);
    },
  });
  const admin = openCustomerApi({ http, baseurl: server.url, token: new Secret(adminToken) });
  const target = must(await admin.createTarget("bench", "bench")).id;
  const account = must(await admin.createFactory("bench"));
  const token = must(await admin.createUser("bench")).token;
  const user = openCustomerApi({ http, baseurl: server.url, token: new Secret(token) });
  const base = mkdtempSync(join(directory, "base-"));
  const testbeds = Array.from({ length: options.testbeds }, (_, index) =>
    [`[testbed.bed-${index}]`, 'sp_type = "gimlet"', 'targets = ["bench"]', ...(options.bed ?? []), ""].join(
      "\n",
    ),
  );
  writeFileSync(
    join(base, "config.toml"),
    `[general]\nbaseurl = "http://127.0.0.1:${counter.port}"\nagent = "${options.agent}"\n[factory]\n` +
      `token = "${account.token}"\n${testbeds.join("")}[target.bench]\nid = "${target}"\n`,
    { mode: 0o600 },
  );
  const locks = join(base, "locks");
  mkdirSync(locks);
  chmodSync(locks, 0o1777);
  const factory = Bun.spawn([executable, "--base-dir", base], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: Bun.file(join(base, "log")),
    env: { PATH: process.env["PATH"] ?? "", HOME: base, FACTORY_LOCK_DIR: locks, FACTORY_LOG: "debug" },
  });
  await until(() => calls > 2);
  try {
    return await measure({
      submit: async (count, script) => {
        const ids: string[] = [];
        for (let index = 0; index < count; index += 1) {
          const tasks = [{ name: "bench", script, env_clear: false, env: {} }];
          ids.push(
            must(await user.submitJob({ name: "bench", target: "bench", tasks, output_rules: [] })).id,
          );
        }
        return ids;
      },
      jobs: async (ids) =>
        await Promise.all(
          ids.map(async (id) => {
            const { state, times } = must(await user.job(id));
            const at = (name: string): number => Date.parse(times[name] ?? "");
            return { state, assigned: at("assigned"), complete: at("complete") };
          }),
        ),
      calls: () => calls,
      pid: factory.pid,
      base,
    });
  } finally {
    const api = openFactoryApi({ http, baseurl: server.url, token: new Secret(account.token) });
    for (const { id } of must(await api.workers())) must(await admin.recycleWorker(id));
    factory.kill("SIGUSR1");
    await Promise.race([factory.exited, clock.sleep(60_000)]);
    factory.kill("SIGKILL");
    await counter.stop(true);
    await server.stop();
  }
}

export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = clock.uptimeMs() + 180_000;
  while (!(await condition())) {
    if (clock.uptimeMs() > endMs) throw new Error("the bench waited for three minutes in vain");
    await clock.sleep(20);
  }
}

export function userName(): string {
  return Bun.spawnSync(["id", "-un"]).stdout.toString().trim();
}

export function residentMb(pid: number): string {
  const kib = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0";
  return `${(Number(kib) / 1024).toFixed(0)} MB`;
}

/** Seconds of CPU that the roots and all of their descendants have used so far, including those that have ended. */
export function cpuSeconds(roots: number[]): number {
  const parents = new Map<number, number>();
  const ticks = new Map<number, number>();
  for (const name of readdirSync("/proc").filter((each) => /^\d+$/.test(each))) {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "latin1");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      parents.set(Number(name), Number(fields[1]));
      ticks.set(
        Number(name),
        [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0),
      );
    } catch {
      // It has ended.
    }
  }
  const family = [...roots];
  for (const each of family) for (const [pid, parent] of parents) if (parent === each) family.push(pid);
  return family.reduce((sum, pid) => sum + (ticks.get(pid) ?? 0), 0) / 100;
}

/** Processes that this machine has started since it booted. */
export function processesStarted(): number {
  return Number(/^processes (\d+)/m.exec(readFileSync("/proc/stat", "latin1"))?.[1]);
}

/** Pids of this user's processes whose arguments begin with these. ssh's shared connections are children of no process here. */
export function pidsOf(argumentsBegin: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, "latin1").startsWith(argumentsBegin);
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** A port that forwards to another one, with a delay of `delayMs` in each direction. */
export async function delayed(port: number, delayMs: number): Promise<{ port: number; stop(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.setNoDelay(true);
      from.on("data", (bytes) => setTimeout(() => to.write(bytes), delayMs));
      from.on("error", () => to.destroy());
      from.on("close", () => setTimeout(() => to.destroy(), delayMs));
    }
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    stop: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
