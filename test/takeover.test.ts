/** A base directory of the Rust factory is taken over in place: a real factory, the Rust factory's table, its leftover agents. */
import { Database } from "bun:sqlite";
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type FactoryProcess, type Lab, must, openLab } from "./lab/lab.ts";
import { until } from "./lab/until.ts";

setDefaultTimeout(60_000);

/** As that factory's schema makes it. */
const schema = `
  CREATE TABLE instance (
    testbed_name TEXT NOT NULL, seq INTEGER NOT NULL, worker TEXT NOT NULL, target TEXT NOT NULL,
    state TEXT NOT NULL, bootstrap TEXT NOT NULL, flushed INTEGER NOT NULL,
    PRIMARY KEY (testbed_name, seq)
  );
  CREATE INDEX instance_active ON instance (state) WHERE state NOT IN ('destroyed');
  PRAGMA user_version = 2;`;

interface Row {
  testbed: string;
  seq: number;
  state: "created" | "running" | "destroying" | "destroyed";
  /** The job of its worker; none if absent. */
  job?: string;
  /** Starts an agent as that factory does. */
  hasAgent?: boolean;
  isAssociated?: boolean;
  /** Where that factory makes its directories; the base's work directory if absent. */
  work?: string;
}

interface Left {
  worker: string;
  directory: string;
  agent: Bun.Subprocess | null;
}

function openDatabase({ base }: Lab): Database {
  const database = new Database(join(base, "data.sqlite3"), { create: true });
  database.run("PRAGMA busy_timeout = 5000");
  return database;
}

