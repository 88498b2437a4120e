/** `service uninstall` and `status` without systemd (test/long/systemd.ts has one): which installation, and what is removed. */
import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { findInstalled, type ServiceArgs } from "../../lib/commands/service/installed.ts";
import { showService } from "../../lib/commands/service/status.ts";
import type { ThisProcess } from "../../lib/commands/this-process.ts";
import { openDurableFiles } from "../../lib/doors/durable-files.ts";
import { describeUnit } from "../../lib/service/unit.ts";
import { lockStore } from "../../lib/store/file.ts";
import { openPlaces } from "../../lib/update/places.ts";
import { writeState } from "../../lib/update/state.ts";

const root = mkdtempSync(join(tmpdir(), "uninstall-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** A version in a prefix, and the base directory in the prefix, too. */
async function openInstalled(): Promise<{ prefix: string; base: string }> {
  const prefix = mkdtempSync(join(root, "prefix-"));
  const files = openDurableFiles();
  const places = openPlaces({ prefix, files });
  for (const version of ["1.0.0", "1.1.0"]) {
    await files.makeDirectory(places.staging);
    const executable = join(places.staging, "new");
    writeFileSync(executable, version);
    await places.place({ version, executable, sha256: await files.sha256(executable), signed: null });
    await places.switchTo(version);
  }
  await files.makeDirectory(join(prefix, "libexec"));
  for (const name of ["libexec/boot", "update.json", "staging/0123456789abcdef.part", "boot/1.2.0.bad"])
    writeFileSync(join(prefix, name), "");
  lockStore(join(prefix, "install"))?.release();
  const base = join(prefix, "base");
  mkdirSync(base);
  writeFileSync(join(base, "config.toml"), "");
  return { prefix, base };
}

function uninstall(
  { prefix, base }: { prefix: string; base: string },
  more: string[] = [],
): { code: number; said: string } {
  const words = ["service", "uninstall", "--user", "--files-only", "--yes", "--prefix", prefix];
  const ran = Bun.spawnSync(
    [process.execPath, join(import.meta.dir, "../../factory.ts"), ...words, "--base-dir", base, ...more],
    { env: { PATH: "/usr/bin:/bin", HOME: root }, cwd: root },
  );
  return { code: ran.exitCode, said: `${ran.stdout.toString()}${ran.stderr.toString()}` };
}

test("everything that an installation made is removed, and with it the prefix", async () => {
  const it = await openInstalled();
  rmSync(it.base, { recursive: true });
  expect(uninstall(it)).toMatchObject({ code: 0 });
  expect(existsSync(it.prefix)).toBe(false);
});

test("--purge removes everything that a factory made in its base directory, and then the directory", async () => {
  const it = await openInstalled();
  for (const directory of ["control", "work/a_1"]) mkdirSync(join(it.base, directory), { recursive: true });
  for (const name of ["control/control.sock", "data.sqlite3-wal", "config.schema.json"])
    writeFileSync(join(it.base, name), "");
  const { code, said } = uninstall(it, ["--purge"]);
  expect({ code, said }).toEqual({ code: 0, said: "Nothing of it is left\n" });
  expect(existsSync(it.base)).toBe(false);
});

test("other files in the prefix stay, for example if that is /usr/local", async () => {
  const it = await openInstalled();
  for (const name of ["bin/other", "libexec/other", "versions/other", "boot/other", "other"])
    writeFileSync(join(it.prefix, name), "");
  expect(uninstall(it)).toMatchObject({ code: 0 });
  expect(readdirSync(it.prefix, { recursive: true }).map(String).toSorted()).toEqual([
    "base",
    "base/config.toml",
    "bin",
    "bin/other",
    "boot",
    "boot/other",
    "libexec",
    "libexec/other",
    "other",
    "versions",
    "versions/other",
  ]);
});

test("a factory that another supervisor runs is not uninstalled", async () => {
  const it = await openInstalled();
  const factory = lockStore(join(it.base, "data.sqlite3"));
  expect(uninstall(it)).toMatchObject({
    code: 1,
    said: expect.stringContaining("a factory runs on") as string,
  });
  expect(existsSync(join(it.prefix, "versions/1.1.0"))).toBe(true);
  factory?.release();
  expect(uninstall(it)).toMatchObject({ code: 0 });
});

async function statusOf({ prefix, base }: { prefix: string; base: string }): Promise<string[]> {
  const lines: string[] = [];
  const here = { ...hereOf("/usr/bin/bun"), print: (line: string) => void lines.push(line) };
  expect(await showService(here as ThisProcess, { prefix, "base-dir": base })).toBe(0);
  return lines;
}

const hereOf = (executable: string): Partial<ThisProcess> => ({
  around: { env: {}, home: root, platform: "linux", workingDirectory: "/", readText: () => "" },
  durableFiles: openDurableFiles(),
  executable,
  exists: (path) => path !== "/run/systemd/system",
  uid: 0,
});

test("status shows what is installed also on a host without systemd", async () => {
  expect((await statusOf(await openInstalled()))[0]).toContain("1.1.0");
});

test("what reads its output may end first, as head does", async () => {
  const { prefix } = await openInstalled();
  const words = [
    process.execPath,
    join(import.meta.dir, "../../factory.ts"),
    "service",
    "status",
    "--prefix",
  ];
  const ran = Bun.spawnSync(["sh", "-c", '"$@" | true', "sh", ...words, prefix, "--files-only"], {
    env: { PATH: "/usr/bin:/bin", HOME: root },
  });
  expect(ran.stderr.toString()).toBe("");
});

test("status names newer versions that were rolled back, and offers none that runs", async () => {
  const it = await openInstalled();
  const files = openDurableFiles();
  const failed = "failed    1.2.0, not tried again: it did not prove itself in three starts";
  // Its files are removed soon, and the mirror may not be asked for days.
  writeFileSync(join(it.prefix, "boot/1.0.1.bad"), "");
  expect((await statusOf(it)).filter((line) => line.startsWith("failed"))).toEqual([failed]);
  await writeState(files, it.prefix, { offered: "1.2.0" });
  const lines = await statusOf(it);
  expect(lines).toContain(failed);
  expect(lines.join()).not.toContain("offered");
  await writeState(files, it.prefix, { offered: "1.1.0" });
  expect((await statusOf(it)).join()).not.toContain("offered");
  await writeState(files, it.prefix, { offered: "1.3.0" });
  expect(await statusOf(it)).toContain("offered   1.3.0");
});

test("without flags, the executable's own installation is meant, and the base directory that its unit has", async () => {
  const ofUser = join(root, ".local/opt/buildomat-factory-sp-test");
  const here = hereOf(join(ofUser, "versions/1.0.0/buildomat-factory-sp-test"));
  const unitPath = join(root, ".config/systemd/user/buildomat-factory-sp-test.service");
  mkdirSync(dirname(unitPath), { recursive: true });
  const unit = (prefix: string): string =>
    describeUnit({
      kind: "user",
      bootScript: `${prefix}/libexec/boot`,
      baseDirectory: "/data/a b",
      elevates: false,
      systemdVersion: 252,
    }).text;
  writeFileSync(unitPath, unit(ofUser));
  const found = await findInstalled(here as ThisProcess, {});
  expect([found.kind, found.places.prefix, found.base.directory]).toEqual(["user", ofUser, "/data/a b"]);
  const told = await findInstalled(here as ThisProcess, { "base-dir": "/other" });
  expect(told.base.directory).toBe("/other");
  writeFileSync(unitPath, unit("/elsewhere"));
  const without = await findInstalled(here as ThisProcess, {});
  expect(without.base.directory).toBe(join(root, "Oxide/ci/factory"));
});

test("F114 no installation takes the service or the base directory away from another one", async () => {
  const prefix = join(root, ".local/opt/buildomat-factory-sp-test");
  const unitPath = join(root, ".config/systemd/user/buildomat-factory-sp-test.service");
  mkdirSync(dirname(unitPath), { recursive: true });
  const bootScript = `${prefix}/libexec/boot`;
  const of = { kind: "user", baseDirectory: "/data/a", elevates: false, systemdVersion: 252 } as const;
  writeFileSync(unitPath, describeUnit({ ...of, bootScript }).text);
  const systemctl = { ok: true as const, exitCode: 0, stdout: "252", stderr: "" };
  const here = {
    ...hereOf("/usr/bin/bun"),
    exists: () => true,
    processes: { run: () => Promise.resolve(systemctl) },
    searchPath: "",
  } as unknown as ThisProcess;
  const install = async (args: ServiceArgs): Promise<string> =>
    await findInstalled(here, { user: true, ...args }, true).then(() => "installs", String);
  expect(await install({})).toBe("installs");
  expect(await install({ "base-dir": "/data/a" })).toBe("installs");
  expect(await install({ "base-dir": "/data/b" })).toContain("serves /data/a");
  expect(await install({ prefix: "/other" })).toContain("is of another installation");
  expect(await install({ prefix: "/other", "files-only": true })).toBe("installs");
  const purge = async (args: ServiceArgs): Promise<string> =>
    await findInstalled(here, { user: true, purge: true, ...args }).then(() => "removes", String);
  expect(await purge({})).toBe("removes");
  expect(await purge({ prefix: "/other", "base-dir": "/data/a" })).toContain(
    "of another installation, serves it",
  );
  expect(await purge({ prefix: "/other", "base-dir": "/data/b" })).toBe("removes");
  rmSync(unitPath);
  expect(await install({ "base-dir": "/data/b" })).toBe("installs");
});
