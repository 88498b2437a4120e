/** `check` of hosts behind ssh: real sshds on loopback, in whatever is wrong with them. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Finding } from "../lib/check/finding.ts";
import { openSession } from "./pty.ts";
import { drained, openSshLab, type SshLab } from "./ssh-lab.ts";
import { labUser } from "./sshd.ts";
import { until } from "./until.ts";

setDefaultTimeout(60_000);

/** What `check` says is wrong with the testbed; empty: nothing. */
async function checked({ start }: SshLab): Promise<string> {
  const check = start({ command: ["check", "--json"] });
  const { findings } = JSON.parse(await check.stdout()) as { findings: Finding[] };
  const found = findings.filter(({ severity, subject }) => severity !== "ok" && subject === "testbed.bed-1");
  if (found.some(({ severity }) => severity === "error")) expect(await check.exited).toBe(1);
  return found.map(({ severity, message }) => `${severity}: ${message}`).join("\n");
}

describe("check of a testbed behind ssh", () => {
  test.concurrent("a key that ssh cannot use is told, with what is wrong with it", async () => {
    await using lab = await openSshLab();
    const { port, userKey } = lab.sshd;
    const at = (name: string): string => join(lab.directory, name);
    writeFileSync(at("open"), readFileSync(userKey), { mode: 0o644 });
    writeFileSync(at("garbage"), "this is no key\n", { mode: 0o600 });
    const host = ['host = "127.0.0.1"', `ssh_port = ${port}`];
    const rest = lab.bed.filter((line) => !line.startsWith("host ="));
    for (const [name, wrong] of [
      ["missing", `Identity file ${at("missing")} not accessible: No such file or directory`],
      ["open", `Permissions 0644 for '${at("open")}' are too open`],
      ["garbage", `Load key "${at("garbage")}": `],
    ] as const) {
      lab.configure({ testbeds: { "bed-1": [...host, ...rest, `ssh_key = "${at(name)}"`] } });
      expect(await checked(lab)).toContain(wrong);
    }
  });

  test.concurrent.each([
    ["/usr/sbin/nologin", "bench-1: no answer, exit code 1: This account is currently not available."],
    ["/bin/false", "bench-1: no answer, exit code 1"],
  ])("a user there whose login shell is %s: %s", async (shell, said) => {
    await using lab = await openSshLab({ machine: { shell } });
    expect(await checked(lab)).toContain(said);
  });

  test.concurrent("a host that opens no session is told, with where to look", async () => {
    await using lab = await openSshLab({ config: ["MaxSessions 0"] });
    expect(await checked(lab)).toContain("it opens no session; see MaxSessions in its sshd_config");
  });

  test.concurrent("a jump host whose key is not known is told, with what to do", async () => {
    await using lab = await openSshLab();
    const { port, userKey } = lab.sshd;
    const known = ["HostName 127.0.0.1", "User root", `Port ${port}`, `IdentityFile ${userKey}`];
    const jump = ["ProxyJump jump", "Host jump", ...known, `UserKnownHostsFile ${lab.directory}/none`, ""];
    appendFileSync(join(lab.directory, "ssh_config"), jump.join("\n"));
    expect(await checked(lab)).toContain("run ssh bench-1 by hand: a jump host");
  });

  test.concurrent("on a terminal nothing that ssh runs can ask there", async () => {
    await using lab = await openSshLab();
    const seen = join(lab.directory, "seen");
    const way = `ProxyCommand sh -c 'if (: </dev/tty) 2>/dev/null; then echo asks; else echo silent; fi >>${seen}'\n`;
    appendFileSync(join(lab.directory, "ssh_config"), way);
    const path = `${lab.directory}/bin:${process.env["PATH"]}`;
    const env = { PATH: path, HOME: lab.base, FACTORY_LOCK_DIR: join(lab.directory, "locks") };
    const program = [process.execPath, join(import.meta.dir, "../factory.ts"), "check"];
    const session = openSession([...program, "--base-dir", lab.base], { cwd: "/", env });
    expect(await session.exited).toBe(1);
    expect(session.shown()).toContain("cannot reach bench-1");
    expect(readFileSync(seen, "utf8")).toBe("silent\n");
  });

  test.concurrent("check finds nothing wrong with a host that jobs run on, before and after, and makes nothing", async () => {
    await using lab = await openSshLab();
    expect(await checked(lab)).toBe("");
    expect(existsSync(lab.work)).toBe(false);
    const factory = lab.start();
    expect((await lab.ended(await lab.submit("true"))).state).toBe("completed");
    expect(await checked(lab)).toBe("");
    await drained(factory);
  });

  test.concurrent.each([
    ["is full", "size=2m,mode=700", /^error: bench-1: 2 MiB free in \S+\/far; .* 64 MiB; make room, /],
    [
      "is read-only",
      "ro,mode=700",
      /^error: bench-1: \S+\/far cannot be written, .*: mount it for writing, or set testbed.bed-1.work_dir$/,
    ],
  ])("check tells that the disk there %s", async (_, disk, said) => {
    await using lab = await openSshLab({ disk });
    expect(await checked(lab)).toMatch(said);
  });

  test.concurrent("check tells that another user's directory is in the way there, or that others may write to it", async () => {
    await using lab = await openSshLab({ agent: "builtin", isCompiled: true, machine: {} });
    // As root: its own user may not even go there.
    mkdirSync(lab.work, { recursive: true });
    chmodSync(lab.work, 0o700);
    expect(await checked(lab)).toBe(
      `error: bench-1: ${lab.work} belongs to user 0, not to ${labUser}; run as that user, or chown ${labUser} ${lab.work}, or set testbed.bed-1.work_dir`,
    );
    chownSync(lab.work, labUser, labUser);
    expect(await checked(lab)).toBe("");
    chmodSync(lab.work, 0o770);
    expect(await checked(lab)).toBe(
      `error: bench-1: ${lab.work} can be written by others (mode 0770); chmod go-w ${lab.work}`,
    );
    rmSync(lab.work, { recursive: true });
    expect(await checked(lab)).toBe(
      `error: bench-1: ${lab.work} is not there and cannot be made by this user; make it, or set testbed.bed-1.work_dir`,
    );
  });

  test.concurrent("check tells that testbed-id is gone there, and does not make it again", async () => {
    await using lab = await openSshLab();
    const factory = lab.start();
    expect((await lab.ended(await lab.submit("true"))).state).toBe("completed");
    await drained(factory);
    const name = join(lab.work, "testbed-id");
    rmSync(name);
    const said = await checked(lab);
    expect(said).toMatch(/^error: another machine answers as bench-1 than .* is missing or empty\)/);
    const [, known = ""] = /; if it is the right one, remove (\S+)$/.exec(said) ?? [];
    expect(existsSync(name)).toBe(false);
    rmSync(known);
    expect(await checked(lab)).toBe("");
    const second = lab.start();
    expect((await lab.ended(await lab.submit("true"))).state).toBe("completed");
    await drained(second);
  });

  test.concurrent("check repeats what the running factory said last, where it finds nothing itself", async () => {
    await using lab = await openSshLab();
    lab.sshd.refuse(true);
    const factory = lab.start();
    await until("it is told", () =>
      factory.log().some(({ message }) => message.startsWith("cannot reach bench-1")),
    );
    // It cannot see now that the host is back.
    factory.kill("SIGSTOP");
    lab.sshd.refuse(false);
    expect(await checked(lab)).toMatch(/^error: the running factory says: cannot reach bench-1 over ssh: /);
    factory.kill("SIGCONT");
    await until("it is used again", async () => (await checked(lab)) === "");
    await drained(factory);
    expect(await checked(lab)).toBe("");
  });
});
