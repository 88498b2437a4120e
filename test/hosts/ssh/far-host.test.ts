/** What `check` finds on a host behind ssh; here every word of its questions is run by each shell that such a host may have. */
import { afterAll, afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startDevserver } from "../../../lib/devserver/server.ts";
import { openClock } from "../../../lib/doors/clock.ts";
import { openFiles } from "../../../lib/doors/files.ts";
import { openProcesses } from "../../../lib/doors/processes.ts";
import { openRandom } from "../../../lib/doors/random.ts";
import type { Reached } from "../../../lib/hosts/host.ts";
import { openSshHosts, type SshHosts } from "../../../lib/hosts/ssh/far-host.ts";
import { needOfShell, testWith } from "../../lab/needs.ts";
import { configOf, testbedOf } from "../../policy/scenes.ts";
import { until } from "../../lab/until.ts";

const clock = openClock();
const processes = openProcesses({ clock });
/** An agent on the host would reach it. */
const server = startDevserver({ clock, random: openRandom(), adminToken: "admin-token" });
afterAll(async () => await server.stop());
const shells = [["/bin/dash"], ["/bin/bash"], ["/usr/bin/busybox", "ash"], ["/bin/ksh93"]];

let directory = "";
let work = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "hosts-"));
  work = join(directory, "far");
  writeFileSync(join(directory, "agent"), "#!/bin/sh\n", { mode: 0o755 });
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const bed = () =>
  testbedOf({ name: "bed-1", host: "bench-1", agentPath: join(directory, "agent"), workDir: work });

/** This host by its shell, instead of another one by its sshd. */
function openHosts(
  shell: string[],
  { path = "/usr/bin:/bin", edit = (script: string) => script } = {},
): SshHosts {
  const { general, ...config } = configOf([bed()]);
  return openSshHosts({
    config: { ...config, general: { ...general, baseurl: server.url } },
    connections: {
      to: () => ({
        run: async (argv, stdin, timeoutMs) =>
          await processes.run({
            argv: [...shell, ...argv.slice(1).map(edit)],
            stdin,
            env: { PATH: path, HOME: directory },
            timeoutMs,
            maxBytes: 65_536,
          }),
        watch: () => ({ close: () => undefined }),
        close: () => Promise.resolve(),
      }),
      keepOnly: () => Promise.resolve(),
      close: () => Promise.resolve(),
    },
    files: openFiles(),
    random: openRandom(),
    machineDirectory: join(directory, "machines"),
    lockDirectory: join(directory, "locks"),
    executable: () => Promise.resolve(null),
  });
}

/** What is wrong there, or else what is remarked; null: nothing. */
async function inspect(hosts: SshHosts): Promise<string | null> {
  const found = await hosts.inspect(bed());
  return found.ok ? found.remarks.join() || null : found.reason;
}