/** What the Rust factory leaves of one instance: worker, row, directory, agent. */
async function leave(
  lab: Lab,
  { testbed, seq, state, job, hasAgent, isAssociated = true, work = join(lab.base, "work") }: Row,
): Promise<Left> {
  const { factoryApi } = lab;
  const { id: worker, bootstrap } = must(await factoryApi.createWorker(lab.targetId, job ?? null));
  if (isAssociated) must(await factoryApi.associate(worker, `${testbed}/${seq}`));
  const database = openDatabase(lab);
  database
    .query("INSERT INTO instance VALUES (?, ?, ?, ?, ?, ?, 1)")
    .run(testbed, seq, worker, lab.targetId, state, bootstrap);
  database.close();
  const directory = join(work, `${testbed}_${seq}`);
  const opt = join(directory, "opt/buildomat");
  if (hasAgent !== true) return { worker, directory, agent: null };
  mkdirSync(join(opt, "etc"), { recursive: true });
  const token = `token-${bootstrap}`;
  writeFileSync(join(opt, "etc/agent.json"), JSON.stringify({ baseurl: lab.proxy.url, bootstrap, token }));
  const agent = Bun.spawn([join(lab.directory, "stub-agent"), "run"], {
    env: { HOME: directory, BUILDOMAT_OPT: opt, BUILDOMAT_NONROOT: "1" },
    cwd: directory,
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  return { worker, directory, agent };
}

function rows(lab: Lab): string[] {
  const database = openDatabase(lab);
  const found = database.query<{ name: string }, []>(
    "SELECT testbed_name || '/' || seq || ' ' || state AS name FROM instance ORDER BY testbed_name, seq",
  );
  const names = found.all().map(({ name }) => name);
  database.close();
  return names;
}

function said(factory: FactoryProcess, instance: string, text: string): boolean {
  return factory.log().some((line) => line["instance"] === instance && line.message.includes(text));
}

function waitFor({ directory }: Lab, name: string): string {
  return `echo started; while [ ! -e '${directory}/${name}' ]; do sleep 0.05; done; echo ended`;
}

async function openBase(names: string[], more: Record<string, string[]> = {}): Promise<Lab> {
  const testbeds = Object.fromEntries(names.map((name) => [name, [] as string[]]));
  const lab = await openLab({ testbeds: { ...testbeds, ...more } });
  const database = openDatabase(lab);
  database.run(schema);
  database.close();
  return lab;
}

test.concurrent("a running agent's job goes on to its true result, and then its testbed takes the next job", async () => {
  await using it = await openBase(["bed"]);
  const id = await it.submit(waitFor(it, "end"));
  await leave(it, { testbed: "bed", seq: 4, state: "destroyed" });
  const { worker, agent } = await leave(it, {
    testbed: "bed",
    seq: 5,
    state: "running",
    job: id,
    hasAgent: true,
  });
  await until("it runs", async () => (await it.said(id, "stdout")).includes("started"));
  const factory = it.start();
  await until("it is taken over", () => said(factory, "bed/5", "taken over"));
  const next = await it.submit("echo next");
  await until("the list was read", () => it.proxy.calls.includes("GET /0/factory/workers"));
  expect(agent?.exitCode).toBeNull();
  writeFileSync(join(it.directory, "end"), "");
  expect((await it.ended(id)).state).toBe("completed");
  expect((await it.ended(next)).state).toBe("completed");
  expect(await it.said(id, "stdout")).toEqual(["started", "ended"]);
  expect(must(await it.factoryApi.worker(worker))).toBeNull();
  expect(await agent?.exited).not.toBe(0);
  await until("the last is destroyed", () => rows(it).includes("bed/6 destroyed"));
  expect(rows(it)).toEqual(["bed/4 destroyed", "bed/5 destroyed", "bed/6 destroyed"]);
  factory.kill("SIGUSR1");
  expect(await factory.exited).toBe(0);
});

test.concurrent("what has no agent is ended and said to be; what is held or cannot be seen stays as it is", async () => {
  await using it = await openBase(["gone", "made", "ending", "held", "twice", "task"], {
    far: ['host = "far.example"'],
  });
  // All jobs have their workers before there is an agent without one: the server would give it a queued job.
  const lost = await it.submit("sleep 1000");
  await leave(it, { testbed: "gone", seq: 2, state: "running", job: lost });
  const distant = await it.submit("sleep 1000");
  await leave(it, { testbed: "far", seq: 1, state: "running", job: distant });
  // Its agent died, as one does whose output nobody reads any more; its task did not.
  const mark = join(it.directory, "task-of-a-dead-agent");
  const orphaned = await it.submit(`: ${mark}; ${waitFor(it, "never")}`);
  const dead = await leave(it, { testbed: "task", seq: 1, state: "running", job: orphaned, hasAgent: true });
  await leave(it, { testbed: "made", seq: 1, state: "created", isAssociated: false });
  const ending = await leave(it, { testbed: "ending", seq: 1, state: "destroying", hasAgent: true });
  const held = await leave(it, { testbed: "held", seq: 1, state: "running", hasAgent: true });
  must(await it.admin.holdWorker(held.worker, "looked at"));
  await leave(it, { testbed: "twice", seq: 1, state: "running" });
  const work = join(it.directory, "set/by/environment");
  const second = await leave(it, { testbed: "twice", seq: 2, state: "running", hasAgent: true, work });
  await until("its task runs", async () => (await it.said(orphaned, "stdout")).includes("started"));
  dead.agent?.kill("SIGKILL");
  await dead.agent?.exited;

  const factory = it.start();
  const over = ["ending/1", "gone/2", "made/1", "task/1", "twice/1"].map((name) => `${name} destroyed`);
  await until("all is ended that can be", () => over.every((row) => rows(it).includes(row))).catch(
    (error: unknown) => {
      const messages = factory.log().map(({ message }) => message);
      throw new Error(`${rows(it).join(", ")}; it logged: ${messages.join(" | ")}`, { cause: error });
    },
  );
  expect(rows(it).filter((row) => !over.includes(row))).toEqual([
    "far/1 running",
    "held/1 running",
    "twice/2 running",
  ]);
  for (const id of [lost, orphaned]) {
    expect((await it.ended(id)).state).toBe("failed");
    expect((await it.said(id, "worker")).join()).toContain("the previous factory program");
  }
  // A look that began before names its directory, too.
  await until("nothing of its task runs", () => it.processes(dead.directory).length === 0);
  expect(await ending.agent?.exited).not.toBe(0);
  expect([held.agent?.exitCode, second.agent?.exitCode]).toEqual([null, null]);
  expect((await it.job(distant)).state).toBe("running");
  await until("the log says what to do", () => said(factory, "far/1", "clear far --because TEXT"));
  factory.kill("SIGTERM");
  expect(await factory.exited).toBe(0);

  const clear = it.start({ command: ["clear", "far"], args: ["--yes", "--because", "it was unplugged"] });
  expect(await clear.exited).toBe(0);
  const again = it.start();
  expect((await it.ended(distant)).state).toBe("failed");
  expect((await it.said(distant, "worker")).join()).toContain(
    "an operator cleared the testbed: it was unplugged",
  );
  await until("it is destroyed", () => said(again, "far/1", "the job was lost"));
  expect(rows(it).filter((row) => !row.endsWith("destroyed"))).toEqual(["held/1 running", "twice/2 running"]);
  expect([held.agent?.exitCode, second.agent?.exitCode]).toEqual([null, null]);
  again.kill("SIGTERM");
  await again.exited;
  for (const { agent } of [held, second]) agent?.kill("SIGKILL");
});
