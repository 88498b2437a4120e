/** What a glance at an instance of this host finds, with a real process as its first one. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openClock } from "../../../lib/doors/clock.ts";
import { openFiles } from "../../../lib/doors/files.ts";
import { glance } from "../../../lib/hosts/minder/glance.ts";

const files = openFiles();
const { bootId } = openClock();
const logCapBytes = 1_000;

let directory = "";
let first: Bun.Subprocess;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "glance-"));
  for (const name of ["minder", "opt/etc", "opt/run"]) mkdirSync(join(directory, name), { recursive: true });
  first = Bun.spawn(["sleep", "600"], { stdin: "ignore" });
  const startTime = readFileSync(`/proc/${first.pid}/stat`, "latin1").split(") ")[1]?.split(" ")[19];
  write("minder/identity.json", identityOf({ start_time: startTime ?? "" }));
  write("minder/started", "");
  write("agent.log", "x".repeat(logCapBytes));
});
afterEach(async () => {
  first.kill("SIGKILL");
  await first.exited;
  rmSync(directory, { recursive: true, force: true });
});

const write = (name: string, text: string): void => writeFileSync(join(directory, name), text);
const read = (name: string): string => readFileSync(join(directory, name), "utf8");
const identityOf = (over: Record<string, unknown>): string =>
  JSON.stringify({ boot_id: bootId, pid: first.pid, start_time: "0", pgid: 1, cookie: "c", ...over });
const seen = async (isNameless = false): ReturnType<typeof glance> =>
  await glance(directory, { files, bootId, logCapBytes, isNameless });

test("an agent is at work if it was started, its first process is alive and it has not ended", async () => {
  expect(await seen()).toEqual({ output: null });
});

const changes: [string, () => unknown][] = [
  ["its first process has ended", async () => void (first.kill("SIGKILL"), await first.exited)],
  ["another process has its pid", () => write("minder/identity.json", identityOf({ start_time: "1" }))],
  ["its record is of another boot", () => write("minder/identity.json", identityOf({ boot_id: "other" }))],
  ["its record is empty", () => write("minder/identity.json", "")],
  [
    "its record is larger than any",
    () => write("minder/identity.json", `${" ".repeat(5000)}${read("minder/identity.json")}`),
  ],
  [
    "its record is a pipe that nobody writes to",
    () => {
      rmSync(join(directory, "minder/identity.json"));
      expect(Bun.spawnSync(["mkfifo", join(directory, "minder/identity.json")]).exitCode).toBe(0);
    },
  ],
  ["its record is gone", () => rmSync(join(directory, "minder/identity.json"))],
  ["it was not started", () => rmSync(join(directory, "minder/started"))],
  ["its agent has ended", () => write("minder/exit.json", "{}")],
  ["its job is done", () => write("opt/etc/job-done.json", "{}")],
  ["its log is to be cut", () => truncateSync(join(directory, "agent.log"), logCapBytes + 1)],
  ["its directory is gone", () => rmSync(directory, { recursive: true })],
];
test.each(changes)("the minder must look at an instance when %s", async (_, change) => {
  await change();
  expect(await seen()).toBeNull();
});

test.each([
  ["own\n", "own"],
  ["17\n", "17"],
  ["", null],
  ["nonsense\n", null],
])("it shows whether the job of the built-in agent prints (%j)", async (text, output) => {
  write("opt/run/printed", text);
  expect(await seen()).toEqual({ output });
});

test("it shows the job's name if that is wanted and both agents would have written it so", async () => {
  expect(await seen(true)).toEqual({ output: null });
  const record = { poweroff: false, factory: { name: "lab" }, job: { id: "J", name: 'flash "it"\n' } };
  write("opt/etc/job.json", JSON.stringify(record, null, 2));
  expect(await seen()).toEqual({ output: null });
  expect(await seen(true)).toEqual({ output: null, jobName: 'flash "it"\n' });
  write("opt/etc/job.json", JSON.stringify({ ...record, job: { id: "J", name: "x".repeat(1000) } }, null, 2));
  expect((await seen(true))?.jobName).toHaveLength(200);
  write("opt/etc/job.json", '{"job":');
  expect(await seen(true)).toEqual({ output: null });
  rmSync(join(directory, "opt/etc/job.json"));
  expect(Bun.spawnSync(["mkfifo", join(directory, "opt/etc/job.json")]).exitCode).toBe(0);
  expect(await seen(true)).toEqual({ output: null });
});
