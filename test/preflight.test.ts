/** Faults of this host and of a board are found before a job is asked for, are shown, and end without a restart. */
import { expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { openStoreForReading } from "../lib/store/store.ts";
import { type FactoryProcess, type Lab, openLab } from "./lab/lab.ts";
import { until } from "./lab/until.ts";

setDefaultTimeout(120_000);

const lease = "POST /0/factory/lease";
const createWorker = "POST /0/factory/worker";

async function drained(factory: FactoryProcess): Promise<void> {
  factory.kill("SIGUSR1");
  expect(await factory.exited).toBe(0);
}

function logged(factory: FactoryProcess, text: string): number {
  return factory.log().filter(({ message }) => message.includes(text)).length;
}

async function statusOf(it: Lab, testbed = "bed-1"): Promise<{ state: string; whyNot: string | null }> {
  const shown = it.start({ command: ["status", "--json"] });
  expect(await shown.exited).toBe(0);
  const { testbeds } = JSON.parse(await shown.stdout()) as {
    testbeds: { testbed: string; state: string; whyNot: string | null }[];
  };
  return testbeds.find((each) => each.testbed === testbed) ?? { state: "not there", whyNot: null };
}

function strikesIn({ base }: Lab): number {
  const store = openStoreForReading(join(base, "data.sqlite3"));
  const strikes = [...(store?.health().values() ?? [])].map((health) => health.strikes);
  store?.close();
  return strikes.length;
}

/** A fault that is there from the start keeps the factory from leasing; once it is fixed, the job runs. */
async function expectFound(it: Lab, reason: string, fix: () => void): Promise<void> {
  const factory = it.start();
  const id = await it.submit("echo hello");
  await until("it is logged", () => logged(factory, reason) > 0);
  await until("the server is there", () => it.proxy.calls.includes("GET /0/factory/workers"));
  expect(await statusOf(it)).toMatchObject({ state: "unavailable", whyNot: expect.stringContaining(reason) });
  expect(it.proxy.calls).not.toContain(lease);
  fix();
  expect((await it.ended(id)).state).toBe("completed");
  expect(it.proxy.calls.filter((call) => call === createWorker)).toHaveLength(1);
  expect(logged(factory, `no job can run on this host: `)).toBe(1);
  expect(logged(factory, "jobs can run on this host again")).toBe(1);
  expect(strikesIn(it)).toBe(0);
  expect((await statusOf(it)).state).not.toBe("unavailable");
  await drained(factory);
}

test.concurrent("F45 a missing agent: no job is leased, and the board is back when the agent is there", async () => {
  await using it = await openLab();
  const agent = join(it.directory, "late-agent");
  const stub = readFileSync(join(it.directory, "stub-agent"), "utf8");
  it.configure({ agent, testbeds: { "bed-1": [], "bed-2": [] } });
  await expectFound(it, `the agent ${agent} is not there`, () => writeFileSync(agent, stub, { mode: 0o755 }));
});

test.concurrent("a work directory that others can write: no job is leased until it is private", async () => {
  await using it = await openLab();
  const work = join(it.base, "work");
  mkdirSync(work);
  chmodSync(work, 0o777);
  await expectFound(it, `the work directory ${work} can be written by others`, () => chmodSync(work, 0o700));
});

const canMount = process.getuid?.() === 0 && Bun.spawnSync(["unshare", "--mount", "true"]).exitCode === 0;

test.concurrent.skipIf(!canMount)("F23 a full disk: no job is leased until there is room", async () => {
  await using it = await openLab();
  const disk = join(it.directory, "disk");
  mkdirSync(disk);
  expect(Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=80m,mode=700", "tmpfs", disk]).exitCode).toBe(0);
  try {
    const ballast = join(disk, "ballast");
    writeFileSync(ballast, Buffer.alloc(40 * 1024 ** 2));
    it.configure({ general: [`work_dir = "${disk}"`] });
    await expectFound(it, "no job starts with less than 64 MiB", () => rmSync(ballast));
  } finally {
    Bun.spawnSync(["umount", "--lazy", disk]);
  }
});

test.concurrent("an agent of buildomat's main line without elevation: check says so, and no job is leased", async () => {
  await using it = await openLab();
  const agent = join(it.directory, "late-agent");
  const stub = readFileSync(join(it.directory, "stub-agent"), "utf8");
  copyFileSync("/bin/sleep", agent);
  it.configure({ agent });
  const checked = it.start({ command: ["check"] });
  expect(await checked.exited).toBe(1);
  const reason = `the agent ${agent} is from buildomat's main line and needs root`;
  expect(await checked.stdout()).toContain(reason);
  await expectFound(it, reason, () => {
    writeFileSync(`${agent}.new`, stub, { mode: 0o755 });
    renameSync(`${agent}.new`, agent);
  });
});

test.concurrent("an agent that goes missing later: found by arming, no strike, and the next job runs when it is back", async () => {
  await using it = await openLab({ testbeds: { "bed-1": [], "bed-2": [] } });
  const agent = join(it.directory, "stub-agent");
  const factory = it.start();
  expect((await it.ended(await it.submit("echo first"))).state).toBe("completed");
  await until("it is idle", () => it.proxy.calls.filter((call) => call.startsWith("DELETE")).length === 1);
  renameSync(agent, `${agent}.away`);
  const created = it.proxy.calls.filter((call) => call === createWorker).length;
  const waiting = await it.submit("echo second");
  await until("it is logged", () => logged(factory, "no job can run on this host: ") > 0);
  const state = (): Promise<string> => statusOf(it, "bed-2").then((row) => row.state);
  await until("it is shown", async () => (await state()) === "unavailable");
  await until("the minder has let go", () => logged(factory, "the job was not begun here") > 0);
  expect(strikesIn(it)).toBe(0);
  expect((await it.job(waiting)).state).toBe("queued");
  renameSync(`${agent}.away`, agent);
  expect((await it.ended(await it.submit("echo third"))).state).toBe("completed");
  expect(it.proxy.calls.filter((call) => call === createWorker)).toHaveLength(created + 1);
  // The lease was not tried on the other board of the same host.
  expect(logged(factory, "the job was not begun here")).toBe(1);
  expect(logged(factory, "no job can run on this host: ")).toBe(1);
  expect(logged(factory, "jobs can run on this host again")).toBe(1);
  await drained(factory);
});

/** A check that succeeds a given number of times, then fails until `fixed` is there; each run leaves a line in `runs`. */
function checkOf({ directory }: Lab, name: string, successes: number): string {
  const path = join(directory, `${name}-check`);
  const script = `#!/bin/sh
echo "$SP_TESTBED" >>'${path}-runs'
[ -e '${path}-fixed' ] || [ "$(wc -l <'${path}-runs')" -le ${successes} ] || { echo the board is dark; exit 3; }
`;
  writeFileSync(path, script, { mode: 0o755 });
  return path;
}

test.concurrent("a check that fails between lease and worker: the job is untouched, and no job is leased until it succeeds", async () => {
  await using it = await openLab();
  const check = checkOf(it, "a", 1);
  it.configure({ testbeds: { "bed-1": [`check = "${check}"`] } });
  const factory = it.start();
  const first = await it.submit("echo first");
  await until("it is logged", () => logged(factory, "until its check succeeds") > 0);
  await until("the lease lapses", () => logged(factory, "its lease is left to lapse") > 0);
  expect(it.proxy.calls).not.toContain(createWorker);
  expect((await it.job(first)).state).toBe("queued");
  expect(existsSync(join(it.base, "work/bed-1_1"))).toBe(false);
  expect(await statusOf(it)).toEqual(
    expect.objectContaining({
      state: "unavailable",
      whyNot: `its check fails: ${check}: exit code 3, the board is dark`,
    }),
  );
  const leases = it.proxy.calls.filter((call) => call === lease).length;
  const runs = (): number => readFileSync(`${check}-runs`, "utf8").split("\n").length - 1;
  await until("it is run again", () => runs() > 2, 30_000);
  expect(it.proxy.calls.filter((call) => call === lease)).toHaveLength(leases);
  writeFileSync(`${check}-fixed`, "");
  expect((await it.ended(await it.submit("echo second"))).state).toBe("completed");
  expect(logged(factory, "until its check succeeds")).toBe(1);
  expect(logged(factory, "its check succeeds again")).toBe(1);
  expect(strikesIn(it)).toBe(0);
  await drained(factory);
});

test.concurrent("a check that fails between lease and worker: another board takes the job", async () => {
  await using it = await openLab();
  const [bad, good] = [checkOf(it, "a", 1), checkOf(it, "b", 1000)];
  it.configure({ testbeds: { "bed-1": [`check = "${bad}"`], "bed-2": [`check = "${good}"`] } });
  // Both have succeeded before a job is there.
  const factory = it.start();
  const runs = (path: string): boolean => existsSync(`${path}-runs`);
  await until("both were checked", () => runs(bad) && runs(good) && it.proxy.calls.includes(lease));
  const id = await it.submit("echo $SP_TESTBED");
  expect((await it.ended(id)).state).toBe("completed");
  expect(it.instanceFile("bed-2_1", "agent.log")).not.toBeNull();
  expect(it.proxy.calls.filter((call) => call === createWorker)).toHaveLength(1);
  expect((await statusOf(it)).whyNot).toContain("the board is dark");
  await drained(factory);
});
