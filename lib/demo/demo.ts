/**
 * `demo`: an embedded server, three simulated testbeds and the real factory on this host, with eight jobs. All of it lives
 * in one temporary directory and is gone at the end, also after Ctrl+C.
 */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCustomerApi, type CustomerApi, type Job } from "../customer-api.ts";
import { startDevserver } from "../devserver/server.ts";
import type { Clock } from "../doors/clock.ts";
import type { Http } from "../doors/http.ts";
import type { Processes } from "../doors/processes.ts";
import type { Random } from "../doors/random.ts";
import { FactoryError } from "../failure.ts";
import { localTransport, openMinder } from "../minder/minder.ts";
import { Secret } from "../secret.ts";
import { type DemoJob, demoJobs, demoTargets } from "./jobs.ts";

export interface DemoParts {
  /** How this program is started. */
  self: string[];
  clock: Clock;
  random: Random;
  http: Http;
  processes: Processes;
  print(line: string): void;
}

/** The whole demo is given up after this. */
const withinMs = 60_000;
const pollMs = 100;

export async function runDemo(parts: DemoParts): Promise<number> {
  const { clock, random, http, print } = parts;
  const begunMs = clock.uptimeMs();
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  const directory = mkdtempSync(join(tmpdir(), "sp-test-demo-"));
  const adminToken = Buffer.from(random.bytes(16)).toString("hex");
  const server = startDevserver({ clock, random, adminToken });
  const api = openCustomerApi({ http, baseurl: server.url, token: new Secret(adminToken) });
  let factory: Bun.Subprocess | null = null;
  try {
    print("An embedded server, three simulated testbeds, eight jobs:");
    const { user, factoryToken, targetIds } = await prepareServer(api, { http, url: server.url });
    factory = startFactory(parts.self, directory, configText(server.url, factoryToken, targetIds));
    const runs = await submitAll(user);
    // A factory that ends by itself has nothing more to show.
    const over = new AbortController();
    const end = (): void => over.abort();
    factory.exited.then(end, end);
    const signal = AbortSignal.any([interrupted.signal, over.signal]);
    await follow(runs, { user, clock, print, signal });
    await endFactory(factory, runs, user, clock);
    if (interrupted.signal.aborted) return 1;
    if (!runs.every(isOver)) {
      print(readFileSync(join(directory, "factory.log"), "utf8"));
      return 1;
    }
    const verdicts = await Promise.all(runs.map((run) => judge(run, user, api)));
    printTable(runs, verdicts, print);
    const wrong = verdicts.filter(({ fault }) => fault !== null).length;
    const seconds = ((clock.uptimeMs() - begunMs) / 1000).toFixed(1);
    print(wrong === 0 ? `All eight jobs ended as they should, in ${seconds} s.` : `${wrong} jobs did not.`);
    if (wrong > 0) print(readFileSync(join(directory, "factory.log"), "utf8"));
    return wrong === 0 ? 0 : 1;
  } finally {
    factory?.kill("SIGKILL");
    await stopLeftovers(directory, parts);
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}

interface DemoRun {
  job: DemoJob;
  id: string;
  state: string;
  last: Job | null;
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

function configText(url: string, token: string, targetIds: Record<string, string>): string {
  const testbed = (name: string, type: string, target: string): string =>
    `[testbed.${name}]\nsp_type = "${type}"\ntargets = ["${target}"]\nnote = "simulated"\n`;
  return [
    `[general]\nbaseurl = "${url}"\npoll_interval = "200ms"\nagent = "builtin"\n`,
    `[factory]\ntoken = "${token}"\n`,
    testbed("grapefruit-1", "grapefruit", demoTargets.grapefruit),
    testbed("grapefruit-2", "grapefruit", demoTargets.grapefruit),
    testbed("gimlet-1", "gimlet", demoTargets.gimlet),
    ...Object.entries(targetIds).map(([name, id]) => `[target.${name}]\nid = "${id}"\n`),
  ].join("\n");
}

/** In a session of its own: a Ctrl+C of the terminal is for the demo, which ends the factory in good order. */
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

async function submitAll(user: CustomerApi): Promise<DemoRun[]> {
  const runs: DemoRun[] = [];
  for (const job of demoJobs) {
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

/** Lets the factory end what still runs, and then itself. */
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

/** Agents outlive a factory that was killed: what still runs of the demo's instances is stopped here. */
async function stopLeftovers(directory: string, { random, processes }: DemoParts): Promise<void> {
  const work = join(directory, "base", "work");
  const minder = openMinder({
    transport: localTransport({ processes }),
    random,
    directory: work,
    lockDirectory: join(directory, "locks"),
  });
  const recalled = await minder.recall(work);
  if (!recalled.ok) return;
  await Promise.all(recalled.instances.map((each) => minder.stop(each.directory, { graceMs: 1000 })));
}

interface Verdict {
  testbed: string;
  waited: string;
  ran: string;
  result: string;
  /** What is not as it should be; null where all is. */
  fault: string | null;
}

async function judge(run: DemoRun, user: CustomerApi, admin: CustomerApi): Promise<Verdict> {
  const job = must(await user.job(run.id));
  const events = must(await user.events(run.id));
  const assigned = events
    .map(({ payload }) => /^job assigned to worker (\w+)/.exec(payload)?.[1])
    .find(Boolean);
  const place = assigned === undefined ? null : must(await admin.adminWorker(assigned)).factory_private;
  const faults: string[] = [];
  if (job.state !== run.job.expected) faults.push(`${job.state} instead of ${run.job.expected}`);
  if (job.cancelled !== run.job.isCancelled) faults.push("cancelled");
  const { says } = run.job;
  if (says !== null && !events.some(({ stream, payload }) => stream === "stdout" && payload === says)) {
    faults.push(`did not say "${says}"`);
  }
  const outputs = must(await user.outputs(run.id));
  for (const [path, sha256] of Object.entries(run.job.outputs)) {
    const output = outputs.find((each) => each.path === path);
    const bytes = output === undefined ? null : must(await user.downloadOutput(run.id, output.id));
    const found = bytes === null ? null : createHash("sha256").update(bytes).digest("hex");
    if (found !== sha256) faults.push(`${path} is ${found === null ? "missing" : "not what was written"}`);
  }
  return {
    testbed: place?.replace(/\/\d+$/, "") ?? "-",
    waited: between(job.times["submit"], job.times["assigned"]),
    ran: between(job.times["assigned"], job.times["complete"]),
    result: job.cancelled ? "cancelled" : job.state,
    fault: faults.length === 0 ? null : faults.join(", "),
  };
}

function between(from: string | undefined, to: string | undefined): string {
  if (from === undefined || to === undefined) return "-";
  return `${((Date.parse(to) - Date.parse(from)) / 1000).toFixed(1)} s`;
}

function printTable(runs: DemoRun[], verdicts: Verdict[], print: (line: string) => void): void {
  const header = ["job", "testbed", "waited", "ran", "result", "as it should"];
  const rows = verdicts.map(({ testbed, waited, ran, result, fault }, index) => [
    runs[index]?.job.title ?? "",
    testbed,
    waited,
    ran,
    result,
    fault ?? "yes",
  ]);
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  print("");
  for (const row of [header, ...rows]) {
    print(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    );
  }
  print("");
}

function must<T>(answer: { ok: true; value: T } | { ok: false; message: string }): T {
  if (answer.ok) return answer.value;
  throw new FactoryError(`The demo's server refused a call: ${answer.message}`, { exitCode: 1 });
}
