/**
 * `demo`: an embedded server, simulated testbeds and the real factory on this host, with a job for each thing worth seeing.
 * Everything is in one temporary directory, which is removed at the end, also after Ctrl+C.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openCustomerApi, type CustomerApi } from "../../devserver/customer.ts";
import { startDevserver } from "../../devserver/server.ts";
import { startRunner } from "../../devserver/simulated-runner.ts";
import type { Clock } from "../../doors/clock.ts";
import type { Http } from "../../doors/http.ts";
import { openMinder } from "../../hosts/minder/minder.ts";
import { localTransport } from "../../hosts/minder/transport.ts";
import { Secret } from "../../words/secret.ts";
import type { ThisProcess } from "../this-process.ts";
import { type DemoJob, demoJobs, demoTargets, sshJob } from "./jobs.ts";
import { startSshBench } from "./ssh-bench.ts";
import { type DemoRun, must, showVerdicts } from "./verdict.ts";

export type DemoParts = Pick<
  ThisProcess,
  "self" | "temporaryDirectory" | "clock" | "random" | "http" | "processes" | "print"
>;

/** With `keep`: from one round of jobs to the next. */
const pauseMs = 10_000;

/** The demo gives up after this long. */
const withinMs = 60_000;
const pollMs = 100;

/** `isKept`: the factory goes on with the same jobs, again and again, and shows its page, until Ctrl+C. */
export async function runDemo(
  parts: DemoParts,
  { isKept = false, localJobs = demoJobs }: { isKept?: boolean; localJobs?: DemoJob[] } = {},
): Promise<number> {
  const { clock, random, http, print } = parts;
  const begunMs = clock.uptimeMs();
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  const directory = mkdtempSync(join(parts.temporaryDirectory, "sp-test-demo-"));
  const adminToken = Buffer.from(random.bytes(16)).toString("hex");
  const server = startDevserver({ clock, random, adminToken });
  const runner = startRunner({ clock, random, boards: ["sidecar-1"], runMs: 2000 });
  const bench = await startSshBench(directory, parts);
  const api = openCustomerApi({ http, baseurl: server.url, token: new Secret(adminToken) });
  let factory: Bun.Subprocess | null = null;
  try {
    const jobs = bench.ok ? [...localJobs, sshJob] : localJobs;
    print(`An embedded server, ${bench.ok ? 5 : 4} simulated testbeds, ${jobs.length} jobs:`);
    if (!bench.ok) print(`(no testbed behind ssh: ${bench.reason})`);
    const { user, factoryToken, targetIds } = await prepareServer(api, { http, url: server.url });
    const config = configText(
      { url: server.url, token: factoryToken, targetIds },
      { "sidecar-1": [`sp_runner_url = "${runner.url}"`], "psc-1": bench.ok ? bench.lines : null },
    );
    factory = startFactory(parts.self, directory, config);
    const runs = await submitAll(user, jobs);
    // A factory that ends by itself ends the demo.
    const over = new AbortController();
    const end = (): void => over.abort();
    factory.exited.then(end, end);
    const signal = AbortSignal.any([interrupted.signal, over.signal]);
    await follow(runs, { user, clock, print, signal });
    if (interrupted.signal.aborted) {
      // A user who interrupts the demo does not want to wait for running jobs.
      factory.kill("SIGTERM");
      await Promise.race([factory.exited, clock.sleep(5_000)]);
      return 1;
    }
    if (isKept) {
      await showVerdicts(runs, { user, admin: api, print });
      await keep(jobs, { directory, user, clock, print, signal });
      factory.kill("SIGTERM");
      await Promise.race([factory.exited, clock.sleep(5_000)]);
      return interrupted.signal.aborted ? 0 : 1;
    }
    await endFactory(factory, runs, user, clock);
    const seconds = ((clock.uptimeMs() - begunMs) / 1000).toFixed(1);
    const wrong = await showVerdicts(runs, { user, admin: api, print });
    if (wrong === 0) {
      print(`All ${jobs.length} jobs ended as they should, in ${seconds} s.`);
      return 0;
    }
    print(`The factory's log:\n${readFileSync(join(directory, "factory.log"), "utf8")}`);
    print(`${wrong === 1 ? "1 job" : `${wrong} jobs`} did not end as ${wrong === 1 ? "it" : "they"} should`);
    return 1;
  } finally {
    factory?.kill("SIGKILL");
    await stopLeftovers(directory, parts);
    if (bench.ok) await bench.stop();
    await runner.stop();
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}

async function prepareServer(
  api: CustomerApi,
  { http, url }: { http: Http; url: string },
): Promise<{ user: CustomerApi; factoryToken: string; targetIds: Record<string, string> }> {
  const targetIds: Record<string, string> = {};
  for (const name of Object.values(demoTargets)) {
    targetIds[name] = must(await api.createTarget(name, `simulated ${name}`)).id;
  }
  const factory = must(await api.createFactory("demo"));
  const user = must(await api.createUser("demo"));
  return {
    user: openCustomerApi({ http, baseurl: url, token: new Secret(user.token) }),
    factoryToken: factory.token,
    targetIds,
  };
}

/** `lines`: further lines of a testbed's section; null: leave the testbed out. */
function configText(
  { url, token, targetIds }: { url: string; token: string; targetIds: Record<string, string> },
  lines: Record<string, string[] | null>,
): string {
  const testbed = (name: string): string => {
    const type = name.replace(/-\d+$/, "") as keyof typeof demoTargets;
    const own = lines[name] ?? [];
    return [
      `[testbed.${name}]`,
      `sp_type = "${type}"`,
      `targets = ["${demoTargets[type]}"]`,
      'note = "simulated"',
      ...own,
      "",
    ].join("\n");
  };
  const names = ["grapefruit-1", "grapefruit-2", "gimlet-1", "sidecar-1", "psc-1"];
  return [
    `[general]\nbaseurl = "${url}"\npoll_interval = "200ms"\nagent = "builtin"\n`,
    `[web]\nlisten = "127.0.0.1:0"\n`,
    `[factory]\ntoken = "${token}"\n`,
    ...names.filter((name) => lines[name] !== null).map(testbed),
    ...Object.entries(targetIds).map(([name, id]) => `[target.${name}]\nid = "${id}"\n`),
  ].join("\n");
}

/** In its own session: Ctrl+C in the terminal reaches only the demo, which then ends the factory properly. */
function startFactory(self: string[], directory: string, config: string): Bun.Subprocess {
  const base = join(directory, "base");
  mkdirSync(base, { mode: 0o700 });
  writeFileSync(join(base, "config.toml"), config, { mode: 0o600 });
  return Bun.spawn([...self, "run", "--base-dir", base], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: Bun.file(join(directory, "factory.log")),
    env: { PATH: process.env["PATH"], HOME: directory, FACTORY_LOCK_DIR: join(directory, "locks") },
    detached: true,
  });
}

