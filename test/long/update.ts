/**
 * Real executables of this tree, and broken ones, from a real mirror, under a loop that starts them again: whatever a new
 * version does, the one before is what runs in the end.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildExecutable, hostTarget } from "../../scripts/build.ts";
import { atStart, buildVersion, type Change, common } from "../lab/built-versions.ts";
import { type InstalledLab, installIn } from "../lab/installed-lab.ts";
import { type Lab, openLab } from "../lab/lab.ts";
import { testWith } from "../lab/needs.ts";
import { until } from "../lab/until.ts";

const built = mkdtempSync(join(tmpdir(), "built-"));
const changes: Record<string, Change[]> = {
  "1.1.0": [],
  "1.2.0": [["lib/commands/run.ts", atStart, "  here.exit(3);\n"]],
  "1.3.0": [
    ["lib/commands/run.ts", atStart, `${atStart}  void here.clock.sleep(1_500).then(() => here.exit(4));\n`],
  ],
  "1.4.0": [["lib/commands/run.ts", "baseurl: of.general.baseurl", 'baseurl: "http://127.0.0.1:9"']],
  // Its trial takes 3 s.
  "1.3.1": [
    ["lib/commands/run.ts", atStart, `${atStart}  void here.clock.sleep(2_900).then(() => here.exit(4));\n`],
  ],
  "1.6.1": [
    ["lib/config/config.ts", "checkRoot(root, complain);", 'complain(["general"], "it is gone", "x");'],
  ],
};

let lab: Lab;
let installed: InstalledLab;

beforeAll(async () => {
  let commit = "";
  for (const [version, own] of Object.entries(changes)) {
    ({ commit } = await buildVersion(built, version, [...common, ...own]));
  }
  lab = await openLab({ testbeds: { "bed-1": [], "bed-2": [] } });
  const executable = join(built, "built-1.1.0");
  installed = await installIn(lab, { mode: "auto", version: "1.1.0", executable, commit });
  installed.start();
  await installed.runs("1.1.0");
}, 120_000);

afterAll(async () => {
  await installed[Symbol.asyncDispose]();
  await lab[Symbol.asyncDispose]();
  rmSync(built, { recursive: true, force: true });
}, 30_000);

test.each([
  ["1.2.0", "exits at once", "1.2.0 did not prove itself in three starts"],
  ["1.3.0", "crashes in its trial", "1.3.0 did not prove itself in three starts"],
  ["1.3.1", "crashes at the end of its trial", "1.3.1 did not prove itself in three starts"],
  ["1.4.0", "is deaf to the server", "1.4.0 is rolled back to 1.1.0: it does not reach the server"],
])(
  "%s, which %s, ends on the version before, and is not tried again",
  async (version, _, why) => {
    await installed.release(version, join(built, `built-${version}`));
    await installed.isMarked(version, "bad");
    await installed.runs("1.1.0");
    expect(installed.log()).toContain(why);
    expect((await lab.ended(await lab.submit("echo after a roll-back"))).state).toBe("completed");
    const asked = installed.mirror.asked.length;
    await until("it has looked again", () => installed.mirror.asked.length > asked + 4);
    expect(await installed.places.current()).toBe("1.1.0");
  },
  60_000,
);

/** As one of this tree is, with all its own: only its target is wrong. */
const buildFor = (target: string) => async (path: string, version: string) =>
  await buildExecutable({
    entry: join(import.meta.dir, "../../factory.ts"),
    executable: path,
    version,
    target,
  });
const otherCpu = process.arch === "x64" ? "linux-arm64" : "linux-x64";
const otherLibc = `${hostTarget()}-musl`;

testWith("binutils").each<[string, string, RegExp, (path: string, version: string) => unknown]>([
  ["1.5.0", "is cut short", /self-test ended with/, (path) => truncateSync(path, 60_000_000)],
  ["1.6.0", "is stripped", /self-test ended with/, (path) => Bun.spawnSync(["strip", path])],
  [
    "1.6.1",
    "refuses the configuration",
    /general: it is gone/,
    (path) => copyFileSync(join(built, "built-1.6.1"), path),
  ],
  ["1.6.2", "is for another CPU", /another CPU|ld-linux|linux-(?:arm|x)64/, buildFor(otherCpu)],
  ["1.6.3", "is for musl", /apk add libstdc\+\+ libgcc/, buildFor(otherLibc)],
])(
  "%s, which %s, is signed and all the same never started",
  async (version, _, why, spoil) => {
    const path = join(built, `spoilt-${version}`);
    copyFileSync(join(built, "built-1.1.0"), path);
    await spoil(path, version);
    await installed.release(version, path);
    await installed.isMarked(version, "bad");
    expect(await installed.places.current()).toBe("1.1.0");
    expect(installed.log()).not.toMatch(new RegExp(`${version} \\([^)]*\\): started`));
    const again = await installed.run("update", "--now");
    expect(again.said).toContain("was rolled back on this host");
    const retried = await installed.run("update", "--now", "--retry");
    expect(retried).toMatchObject({ code: 2, said: expect.stringMatching(why) as string });
    rmSync(path);
  },
  60_000,
);

test("a damaged database is noticed before a new version is started on it", async () => {
  await installed.stop();
  await installed.release("1.8.0", join(built, "built-1.1.0"));
  const database = join(lab.base, "data.sqlite3");
  for (const name of [`${database}-wal`, `${database}-shm`]) rmSync(name, { force: true });
  writeFileSync(database, "not a database at all ".repeat(1000));
  const tried = await installed.run("update", "--now");
  expect(tried).toMatchObject({ code: 2, said: expect.stringContaining("not a database") });
  expect(await installed.places.current()).toBe("1.1.0");
}, 60_000);
