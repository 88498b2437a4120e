/**
 * Real executables of this tree in two versions, and broken ones, from a real mirror, under a loop that starts them again: jobs
 * run through update, roll-back and update again, and whatever a new version does, the one before is what runs in the end.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDurableFiles } from "../../lib/doors/durable-files.ts";
import bootScript from "../../lib/service/boot.sh" with { type: "text" };
import { openPlaces, type Places } from "../../lib/update/places.ts";
import { hostTarget } from "../../scripts/build.ts";
import { makeRelease } from "../../scripts/release.ts";
import { atStart, buildVersion, type Change, common } from "../lab/built-versions.ts";
import { type Lab, openLab } from "../lab/lab.ts";
import { openStaticMirror, type StaticMirror } from "../lab/static-mirror.ts";
import { testWith } from "../lab/needs.ts";
import { signing } from "../lab/update-lab.ts";
import { until } from "../lab/until.ts";

const built = mkdtempSync(join(tmpdir(), "built-"));
const served = join(built, "mirror");
const target = hostTarget();
const changes: Record<string, Change[]> = {
  "1.0.0": [],
  // It adds a table, which the version before does not know.
  "1.1.0": [["lib/store/file.ts", "\n];\n", '\n  "CREATE TABLE factory_later (x TEXT) STRICT;",\n];\n']],
  "1.2.0": [["lib/commands/run.ts", atStart, "  here.exit(3);\n"]],
  "1.3.0": [
    ["lib/commands/run.ts", atStart, `${atStart}  void here.clock.sleep(1_500).then(() => here.exit(4));\n`],
  ],
  "1.4.0": [["lib/commands/run.ts", "baseurl, token:", 'baseurl: "http://127.0.0.1:9", token:']],
};

const commits: string[] = [];
let lab: Lab;
let mirror: StaticMirror;
let places: Places;
let prefix = "";
let log = "";

async function release(version: string, executable: string): Promise<void> {
  await makeRelease({
    directory: served,
    version,
    commit: commits[0] ?? "",
    targets: [target],
    privateKeys: [signing.private],
    channel: "stable",
    issuedMs: Math.floor(Date.now() / 1000) * 1000,
    expiresDays: 90,
    floor: null,
    revoke: [],
    build: (_, to) => Promise.resolve(copyFileSync(executable, to)),
  });
}

const environment = (): Record<string, string> => ({
  PATH: process.env["PATH"] ?? "",
  HOME: lab.base,
  FACTORY_LOCK_DIR: join(lab.directory, "locks"),
});

/** Not waited for in place: the mirror is served by this process. */
async function factory(...words: string[]): Promise<{ code: number; said: string }> {
  const argv = [places.bin, ...words, "--base-dir", lab.base];
  const child = Bun.spawn(argv, {
    env: environment(),
    cwd: "/",
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { code: await child.exited, said: `${out}${err}` };
}

beforeAll(async () => {
  mkdirSync(served);
  for (const [version, own] of Object.entries(changes)) {
    commits.push((await buildVersion(built, version, [...common, ...own])).commit);
  }
  mirror = await openStaticMirror(served);
  lab = await openLab({ testbeds: { "bed-1": [], "bed-2": [] } });
  const update = `\n\n[update]\nmode = "auto"\nurl = "${mirror.url}"\n`;
  appendFileSync(join(lab.base, "config.toml"), update);
  prefix = join(lab.directory, "prefix");
  places = openPlaces({ prefix, files: openDurableFiles() });
  log = join(lab.directory, "loop.log");
  const files = openDurableFiles();
  for (const name of ["staging", "libexec"]) mkdirSync(join(prefix, name), { recursive: true });
  await files.write(places.bootScript, bootScript, 0o755);
  const executable = join(prefix, "staging", "first");
  copyFileSync(join(built, "built-1.0.0"), executable);
  await places.place({ version: "1.0.0", executable, sha256: await files.sha256(executable), signed: null });
  await places.switchTo("1.0.0");
  expect(await places.current()).toBe("1.0.0");
}, 120_000);

afterAll(async () => {
  await stopLoop();
  await lab[Symbol.asyncDispose]();
  await mirror[Symbol.asyncDispose]();
  rmSync(built, { recursive: true, force: true });
}, 30_000);

let loop: Bun.Subprocess | null = null;
function startLoop(): void {
  const script = `trap 'kill "$child"; wait "$child"; exit' TERM
    while :; do "$0" run --base-dir "$1" 2>>"$2" & child=$!; wait "$child"; sleep 0.1; done`;
  loop = Bun.spawn(["sh", "-c", script, places.bootScript, lab.base, log], { env: environment(), cwd: "/" });
}

async function stopLoop(): Promise<void> {
  loop?.kill("SIGTERM");
  await loop?.exited;
  loop = null;
}

const logged = (): string => (existsSync(log) ? readFileSync(log, "utf8") : "");
const runs = async (version: string): Promise<void> =>
  void (await until(
    `${version} is started`,
    async () =>
      (await places.current()) === version &&
      logged().split(": started on ").at(-2)?.split("\n").at(-1)?.includes(` ${version} (`) === true,
  ));
const isMarked = async (version: string, kind: "good" | "bad"): Promise<void> =>
  void (await until(`${version} is ${kind}`, async () => (await places.mark(version))?.kind === kind));

test("jobs run through update, roll-back and update again, and lose nothing", async () => {
  startLoop();
  await runs("1.0.0");
  const stop = join(lab.directory, "stop");
  const script = `n=0; while [ ! -e ${stop} ]; do n=$((n+1)); echo line $n; sleep 0.1; done; echo whole`;
  const jobs = [await lab.submit(script), await lab.submit(script)];
  for (const id of jobs) await until("it runs", async () => (await lab.said(id, "stdout")).length > 3);

  await release("1.1.0", join(built, "built-1.1.0"));
  await runs("1.1.0");
  await isMarked("1.1.0", "good");
  expect(await factory("update", "--rollback")).toMatchObject({
    code: 0,
    said: expect.stringContaining("jobs run on"),
  });
  await runs("1.0.0");
  expect(await places.mark("1.1.0")).toMatchObject({ kind: "bad" });
  // The version before goes on with a database to which the newer one added a table, and takes jobs with it.
  expect(await factory("status")).toMatchObject({ code: 0 });
  expect((await factory("update", "--now")).said).toContain("was rolled back on this host");
  expect(await factory("update", "--now", "--retry")).toMatchObject({ code: 0 });
  await runs("1.1.0");
  await isMarked("1.1.0", "good");

  writeFileSync(stop, "");
  for (const id of jobs) {
    expect((await lab.ended(id)).state).toBe("completed");
    const lines = (await lab.said(id, "stdout")).filter((line) => line !== "whole");
    expect(lines).toEqual(lines.map((_, index) => `line ${index + 1}`));
    expect(lines.length).toBeGreaterThan(50);
  }
  expect((await lab.ended(await lab.submit("echo next"))).state).toBe("completed");
}, 100_000);

test.each([
  ["1.2.0", "exits at once", "1.2.0 did not prove itself in three starts"],
  ["1.3.0", "crashes in its trial", "1.3.0 did not prove itself in three starts"],
  ["1.4.0", "is deaf to the server", "1.4.0 is rolled back to 1.1.0: it does not reach the server"],
])(
  "%s, which %s, ends on the version before, and is not tried again",
  async (version, _, why) => {
    await release(version, join(built, `built-${version}`));
    await isMarked(version, "bad");
    await runs("1.1.0");
    expect(logged()).toContain(why);
    expect((await lab.ended(await lab.submit("echo after a roll-back"))).state).toBe("completed");
    const asked = mirror.asked.length;
    await until("it has looked again", () => mirror.asked.length > asked + 4);
    expect(await places.current()).toBe("1.1.0");
  },
  60_000,
);

testWith("binutils").each([
  ["1.5.0", "is cut short", (path: string) => truncateSync(path, 60_000_000)],
  ["1.6.0", "is stripped", (path: string) => void Bun.spawnSync(["strip", path])],
])(
  "%s, which %s, is signed and all the same never started",
  async (version, _, spoil) => {
    const path = join(built, `spoilt-${version}`);
    copyFileSync(join(built, "built-1.1.0"), path);
    spoil(path);
    await release(version, path);
    await isMarked(version, "bad");
    expect(await places.current()).toBe("1.1.0");
    expect(logged()).not.toMatch(new RegExp(`${version} \\([^)]*\\): started`));
    rmSync(path);
  },
  60_000,
);

test("a damaged database is noticed before a new version is started on it", async () => {
  await stopLoop();
  await release("1.8.0", join(built, "built-1.1.0"));
  const database = join(lab.base, "data.sqlite3");
  for (const name of [`${database}-wal`, `${database}-shm`]) rmSync(name, { force: true });
  writeFileSync(database, "not a database at all ".repeat(1000));
  const tried = await factory("update", "--now");
  expect(tried).toMatchObject({ code: 2, said: expect.stringContaining("not a database") });
  expect(await places.current()).toBe("1.1.0");
}, 60_000);
