/** The demo as a user runs it, to its end and interrupted. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runDemo } from "../../lib/commands/demo/demo.ts";
import { demoJobs, sshJob } from "../../lib/commands/demo/jobs.ts";
import { openClock } from "../../lib/doors/clock.ts";
import { openHttp } from "../../lib/doors/http.ts";
import { openProcesses } from "../../lib/doors/processes.ts";
import { openRandom } from "../../lib/doors/random.ts";
import { processesNaming } from "../lab/leavings.ts";
import { isThere } from "../lab/needs.ts";
import { until } from "../lab/until.ts";

setDefaultTimeout(90_000);

interface Demo {
  directory: string;
  child: Bun.Subprocess;
  output(): string;
  [Symbol.dispose](): void;
}

/** Its temporary directory is new, so that the test sees whatever it leaves. */
function startDemo(...flags: string[]): Demo {
  const directory = mkdtempSync(join(tmpdir(), "demo-test-"));
  const outputPath = `${directory}.out`;
  // Bun keeps what it compiles under HOME when it runs from source.
  const home = `${directory}.home`;
  mkdirSync(home);
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "../../factory.ts"), "demo", ...flags], {
    stdin: "ignore",
    stdout: Bun.file(outputPath),
    stderr: Bun.file(`${outputPath}.err`),
    cwd: directory,
    env: { PATH: process.env["PATH"] ?? "", HOME: home, TMPDIR: directory },
  });
  return {
    directory,
    child,
    output: () => readFileSync(outputPath, "utf8"),
    [Symbol.dispose]: () => {
      child.kill("SIGKILL");
      for (const path of [directory, home, outputPath, `${outputPath}.err`])
        rmSync(path, { recursive: true, force: true });
    },
  };
}

test("demo ends every job as it should, and leaves nothing behind", async () => {
  using demo = startDemo();
  expect(await demo.child.exited).toBe(0);
  const lines = demo.output().split("\n");
  const jobs = [...demoJobs, ...(isThere("sshd") ? [sshJob] : [])];
  for (const { title } of jobs) {
    const row = lines.findLast((line) => line.startsWith(`${title} `));
    expect(row).toEndWith("yes");
  }
  expect(demo.output()).toContain(`All ${jobs.length} jobs ended as they should`);
  expect(readdirSync(demo.directory)).toEqual([]);
  expect(processesNaming(demo.directory)).toEqual([]);
});

test("demo interrupted by Ctrl+C exits 1 and leaves nothing behind", async () => {
  using demo = startDemo();
  await until("jobs run", () => demo.output().includes("running"));
  demo.child.kill("SIGINT");
  expect(await demo.child.exited).toBe(1);
  expect(readdirSync(demo.directory)).toEqual([]);
  await until("its processes are gone", () => processesNaming(demo.directory).length === 0);
});

test("demo --keep shows the factory's page until Ctrl+C, and leaves nothing behind", async () => {
  using demo = startDemo("--keep");
  const url = await until("it prints an address", () => /Its page: (\S+)/.exec(demo.output())?.[1]);
  const page = await (await fetch(url)).text();
  for (const name of ["gimlet-1", "grapefruit-2", "sidecar-1"]) expect(page).toContain(`>${name}</a>`);
  expect(page).toContain("two-tasks");
  const log = await (await fetch(new URL("testbed/grapefruit-1", url))).text();
  expect(/<pre[^>]*>([^<]*)</.exec(log)?.[1]).toMatch(/ts|job|task/);
  demo.child.kill("SIGINT");
  expect(await demo.child.exited).toBe(0);
  expect(readdirSync(demo.directory)).toEqual([]);
  await until("its processes are gone", () => processesNaming(demo.directory).length === 0);
});

test("demo shows the output of a job that did not end as it should, and the factory's log", async () => {
  const temporaryDirectory = mkdtempSync(join(tmpdir(), "demo-test-"));
  const clock = openClock();
  const jobs = demoJobs.slice(0, 1).map((job) => ({ ...job, says: "what nobody says" }));
  let printed = "";
  const parts = {
    self: [process.execPath, join(import.meta.dir, "../../factory.ts")],
    temporaryDirectory,
    clock,
    random: openRandom(),
    http: openHttp({ clock }),
    processes: openProcesses({ clock }),
    print: (line: string) => void (printed += `${line}\n`),
  };
  expect(await runDemo(parts, { localJobs: jobs })).toBe(1);
  expect(printed).toContain("\n1 job did not end as it should\n");
  expect(printed).toMatch(/\nOutput of two-tasks:\n(?: {2}.*\n)* {2}stdout {3}building\n/);
  expect(printed).toMatch(/\nThe factory's log:\n(?:.*\n)+/);
  expect(readdirSync(temporaryDirectory)).toEqual([]);
  rmSync(temporaryDirectory, { recursive: true });
});
