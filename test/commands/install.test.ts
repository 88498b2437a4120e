/** What `service install` prints at its end; test/long/systemd.ts installs. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findBase } from "../../lib/config/locations.ts";
import { placeProgram, reportInstalled } from "../../lib/commands/service/install.ts";
import type { Installed } from "../../lib/commands/service/installed.ts";
import type { ThisProcess } from "../../lib/commands/this-process.ts";
import { openDurableFiles } from "../../lib/doors/durable-files.ts";
import { openPlaces, type Places } from "../../lib/update/places.ts";

const root = mkdtempSync(join(tmpdir(), "install-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const files = openDurableFiles();

function stage(places: Places, content: string): string {
  mkdirSync(places.staging, { recursive: true });
  writeFileSync(join(places.staging, "new"), content);
  return join(places.staging, "new");
}

async function openInstalled(...versions: string[]): Promise<Places> {
  const places = openPlaces({ prefix: mkdtempSync(join(root, "prefix-")), files });
  for (const version of versions) {
    const executable = stage(places, version);
    await places.place({ version, executable, sha256: await files.sha256(executable), signed: null });
    await places.switchTo(version);
  }
  return places;
}

async function place(places: Places, executable: string, release: boolean): Promise<unknown> {
  const here = { durableFiles: files, executable } as ThisProcess;
  const installed = { places, link: join(root, "link") } as Installed;
  return await placeProgram(here, installed, { release }).catch(String);
}

test("F114 an older release replaces a newer one only while that is on trial", async () => {
  const places = await openInstalled("0.0.1", "999.0.0");
  expect(await place(places, stage(places, "older"), true)).toEqual([true, expect.any(String)]);
  await places.setMark("999.0.0", ".good");
  expect(await place(places, stage(places, "older"), true)).toContain("999.0.0 is installed, which is newer");
  // A build of this host is what its user wants.
  expect(await place(places, stage(places, "local"), false)).toEqual([true, expect.any(String)]);
});

test("an installed release that installs its service is the version that it was", async () => {
  const places = await openInstalled("1.2.0");
  expect(await place(places, places.executableOf("1.2.0"), false)).toEqual([false, "1.2.0"]);
  expect(await places.versions()).toEqual(["1.2.0"]);
});

function reported(
  around: object,
  options: { prefix: string; base: string; kind: "user" | "system"; isStarted: "no unit" | "started" },
): { lines: string[]; installed: Installed } {
  const { prefix, kind, isStarted } = options;
  const lines: string[] = [];
  const here = { print: (line: string) => void lines.push(line), around } as unknown as ThisProcess;
  const places = openPlaces({ prefix, files: openDurableFiles() });
  const base = findBase({ "base-dir": options.base }, here.around);
  const installed = { kind, places, base, unit: "u", link: "/usr/local/bin/l" } as Installed;
  reportInstalled(here, installed, { name: "1.0.0", isNew: true, isStarted });
  return { lines, installed };
}

test("without a service the command that starts it can be pasted, and the program is named", () => {
  const around = { env: {}, home: "/home/a lab", workingDirectory: "/" };
  const options = { prefix: "/opt/the lab's", base: "/home/a lab/$base" };
  const { lines, installed } = reported(around, { ...options, kind: "user", isStarted: "no unit" });
  const { places } = installed;
  const start = lines.find((line) => line.startsWith("Start it"))?.replace(/^[^/']*: /, "") ?? "";
  const ran = Bun.spawnSync(["sh", "-c", `for word in ${start}; do echo "$word"; done`]);
  expect(ran.stdout.toString()).toBe(`${places.bootScript}\nrun\n--base-dir\n/home/a lab/$base\n`);
  expect(lines.join("\n")).toContain(places.bin);
});

test.each([
  [{ SUDO_USER: "lab" }, "system", "sudo "],
  [{}, "system", ""],
  [{ SUDO_USER: "lab" }, "user", ""],
] as const)("after %p the next command of a %s's service begins with %p", (env, kind, sudo) => {
  const around = { env: { ...env, PATH: "/usr/local/bin" }, home: "/root", workingDirectory: "/" };
  const options = { prefix: "/opt/factory", base: "/root/Oxide/ci/factory" };
  const { lines } = reported(around, { ...options, kind, isStarted: "started" });
  expect(lines.find((line) => line.startsWith("Next: "))).toStartWith(
    `Next: ${sudo}buildomat-factory-sp-test check`,
  );
});
