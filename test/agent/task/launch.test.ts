/** launch.c, as it is called. What jobs see of it is in agent-task and background. */
import { expect, test } from "bun:test";
import { closeSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLauncher } from "../../../lib/agent/task/launch.ts";
import { testWith } from "../../lab/needs.ts";
import { until } from "../../lab/until.ts";

const start = { cwd: "/", env: { PATH: process.env["PATH"] ?? "" }, user: null };

test("a process whose exit code is lost did not succeed", async () => {
  const directory = mkdtempSync(join(tmpdir(), "launch-"));
  const launcher = openLauncher(directory);
  const { pid, stdout, stderr } = launcher.launch({ ...start, argv: ["true"] });
  expect(await until("it ended", () => launcher.reap(pid))).toEqual({ code: 0, signal: null });
  expect(launcher.reap(pid)).toEqual({ code: 255, signal: null });
  for (const descriptor of [stdout, stderr]) closeSync(descriptor);
  launcher.close();
  rmSync(directory, { recursive: true });
});

test("a program that cannot be started leaves no descriptor open", () => {
  const directory = mkdtempSync(join(tmpdir(), "launch-"));
  const launcher = openLauncher(directory);
  const open = (): number => readdirSync("/proc/self/fd").length;
  const fail = (): void => {
    expect(() => launcher.launch({ ...start, argv: ["/nonexistent"] })).toThrow("ENOENT");
    expect(() => launcher.launch({ ...start, argv: ["true"], cwd: "/nonexistent" })).toThrow("ENOENT");
  };
  fail();
  const before = open();
  for (let i = 0; i < 20; i += 1) fail();
  expect(open()).toBe(before);
  launcher.close();
  rmSync(directory, { recursive: true });
});

testWith("root", "namespaces")("it is compiled also where no package for developers is installed", () => {
  const directory = mkdtempSync(join(tmpdir(), "launch it-"));
  const bare = `set -e
    mount -t tmpfs none /mnt && mkdir /mnt/upper /mnt/work /mnt/empty
    mount -t overlay none -o lowerdir=/usr/lib,upperdir=/mnt/upper,workdir=/mnt/work /usr/lib
    find /usr/lib/ '(' -name libc.so -o -name libc.a -o -name 'crt*.o' ')' -delete
    ! [ -e /usr/include ] || mount --bind /mnt/empty /usr/include
    exec "$@"`;
  const program = `
    import { openLauncher } from ${JSON.stringify(join(import.meta.dir, "../../../lib/agent/task/launch.ts"))};
    console.log(openLauncher(process.argv.at(-1)).hasLocale("C"));`;
  const source = join(directory, "open.ts");
  writeFileSync(source, program);
  const argv = ["unshare", "--mount", "sh", "-c", bare, "sh", process.execPath, source, directory];
  const ran = Bun.spawnSync(argv, { stderr: "inherit" });
  expect(ran.stdout.toString()).toBe("true\n");
  expect(readdirSync(directory)).toEqual(["open.ts"]);
  rmSync(directory, { recursive: true });
});
