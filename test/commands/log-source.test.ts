/** Which log is meant by a name, from the database and from a running factory; and who reads it where. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { type Journal, openJournal } from "../../lib/commands/journal-source.ts";
import { checkFile, findInstance } from "../../lib/commands/log-source.ts";
import { openClock } from "../../lib/doors/clock.ts";
import { openFiles } from "../../lib/doors/files.ts";
import { openHttp } from "../../lib/doors/http.ts";
import { openFactoryClient } from "../../lib/control/client.ts";
import { controlSocketOf } from "../../lib/control/socket-path.ts";
import { type FactoryProcess, type Lab, openLab } from "../lab/lab.ts";
import { jobOf } from "../policy/scenes.ts";
import { until } from "../lab/until.ts";

setDefaultTimeout(60_000);

let it: Lab;
let factory: FactoryProcess;
let done = "";
let running = "";
const journals: Record<string, Journal> = {};

beforeAll(async () => {
  it = await openLab({ agent: "builtin", testbeds: { "bed-1": [] } });
  factory = it.start();
  done = await it.submit("echo one");
  await it.ended(done);
  running = await it.submit(`echo two; while [ ! -e '${it.directory}/end' ]; do sleep 0.1; done`);
  await until("it runs", async () => (await it.said(running, "stdout")).includes("two"));
  const clock = openClock();
  const doors = { http: openHttp({ clock }), clock, files: openFiles() };
  const isThere = () => Promise.reject(new Error("permission denied"));
  const base = { config: join(it.base, "config.toml"), database: join(it.base, "data.sqlite3") };
  const at = base as Parameters<typeof openJournal>[1];
  journals["the database"] = await openJournal(doors, at);
  journals["the factory"] = await openJournal({ ...doors, files: { ...doors.files, isThere } }, at);
}, 60_000);

afterAll(async () => {
  for (const journal of Object.values(journals)) journal.close();
  await it[Symbol.asyncDispose]();
});

async function logs(...args: string[]): Promise<{ code: number; said: string }> {
  const asked = it.start({ command: ["logs"], args });
  const code = await asked.exited;
  return { code, said: await asked.stdout() };
}

test.each(["the database", "the factory"])(
  "in %s a name is a testbed's last instance, an instance, or a job's",
  async (where) => {
    const journal = journals[where] as Journal;
    const found = async (name: string): Promise<string> => {
      const { testbed, seq } = await findInstance(name, journal);
      return `${testbed}/${seq}`;
    };
    expect(await found("bed-1")).toBe("bed-1/2");
    for (const name of ["bed-1/1", "bed-1_1", done, done.slice(0, 20), done.toLowerCase()]) {
      expect(await found(name)).toBe("bed-1/1");
    }
    expect(await found(running)).toBe("bed-1/2");
    expect(found("bed")).rejects.toMatchObject({
      message: 'Cannot show a log: "bed" is not a testbed that had a job, nor an instance, nor a job\'s id',
      hint: "Give a testbed (bed-1), one of its instances, for example bed-1/1, or at least 8 characters of a job's id",
    });
  },
);

test("the beginning of several jobs' ids is refused, and of a job's instances the one that began it counts", async () => {
  const first = "01M8HEAQ7XMMQHW2TWM2DQ7GVB";
  const entries = [
    jobOf({ testbed: "a", seq: 1, job: first, isStarted: false, result: "not begun" }),
    jobOf({ testbed: "b", seq: 2, job: first }),
    jobOf({ testbed: "c", seq: 3, job: first, isStarted: false, result: "not begun" }),
  ];
  const journal = {
    ...(journals["the database"] as Journal),
    running: () => Promise.resolve([]),
    read: () => Promise.resolve(entries.map((entry, id) => ({ id, atMs: id, entry }))),
  };
  expect(await findInstance(first.slice(0, 8), journal)).toMatchObject({ testbed: "b", seq: 2 });
  entries.push(jobOf({ job: "01M8HEAQ7XMMQHW2TWM2DQ7GVC" }));
  expect(findInstance(first.slice(0, 8), journal)).rejects.toThrow("2 jobs begin with 01M8HEAQ");
});

test("checkFile() takes no path outside the instance's directory", () => {
  expect(checkFile("minder/exit.json")).toBe("minder/exit.json");
  for (const file of ["", "/etc/passwd", "../x", "opt/../../x"]) {
    expect(() => checkFile(file)).toThrow("not a path within an instance's directory");
  }
});

test("a running factory gives the log of an instance, and no other file of it", async () => {
  const client = openFactoryClient({
    http: openHttp({ clock: openClock() }),
    path: controlSocketOf(join(it.base, "data.sqlite3")),
  });
  const log = await client.log("bed-1/1", "agent.log", 0);
  expect(log.ok && new TextDecoder().decode(log.value?.bytes)).toContain(done);
  for (const [name, file] of [
    ["bed-1/1", "opt/etc/job-done.json"],
    ["bed-1/1", "../bed-1_2/agent.log"],
    ["bed-1/9", "agent.log"],
    ["../bed-1/1", "agent.log"],
  ] as const) {
    expect(await client.log(name, file, 0)).toEqual({ ok: true, value: null });
  }
});

test("logs shows the log of a job by its id, also of one that is over, and follows it to its end", async () => {
  expect((await logs(done)).said).toContain(done);
  expect((await logs("bed-1/1", "--file", "opt/etc/job-done.json")).said).toContain('"job"');
  expect((await logs("bed-1/9")).code).toBe(1);
  const follows = logs(running, "-f");
  await Bun.write(join(it.directory, "end"), "");
  const { code, said } = await follows;
  expect(code).toBe(0);
  expect(said).toContain(running);
});

test("logs reads the files if no factory runs", async () => {
  factory.kill("SIGTERM");
  await factory.exited;
  expect((await logs(done.slice(0, 20))).said).toContain(done);
  rmSync(join(it.base, "work/bed-1_1/agent.log"));
  expect((await logs(done)).code).toBe(1);
});