describe.each(shells)("in %s", (...shell) => {
  const test = testWith(...needOfShell(shell[0] ?? ""));
  const testAsRoot = testWith("root", ...needOfShell(shell[0] ?? ""));
  const words = shell.filter((word) => typeof word === "string");

  test("inspect() finds nothing wrong with a complete host, and creates nothing there", async () => {
    work = join(directory, "deep/er/far");
    expect(await inspect(openHosts(words))).toBeNull();
    expect(readdirSync(directory)).toEqual(["agent"]);
    mkdirSync(work, { recursive: true, mode: 0o700 });
    expect(await inspect(openHosts(words))).toBeNull();
    expect(readdirSync(work)).toEqual([]);
  });

  test.each(["~", "~/far"])("the work directory %s is in the user's home", async (path) => {
    work = path;
    expect(await inspect(openHosts(words))).toBeNull();
    expect(readdirSync(directory)).toEqual(["agent"]);
    const where = path.replace("~", directory);
    expect(await openHosts(words).reach(bed())).toMatchObject({ ok: true, host: { workDirectory: where } });
  });

  test("inspect() names a work directory that others can write, with the fix", async () => {
    mkdirSync(work);
    chmodSync(work, 0o1777);
    expect(await inspect(openHosts(words))).toBe(
      `bench-1: ${work} can be written by others (mode 1777); chmod go-w ${work}`,
    );
  });

  testAsRoot("inspect() names a work directory of another user, with the fix", async () => {
    mkdirSync(work, { mode: 0o700 });
    chownSync(work, 1234, 1234);
    expect(await inspect(openHosts(words))).toBe(
      `bench-1: ${work} belongs to user 1234, not to 0; run as that user, or chown 0 ${work}, or set testbed.bed-1.work_dir`,
    );
  });

  testAsRoot("inspect() without root reports a directory that is closed or cannot be written", async () => {
    const as = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "--", ...words];
    chmodSync(directory, 0o755);
    mkdirSync(work);
    chmodSync(work, 0o700);
    expect(await inspect(openHosts(as))).toMatch(/^bench-1: \S+\/far belongs to user 0, not to 12345; /);
    chownSync(work, 12_345, 12_345);
    expect(await inspect(openHosts(as))).toBeNull();
    for (const mode of [0o500, 0o600]) {
      chmodSync(work, mode);
      expect(await inspect(openHosts(as))).toBe(
        `bench-1: ${work} cannot be written by this user; chmod u+wx ${work}`,
      );
    }
    rmSync(work, { recursive: true });
    expect(await inspect(openHosts(as))).toMatch(/ is not there and cannot be created by this user; /);
  });

  test("inspect() names a work directory that cannot be created, with the fix", async () => {
    writeFileSync(join(directory, "file"), "");
    work = join(directory, "file/far");
    expect(await inspect(openHosts(words))).toBe(
      `bench-1: ${work} is not there and cannot be created by this user; make it, or set testbed.bed-1.work_dir`,
    );
  });

  test("inspect() names a disk that is full, with the fix", async () => {
    const edit = (script: string): string =>
      script.replace('df -Pk "$near"', "printf '%s\\n' head '/dev/my disk 9000 8990 10 100% /mnt'");
    expect(await inspect(openHosts(words, { edit }))).toBe(
      `bench-1: 0 MiB free in ${work}; no job starts with less than 64 MiB; make room, lower general.keep, or set testbed.bed-1.work_dir to a larger disk`,
    );
  });

  test("inspect() remarks that bash is missing, and that little space is free", async () => {
    const edit = (script: string): string =>
      script
        .replace("-x /bin/bash", "-x /bin/no-bash")
        .replace('df -Pk "$near"', "printf '%s\\n' head '/dev/disk 9000000 8900000 100000 99% /mnt'");
    expect(await openHosts(words, { edit }).inspect(bed())).toEqual({
      ok: true,
      tried: [
        expect.stringMatching(
          /^bench-1: ssh logs in as \S+; 97 MiB free in \S+\/far; the agent is \S+\/agent$/,
        ),
        "bench-1: it reaches the server",
      ],
      remarks: [
        "bench-1: there is no /bin/bash: jobs are bash scripts; install it",
        `bench-1: 97 MiB free in ${work}; make room, lower general.keep, or set testbed.bed-1.work_dir to a larger disk`,
      ],
    });
  });

  test("inspect() finds nothing wrong if df and ls print nothing useful", async () => {
    const bin = join(directory, "bin");
    mkdirSync(bin);
    mkdirSync(work, { mode: 0o700 });
    for (const name of ["uname", "id", "cat"]) symlinkSync(`/usr/bin/${name}`, join(bin, name));
    expect(await inspect(openHosts(words, { path: bin }))).toBeNull();
  });

  test("testbeds of one host that are reached at the same time agree on its machine id, even if the first is slow", async () => {
    // By a function, because busybox has an rm of its own.
    const slow = `rm() { case $* in */testbed-id) : >'${directory}/slow'; until [ -e '${directory}/go' ]; do sleep 0.05; done ;; esac; command rm "$@"; }\n`;
    const edit = (script: string): string => (script.includes("umask 077") ? slow + script : script);
    const first = openHosts(words, { edit }).reach(bed());
    await Promise.race([first, until("it is about to remove", () => existsSync(join(directory, "slow")))]);
    const second = await openHosts(words).reach({ ...bed(), name: "bed-2" });
    writeFileSync(join(directory, "go"), "");
    const machineOf = (reached: Reached) => (reached.ok ? reached.host.ssh?.machine : reached.reason);
    expect(machineOf(await first)).toBe(readFileSync(join(work, "testbed-id"), "utf8").trim());
    expect(machineOf(second)).toBe(machineOf(await first));
  });

  test("a known host without its testbed-id is reported, and does not get a new one", async () => {
    const hosts = openHosts(words);
    expect(await hosts.reach(bed())).toMatchObject({ ok: true });
    expect(await inspect(hosts)).toBeNull();
    const id = join(work, "testbed-id");
    const machine = readFileSync(id, "utf8").trim();
    const known = join(directory, "machines/bed-1");
    const gone = `bench-1 is not the machine that this testbed was attached to before, or its disk is not mounted (${id} is missing or empty); if it is the right one, write ${machine} into that file there`;
    writeFileSync(id, "");
    expect(await inspect(hosts)).toBe(gone);
    rmSync(id);
    expect(await inspect(hosts)).toBe(gone);
    rmSync(work, { recursive: true });
    expect(await inspect(hosts)).toBe(gone);
    expect(existsSync(work)).toBe(false);
    // Nor is it given another name.
    expect(await hosts.reach(bed())).toEqual({ ok: false, reason: gone });
    mkdirSync(work, { mode: 0o700 });
    expect(await hosts.reach(bed())).toEqual({ ok: false, reason: gone });
    expect(existsSync(id)).toBe(false);
    writeFileSync(id, `${machine}\n`);
    expect(await hosts.reach(bed())).toMatchObject({ ok: true });
    writeFileSync(id, "another\n");
    const other = `bench-1 is not the machine that this testbed was attached to before (${id} differs); if it is the right one, remove ${known}`;
    expect(await hosts.reach(bed())).toEqual({ ok: false, reason: other });
    expect(await inspect(hosts)).toBe(other);
    rmSync(known);
    expect(await inspect(hosts)).toBeNull();
    writeFileSync(id, "\n");
    const blank = { ok: false, reason: `bench-1: ${id} there is empty; remove it` };
    expect(await hosts.reach(bed())).toMatchObject(blank);
  });
});

test("inspect() marks a host that only cannot reach the server", async () => {
  mkdirSync(join(directory, "bin"));
  writeFileSync(join(directory, "bin/curl"), "#!/bin/sh\nexit 7\n", { mode: 0o755 });
  const hosts = openHosts(["/bin/sh"], { path: `${directory}/bin:/usr/bin:/bin` });
  expect(await hosts.inspect(bed())).toMatchObject({ ok: false, isServerSilent: true });
  chmodSync(join(directory, "agent"), 0o644);
  expect(await hosts.inspect(bed())).not.toHaveProperty("isServerSilent");
});