async function submitAll(user: CustomerApi, jobs: DemoJob[]): Promise<DemoRun[]> {
  const runs: DemoRun[] = [];
  for (const job of jobs) {
    const { id } = must(await user.submitJob(job.request));
    for (const [name, text] of Object.entries(job.inputs)) {
      must(await user.uploadInput(id, name, new TextEncoder().encode(text)));
    }
    runs.push({ job, id, state: "", last: null });
  }
  return runs;
}

function isOver(run: DemoRun): boolean {
  return run.state === "completed" || run.state === "failed";
}

async function follow(
  runs: DemoRun[],
  {
    user,
    clock,
    print,
    signal,
  }: { user: CustomerApi; clock: Clock; print(line: string): void; signal: AbortSignal },
): Promise<void> {
  const begunMs = clock.uptimeMs();
  while (!signal.aborted && !runs.every(isOver)) {
    const elapsedMs = clock.uptimeMs() - begunMs;
    if (elapsedMs > withinMs) return;
    for (const run of runs.filter((each) => !isOver(each))) {
      run.last = must(await user.job(run.id));
      if (run.last.state === run.state) continue;
      run.state = run.last.state;
      print(`${(elapsedMs / 1000).toFixed(1).padStart(6)} s  ${run.job.title.padEnd(14)} ${run.state}`);
      if (run.job.isCancelled && run.state === "running") must(await user.cancel(run.id));
    }
    await clock.sleep(pollMs, signal);
  }
}

async function keep(
  jobs: DemoJob[],
  {
    directory,
    user,
    clock,
    print,
    signal,
  }: { directory: string; user: CustomerApi; clock: Clock; print(line: string): void; signal: AbortSignal },
): Promise<void> {
  const url = readFileSync(join(directory, "factory.log"), "utf8")
    .split("\n")
    .map((line) => /"web":"([^"]+)"/.exec(line)?.[1])
    .find((each) => each !== undefined);
  print(`The factory goes on until Ctrl+C. Its page: ${url ?? "see the log"}`);
  while (!signal.aborted) {
    await clock.sleep(pauseMs, signal);
    if (signal.aborted) return;
    await follow(await submitAll(user, jobs), { user, clock, print: () => undefined, signal });
  }
}

/** Lets the factory end what still runs, then itself. */
async function endFactory(
  factory: Bun.Subprocess,
  runs: DemoRun[],
  user: CustomerApi,
  clock: Clock,
): Promise<void> {
  for (const run of runs) if (!isOver(run)) await user.cancel(run.id);
  factory.kill("SIGUSR1");
  await Promise.race([factory.exited, clock.sleep(15_000)]);
}

/** Agents outlive a killed factory: this stops what still runs of the demo's instances. */
async function stopLeftovers(directory: string, { random, processes }: DemoParts): Promise<void> {
  for (const work of [join(directory, "base", "work"), join(directory, "far")]) {
    const minder = openMinder({
      transport: localTransport({ processes }),
      random,
      directory: work,
      lockDirectory: join(directory, "locks"),
    });
    const recalled = await minder.recall(work);
    if (!recalled.ok) continue;
    await Promise.all(recalled.instances.map((each) => minder.stop(each.directory, { graceMs: 1000 })));
  }
}
