/**
 * `bun run bench`: the figures of README and the closing notes, on the embedded server of this machine. Absolute times move
 * from machine to machine; compare only what ran on one.
 */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCustomerApi } from "../lib/customer-api.ts";
import { startSshd } from "../lib/demo/sshd.ts";
import { startDevserver } from "../lib/devserver/server.ts";
import { startRunner } from "../lib/devserver/sp-runner.ts";
import { openClock } from "../lib/doors/clock.ts";
import { openHttp } from "../lib/doors/http.ts";
import { openProcesses } from "../lib/doors/processes.ts";
import { openRandom } from "../lib/doors/random.ts";
import { openFactoryApi } from "../lib/factory-api.ts";
import { Secret } from "../lib/secret.ts";
import { buildExecutable } from "./build.ts";

const clock = openClock();
const random = openRandom();
const http = openHttp({ clock });
const adminToken = "bench";
const directory = mkdtempSync(join(tmpdir(), "bench-"));
const executable = join(directory, "buildomat-factory-sp-test");
const rows: [string, string, string][] = [];

function must<T>(answer: { ok: true; value: T } | { ok: false; message: string }): T {
  if (!answer.ok) throw new Error(answer.message);
  return answer.value;
}

/** A factory on a server of its own; `calls` counts what it asks of the server. */
async function withFactory<T>(
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

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = clock.uptimeMs() + 180_000;
  while (!(await condition())) {
    if (clock.uptimeMs() > endMs) throw new Error("the bench waited three minutes for what did not come");
    await clock.sleep(20);
  }
}

function userName(): string {
  return Bun.spawnSync(["id", "-un"]).stdout.toString().trim();
}

function residentMb(pid: number): string {
  const kib = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0";
  return `${(Number(kib) / 1024).toFixed(0)} MB`;
}

interface BackToBack {
  /** From the first job's assignment to the last one's end, for each job. */
  eachSeconds: string;
  /** The longest time from the server's word that a job is over until the factory ends its instance. */
  noticedSeconds: string;
}

/** Twenty jobs, one after another on one testbed. */
async function backToBack(agent: string, script: string, bed: string[] = []): Promise<BackToBack> {
  const count = 20;
  return await withFactory({ agent, testbeds: 1, bed }, async ({ submit, jobs, base }) => {
    const ids = await submit(count, script);
    let seen: Awaited<ReturnType<typeof jobs>> = [];
    await until(async () => {
      seen = await jobs(ids);
      return seen.every(({ state }) => state === "completed" || state === "failed");
    });
    if (seen.some(({ state }) => state !== "completed")) throw new Error("a job of the bench failed");
    const endings = (): { time: string; message: string; job?: string }[] =>
      readFileSync(join(base, "log"), "utf8")
        .split("\n")
        .filter((line) => line.includes("ending: "))
        .map((line) => JSON.parse(line) as { time: string; message: string; job?: string });
    await until(() => endings().length === count);
    const from = Math.min(...seen.map(({ assigned }) => assigned));
    const to = Math.max(...seen.map(({ complete }) => complete));
    const lags = endings().map(
      ({ time, job = "" }) => Date.parse(time) - (seen[ids.indexOf(job)]?.complete ?? Number.NaN),
    );
    return {
      eachSeconds: `${((to - from) / 1000 / count).toFixed(3)} s`,
      noticedSeconds: `${(Math.max(...lags) / 1000).toFixed(3)} s`,
    };
  });
}

await buildExecutable({ entry: join(import.meta.dir, "../factory.ts"), executable });
process.stdout.write("built; measuring, about three minutes\n");

const versions = Array.from({ length: 10 }, () => {
  const from = performance.now();
  Bun.spawnSync([executable, "--version"]);
  return performance.now() - from;
}).toSorted((a, b) => a - b);
rows.push(["--version", `${(versions[5] ?? 0).toFixed(0)} ms`, "40 ms"]);

const stub = join(directory, "stub-agent");
writeFileSync(`${stub}.ts`, readFileSync(join(import.meta.dir, "../test/stub-agent.ts")));
writeFileSync(stub, `#!/bin/sh\nexec '${process.execPath}' '${stub}.ts' "$@"\n`, { mode: 0o755 });
rows.push([
  "a job back to back, stub agent, 0.15 s of work",
  (await backToBack(stub, "sleep 0.15")).eachSeconds,
  "0.5 s",
]);
rows.push([
  "a job back to back, built-in agent, trivial",
  (await backToBack("builtin", "true")).eachSeconds,
  "0.25 s",
]);

const sshd = await startSshd(
  { directory: join(directory, "sshd") },
  { clock, processes: openProcesses({ clock }) },
);
if (!sshd.ok) throw new Error(sshd.reason);
const behindSsh = await backToBack("builtin", "true", [
  'host = "127.0.0.1"',
  `ssh_user = "${userName()}"`,
  `ssh_port = ${sshd.port}`,
  `ssh_key = "${sshd.userKey}"`,
  `host_key = "${sshd.hostKey}"`,
  `work_dir = "${directory}/far"`,
]);
await sshd.stop();
rows.push(["a job back to back, behind ssh on loopback, trivial", behindSsh.eachSeconds, "-"]);
rows.push(["the end of such a job, until noticed, longest of 20", behindSsh.noticedSeconds, "2 s"]);

const runner = startRunner({ clock, random, boards: ["bed-0"], runMs: 0 });
const atService = await backToBack("builtin", "true", [`sp_runner_url = "${runner.url}"`]);
await runner.stop();
rows.push(["a job back to back, sp-runner service that takes no time", atService.eachSeconds, "-"]);

const sleeper = join(directory, "sleeper");
writeFileSync(sleeper, '#!/bin/sh\n: >"$HOME/started"\nexec sleep 100000\n', { mode: 0o755 });
await withFactory({ agent: sleeper, testbeds: 100 }, async ({ submit, calls, pid, base }) => {
  await clock.sleep(3_000);
  rows.push(["resident memory, idle, 100 testbeds", residentMb(pid), "60 MB"]);
  const idle = calls();
  await clock.sleep(30_000);
  rows.push(["requests a minute, idle", `${(calls() - idle) * 2}`, "66"]);
  const from = clock.uptimeMs();
  await submit(100, "true");
  const work = join(base, "work");
  const started = (): number =>
    readdirSync(work).filter((name) => {
      try {
        return readdirSync(join(work, name, "home")).includes("started");
      } catch {
        return false;
      }
    }).length;
  await until(() => started() === 100);
  rows.push([
    "100 jobs on 100 testbeds, queued to all agents started",
    `${((clock.uptimeMs() - from) / 1000).toFixed(1)} s`,
    "-",
  ]);
  await clock.sleep(2_000);
  const running = calls();
  await clock.sleep(30_000);
  rows.push(["requests a minute, 100 running", `${(calls() - running) * 2}`, "26"]);
  rows.push(["resident memory, 100 running", residentMb(pid), "60 MB"]);
});

rmSync(directory, { recursive: true, force: true });
const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => (row[column] ?? "").length), 4));
process.stdout.write("\n");
for (const row of [["what", "here", "aim"], ...rows]) {
  process.stdout.write(
    `${row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd()}\n`,
  );
}
