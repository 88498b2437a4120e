/** The prefix: real files and links, cut short by a real SIGKILL between any two changes. */
import { afterAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDurableFiles } from "../../lib/doors/durable-files.ts";
import { isVersionName, openPlaces, placeOf, type Places } from "../../lib/update/places.ts";
import { until } from "../lab/until.ts";

const scratch = mkdtempSync(join(tmpdir(), "places-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const files = openDurableFiles();

export function newPlaces(): Places {
  const prefix = mkdtempSync(join(scratch, "prefix-"));
  mkdirSync(join(prefix, "staging"));
  return openPlaces({ prefix, files });
}

async function put(places: Places, version: string, content = version): Promise<boolean> {
  const executable = join(places.staging, "download");
  writeFileSync(executable, content);
  const sha256 = createHash("sha256").update(content).digest("hex");
  return await places.place({ version, executable, sha256, signed: null });
}

async function installed(...versions: string[]): Promise<Places> {
  const places = newPlaces();
  for (const version of versions) {
    await put(places, version);
    await places.switchTo(version);
    await places.setMark(version, ".good");
  }
  return places;
}

const started = (places: Places): string => readFileSync(places.bin, "utf8");
const boot = (places: Places): string[] => readdirSync(join(places.prefix, "boot")).toSorted();

test("place() puts a whole version in its place, once, with its hash as sha256sum reads it", async () => {
  const places = newPlaces();
  expect(await put(places, "1.0.0")).toBe(true);
  expect(await put(places, "1.0.0")).toBe(false);
  const sum = Bun.spawnSync(["sha256sum", "-c", "sha256"], { cwd: join(places.prefix, "versions/1.0.0") });
  expect(sum.exitCode).toBe(0);
  expect(statSync(places.executableOf("1.0.0")).mode & 0o777).toBe(0o755);
  expect(await places.versions()).toHaveLength(1);
});

test("place() refuses other bytes under the name of a version that is installed", async () => {
  const places = await installed("1.0.0");
  expect(put(places, "1.0.0", "other")).rejects.toThrow("another build");
  expect(started(places)).toBe("1.0.0");
});

test("a version without its hash is not one, and is replaced", async () => {
  const places = newPlaces();
  mkdirSync(join(places.prefix, "versions/1.0.0"), { recursive: true });
  expect(await places.versions()).toEqual([]);
  expect(places.switchTo("1.0.0")).rejects.toThrow("not installed");
  expect(await put(places, "1.0.0")).toBe(true);
});

test("the first version is good at once; the next one is on trial for three starts", async () => {
  const places = newPlaces();
  await put(places, "1.0.0");
  await places.switchTo("1.0.0");
  expect(await places.mark("1.0.0")).toEqual({ kind: "good" });
  await put(places, "1.1.0");
  await places.switchTo("1.1.0");
  expect(await places.mark("1.1.0")).toEqual({ kind: "trial", startsLeft: 3 });
  expect([await places.current(), await places.previous()]).toEqual(["1.1.0", "1.0.0"]);
  expect(readlinkSync(places.bin)).toBe("../versions/1.1.0/buildomat-factory-sp-test");
});

test("switchTo() that cannot count the starts of a trial starts nothing new", async () => {
  const { prefix } = await installed("1.0.0");
  const write: typeof files.write = (path, ...rest) =>
    path.includes("/boot/") ? Promise.reject(new Error("no room")) : files.write(path, ...rest);
  const places = openPlaces({ prefix, files: { ...files, write } });
  await put(places, "1.1.0");
  const failed = await places.switchTo("1.1.0").catch(String);
  expect(failed).toContain("no room");
  expect(await places.current()).toBe("1.0.0");
});

test("rollBack() goes back to the version before, and marks the one it left with the reason", async () => {
  const places = await installed("1.0.0");
  await put(places, "1.1.0");
  await places.switchTo("1.1.0");
  expect(await places.rollBack("it crashed")).toEqual({ from: "1.1.0", to: "1.0.0" });
  expect(started(places)).toBe("1.0.0");
  expect(await places.mark("1.1.0")).toEqual({ kind: "bad", reason: "it crashed" });
  expect(boot(places)).toEqual(["1.0.0.good", "1.1.0.bad"]);
  expect(places.rollBack("again")).rejects.toThrow("no version before");
});

test("a roll-back never goes to a version on trial", async () => {
  const places = await installed("1.0.0");
  for (const version of ["1.1.0", "1.2.0"]) {
    await put(places, version);
    await places.switchTo(version);
  }
  expect(await places.previous()).toBe("1.0.0");
});

test("settle() marks a version that was started and rolled back, and forgets one that was never started", async () => {
  const places = await installed("1.0.0");
  for (const name of ["1.1.0+0", "1.2.0+3"]) writeFileSync(join(places.prefix, "boot", name), "");
  await places.settle();
  expect(boot(places)).toEqual(["1.0.0.good", "1.1.0.bad"]);
});

test("a mark of a version does not count for another one with the same beginning", async () => {
  const places = await installed("1.1.0");
  await places.markBad("1.1.0-rc1", "it hung");
  await places.markBad("1.1.00", "x");
  expect(await places.mark("1.1.0")).toEqual({ kind: "good" });
  await places.clearMark("1.1.0");
  expect(boot(places)).toEqual(["1.1.0-rc1.bad", "1.1.00.bad"]);
});

test("prune() keeps the current version, the one before and those asked for", async () => {
  const places = await installed("1.0.0", "1.1.0", "1.2.0", "1.3.0");
  await places.prune(["1.0.0"]);
  expect(await places.versions()).toEqual(["1.0.0", "1.2.0", "1.3.0"]);
});

test("prune() keeps a version that a process of this host runs: another factory may share the prefix", async () => {
  const places = await installed("1.0.0", "1.1.0", "1.2.0");
  const executable = places.executableOf("1.0.0");
  copyFileSync("/bin/sleep", executable);
  const agent = Bun.spawn([executable, "1000"]);
  const names = async (): Promise<string[]> => await places.versions();
  try {
    await until("it runs", () => readlinkSync(`/proc/${agent.pid}/exe`) === executable);
    await places.prune([]);
    expect(await names()).toEqual(["1.0.0", "1.1.0", "1.2.0"]);
  } finally {
    agent.kill();
    await agent.exited;
  }
  await places.prune([]);
  expect(await names()).toEqual(["1.1.0", "1.2.0"]);
});

test("a version's name is never a path", () => {
  for (const name of ["../1.0.0", "1.0", "1.0.0/..", "1.0.0+3", "", "1.0.0-", "1.0.0-\n"]) {
    expect([name, isVersionName(name)]).toEqual([name, false]);
  }
  expect(["1.0.0", "0.12.3-dev.0a1b2c"].every(isVersionName)).toBe(true);
});

test("placeOf() knows an installed executable by its path", () => {
  const at = "/opt/x y/versions/1.2.0/buildomat-factory-sp-test";
  expect(placeOf(at)).toEqual({ prefix: "/opt/x y", version: "1.2.0" });
  expect(placeOf("/usr/bin/buildomat-factory-sp-test")).toBeNull();
  expect(placeOf("/opt/versions/1.2.0/other")).toBeNull();
});

test("a version on trial that a newer one replaces is not marked as bad", async () => {
  const places = await installed("1.0.0");
  await put(places, "1.1.0");
  await places.switchTo("1.1.0");
  // It was started once.
  await files.rename(`${places.prefix}/boot/1.1.0+3`, `${places.prefix}/boot/1.1.0+2`);
  await put(places, "1.2.0");
  await places.switchTo("1.2.0");
  await places.settle();
  expect(await places.mark("1.1.0")).toBeNull();
  expect(await places.previous()).toBe("1.0.0");
});

test("going back from a version on trial to the trusted one starts no trial, and marks neither", async () => {
  const places = await installed("1.0.0", "1.1.0");
  await put(places, "1.2.0");
  await places.switchTo("1.2.0");
  await places.switchTo("1.1.0");
  expect(started(places)).toBe("1.1.0");
  expect(await places.previous()).toBeNull();
  expect(boot(places)).toEqual(["1.0.0.good", "1.1.0.good"]);
});
