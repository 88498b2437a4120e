/**
 * `bun run bench`: the figures of README and the closing notes, with the embedded server on this machine. Compare only figures of
 * the same machine.
 */
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startSshd } from "../lib/commands/demo/sshd.ts";
import { startRunner } from "../lib/devserver/simulated-runner.ts";
import { openProcesses } from "../lib/doors/processes.ts";
import {
  clock,
  cpuSeconds,
  delayed,
  directory,
  executable,
  pidsOf,
  processesStarted,
  random,
  residentMb,
  until,
  userName,
  withFactory,
} from "./bench-lab.ts";
import { buildExecutable } from "./build.ts";

const rows: [string, string, string][] = [];

interface BackToBack {
  /** From the first job's assignment to the last job's end, divided by the number of jobs. */
  eachSeconds: string;
  /** The longest time from a job's end on the server until the factory ends its instance. */
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

/** How many sleepers were started below a base. */
function startedIn(base: string): number {
  const work = join(base, "work");
  return readdirSync(work).filter((name) => existsSync(join(work, name, "home/started"))).length;
}

await buildExecutable({ entry: join(import.meta.dir, "../factory.ts"), executable });
const stub = join(directory, "stub-agent");
copyFileSync(process.execPath, `${stub}-bun`);
writeFileSync(`${stub}.ts`, readFileSync(join(import.meta.dir, "../test/lab/stub-agent.ts")));
writeFileSync(stub, `#!/bin/sh\nexec '${stub}-bun' '${stub}.ts' "$@"\n`, { mode: 0o755 });
const sleeper = join(directory, "sleeper");
writeFileSync(sleeper, '#!/bin/sh\n: >"$HOME/started"\nexec sleep 100000\n', { mode: 0o755 });
/** `bun run bench NAME` runs only one of them. */
const sections: Record<string, () => Promise<void>> = {
  start: () => {
    const versions = Array.from({ length: 10 }, () => {
      const from = performance.now();
      Bun.spawnSync([executable, "--version"]);
      return performance.now() - from;
    }).toSorted((a, b) => a - b);
    rows.push(["--version", `${(versions[5] ?? 0).toFixed(0)} ms`, "40 ms"]);
    return Promise.resolve();
  },
  local: async () => {
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
  },
  ssh: async () => {
    const sshd = await startSshd(
      { directory: join(directory, "sshd"), config: ["MaxSessions 10"] },
      { clock, processes: openProcesses({ clock }) },
    );
    if (!sshd.ok) throw new Error(sshd.reason);
    const bedAt = (port: number): string[] => [
      'host = "127.0.0.1"',
      `ssh_user = "${userName()}"`,
      `ssh_port = ${port}`,
      `ssh_key = "${sshd.userKey}"`,
      `host_key = "${sshd.hostKey}"`,
      `work_dir = "${directory}/far"`,
      `agent_path = "${stub}"`,
    ];
    const behindSsh = await backToBack("builtin", "sleep 0.15", bedAt(sshd.port));
    rows.push([
      "a job back to back, behind ssh on loopback, 0.15 s of work",
      behindSsh.eachSeconds,
      "0.40 s",
    ]);
    rows.push(["the end of such a job, until noticed, longest of 20", behindSsh.noticedSeconds, "0.30 s"]);
    for (const count of [20, 40]) {
      await withFactory({ agent: "builtin", testbeds: count, bed: bedAt(sshd.port) }, async (bench) => {
        await bench.submit(count, "sleep 600");
        await until(() => pidsOf("sleep\u0000600\u0000").length === count);
        await clock.sleep(5_000);
        const both = (): number => cpuSeconds([bench.pid, sshd.pid, ...pidsOf("ssh: ")]);
        const [cpu, started, seconds] = [both(), processesStarted(), 60];
        await clock.sleep(seconds * 1000);
        const each = ((both() - cpu) / seconds / count) * 100;
        rows.push([
          `CPU of both sides for each of ${count} jobs behind ssh`,
          `${each.toFixed(2)} %`,
          "0.5 %",
        ]);
        if (count > 20) return;
        const starts = processesStarted() - started;
        rows.push(["processes started a minute meanwhile, on the whole machine", `${starts}`, "60"]);
      });
    }
    const slow = await delayed(sshd.port, 250);
    const farAway = await backToBack("builtin", "sleep 0.15", bedAt(slow.port));
    rows.push(["a job back to back, behind ssh, 500 ms round trip", farAway.eachSeconds, "3.5 s"]);
    slow.stop();
    await sshd.stop();
  },
  service: async () => {
    const runner = startRunner({ clock, random, boards: ["bed-0"], runMs: 0 });
    const atService = await backToBack("builtin", "true", [`sp_runner_url = "${runner.url}"`]);
    await runner.stop();
    rows.push(["a job back to back, sp-runner service that takes no time", atService.eachSeconds, "-"]);
  },
  hundred: async () => {
    await withFactory({ agent: sleeper, testbeds: 100 }, async ({ submit, calls, pid, base }) => {
      await clock.sleep(3_000);
      rows.push(["resident memory, idle, 100 testbeds", residentMb(pid), "60 MB"]);
      const idle = calls();
      await clock.sleep(30_000);
      rows.push(["requests a minute, idle", `${(calls() - idle) * 2}`, "66"]);
      const from = clock.uptimeMs();
      await submit(100, "true");
      await until(() => startedIn(base) === 100);
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
  },
  thousand: async () => {
    await withFactory({ agent: sleeper, testbeds: 1000 }, async ({ submit, pid, base }) => {
      await submit(1000, "true");
      await until(() => startedIn(base) === 1000);
      await clock.sleep(30_000);
      // Its children's time counts when they have ended.
      const ownSeconds = (): number => {
        const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]?.split(" ") ?? [];
        return (Number(fields[11]) + Number(fields[12])) / 100;
      };
      const endedSeconds = (): number => {
        const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]?.split(" ") ?? [];
        return (Number(fields[13]) + Number(fields[14])) / 100;
      };
      const [own, ended] = [ownSeconds(), endedSeconds()];
      await clock.sleep(120_000);
      const [ownShare, endedShare] = [(ownSeconds() - own) / 1.2, (endedSeconds() - ended) / 1.2];
      rows.push(["CPU of the factory, 1,000 local jobs running", `${ownShare.toFixed(1)} %`, "2 %"]);
      rows.push(["CPU of its children meanwhile", `${endedShare.toFixed(1)} %`, "3 %"]);
    });
  },
};

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(sections);
process.stdout.write(`built; measuring ${names.join(", ")}\n`);
for (const name of names) await sections[name]?.();

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
