/** The verb `update` with small executables in a prefix; test/long/update.ts has real ones. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { chownSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ThisProcess } from "../../lib/commands/this-process.ts";
import { testItself } from "../../lib/commands/self-test.ts";
import { lookForUpdate, updateFactory } from "../../lib/commands/update.ts";
import { openClock } from "../../lib/doors/clock.ts";
import { openDurableFiles } from "../../lib/doors/durable-files.ts";
import { openFiles } from "../../lib/doors/files.ts";
import { version as own } from "../../lib/words/version.ts";
import { testWith } from "../lab/needs.ts";
import { openUpdateLab, type UpdateLab } from "../lab/update-lab.ts";

let lab: UpdateLab;
beforeEach(async () => {
  lab = await openUpdateLab();
});
afterEach(() => rmSync(lab.directory, { recursive: true, force: true }));

const processOf = (changes: Partial<ThisProcess>): ThisProcess => {
  const here: Partial<ThisProcess> = {
    around: {
      env: { USER: "lab" },
      home: lab.directory,
      platform: "linux",
      workingDirectory: "/",
      readText: (path) => readFileSync(path, "utf8"),
    },
    clock: openClock(),
    durableFiles: openDurableFiles(),
    files: openFiles(),
    errors: { isTerminal: false, write: () => undefined },
    executable: lab.places.executableOf("1.0.0"),
    exists: existsSync,
    once: () => undefined,
    ...changes,
  };
  return here as ThisProcess;
};

test("--rollback needs no configuration, which the new version may refuse", async () => {
  await lab.release("1.1.0");
  const updater = lab.updater();
  await updater.install({ wanted: null, allowDowngrade: false, retry: false });
  writeFileSync(join(lab.directory, "config.toml"), "[broken");
  const lines: string[] = [];
  const executable = lab.places.executableOf("1.1.0");
  const here = processOf({ executable, print: (line) => void lines.push(line) });
  expect(await updateFactory(here, { "base-dir": lab.directory, rollback: true })).toBe(0);
  expect(await lab.places.current()).toBe("1.0.0");
  expect(lines[0]).toContain("1.1.0 is rolled back");
});

test("update and self-test need no token: systemd may give it to the service alone", async () => {
  writeFileSync(
    join(lab.directory, "config.toml"),
    `[general]\nbaseurl = "https://b.example"\n[update]\nurl = "${lab.mirror}"\n`,
  );
  await lab.release("1.1.0");
  const lines: string[] = [];
  const here = processOf({ print: (line) => void lines.push(line) });
  expect(await testItself(here, { "base-dir": lab.directory })).toBe(0);
  expect(JSON.parse(lines.pop() ?? "")).toEqual(own);
  // The lab's key is not one that this program trusts.
  expect(updateFactory(here, { "base-dir": lab.directory, now: true })).rejects.toThrow("no key");
});

testWith("root")("root does not update another user's installation, where its files would stay", async () => {
  chownSync(lab.prefix, 65534, 65534);
  const here = processOf({ print: () => undefined, uid: 0 });
  const before = readdirSync(lab.prefix);
  for (const args of [{ now: true }, { rollback: true }, {}]) {
    const run = updateFactory(here, { "base-dir": lab.directory, ...args });
    expect(await run.catch(String)).toContain("belongs to the user with the id 65534");
  }
  expect(readdirSync(lab.prefix)).toEqual(before);
});

test("a look that finds only a version that was rolled back here succeeds, but installing it fails", async () => {
  await lab.release("1.1.0");
  const updater = lab.updater();
  const wish = { wanted: null, allowDowngrade: false, retry: false };
  await updater.install(wish);
  await lab.places.rollBack("it crashed");
  const lines: string[] = [];
  await lookForUpdate(updater, wish, (line) => void lines.push(line));
  expect(lines.at(-1)).toContain("1.1.0 was rolled back on this host");
  expect(updater.install(wish)).rejects.toThrow("was rolled back on this host");
  await lookForUpdate(updater, { ...wish, retry: true }, (line) => void lines.push(line));
  expect(lines.at(-1)).toBe("1.1.0 can be installed: --now --retry does it");
});

test("a look that fails exits with an error", async () => {
  const updater = lab.updater({ url: "/nowhere" });
  const wish = { wanted: null, allowDowngrade: false, retry: false };
  expect(lookForUpdate(updater, wish, () => undefined)).rejects.toThrow("/nowhere");
});
