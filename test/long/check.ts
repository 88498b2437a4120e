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
import type { Finding } from "../../lib/commands/check/finding.ts";
import { openSession } from "../lab/pty.ts";
import { drained, openSshLab, type SshLab } from "../lab/ssh-lab.ts";
import { labUser } from "../lab/sshd.ts";
import { until } from "../lab/until.ts";

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
  test.concurrent("a key that ssh cannot use is reported, with what is wrong with it", async () => {
    await using lab = await openSshLab();
    const { hostKey, port, userKey } = lab.sshd;
    const at = (name: string): string => join(lab.directory, name);
    writeFileSync(at("open"), readFileSync(userKey), { mode: 0o644 });
    writeFileSync(at("garbage"), "this is no key\n", { mode: 0o600 });
    // Pinned: else ssh would remember it where its own user's keys are.
    const host = ['host = "127.0.0.1"', `ssh_port = ${port}`, `host_key = "${hostKey}"`];
    const rest = lab.bed.filter((line) => !line.startsWith("host ="));
    for (const [name, wrong] of [
      [
        "missing",
        [`Identity file ${at("missing")} not accessible: No such file or directory`, "; correct ssh_key"],
      ],
      ["open", [`Permissions 0644 for '${at("open")}' are too open`, `; chmod 600 ${at("open")}`]],
      ["garbage", [`Load key "${at("garbage")}": `, "; correct ssh_key"]],
    ] as const) {
      lab.configure({ testbeds: { "bed-1": [...host, ...rest, `ssh_key = "${at(name)}"`] } });
      const said = await checked(lab);
      for (const part of wrong) expect(said).toContain(part);
    }
  });

  test.concurrent.each([
    ["/usr/sbin/nologin", "bench-1: no answer, exit code 1: This account is currently not available."],
    ["/bin/false", "bench-1: no answer, exit code 1"],
  ])("a user there whose login shell is %s: %s", async (shell, said) => {
    await using lab = await openSshLab({ machine: { shell } });
    expect(await checked(lab)).toContain(said);
  });

  test.concurrent("a host that does not open a session is reported, with where to look", async () => {
    await using lab = await openSshLab({ config: ["MaxSessions 0"] });
    expect(await checked(lab)).toContain("it does not open a session; see MaxSessions in its sshd_config");
  });

  test.concurrent("a jump host with an unknown key is reported, with what to do", async () => {
    await using lab = await openSshLab();
    const { port, userKey } = lab.sshd;
    const known = ["HostName 127.0.0.1", "User root", `Port ${port}`, `IdentityFile ${userKey}`];
    const jump = ["ProxyJump jump", "Host jump", ...known, `UserKnownHostsFile ${lab.directory}/none`, ""];
    appendFileSync(join(lab.directory, "ssh_config"), jump.join("\n"));
    expect(await checked(lab)).toContain("run ssh bench-1 by hand: the key of a jump host");
  });

  test.concurrent("on a terminal nothing that ssh runs can ask there", async () => {
    await using lab = await openSshLab();
    const seen = join(lab.directory, "seen");
    const way = `ProxyCommand sh -c 'if (: </dev/tty) 2>/dev/null; then echo asks; else echo silent; fi >>${seen}'\n`;
    appendFileSync(join(lab.directory, "ssh_config"), way);
    const path = `${lab.directory}/bin:${process.env["PATH"]}`;
    const env = { PATH: path, HOME: lab.base, FACTORY_LOCK_DIR: join(lab.directory, "locks") };
    const program = [process.execPath, join(import.meta.dir, "../../factory.ts"), "check"];
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
  ])("check reports that the disk there %s, and the factory before it takes a job", async (_, disk, said) => {
    await using lab = await openSshLab({ disk });
    expect(await checked(lab)).toMatch(said);
    const factory = lab.start();
    await lab.submit("true");
    await until("it is logged", () =>
      factory.log().some(({ message }) => /^bench-1: .*(?:64 MiB|read-only)/.test(message)),
    );
    factory.kill("SIGTERM");
    expect(await factory.exited).toBe(0);
    expect(factory.log().filter(({ message }) => message === "leased a job")).toEqual([]);
  });

  test.concurrent("check reports a directory of another user in the way there, or one that others may write to", async () => {
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
      `error: bench-1: ${lab.work} is not there and cannot be created by this user; make it, or set testbed.bed-1.work_dir`,
    );
  });

  test.concurrent("check reports that testbed-id is gone there, and its fix works, also if a job was leased", async () => {
    await using lab = await openSshLab();
    const factory = lab.start();
    expect((await lab.ended(await lab.submit("true"))).state).toBe("completed");
    rmSync(join(lab.work, "testbed-id"));
    const id = await lab.submit("true");
    await until("it is logged", () =>
      factory.log().some(({ message }) => message.includes("is not the machine that")),
    );
    const said = await checked(lab);
    expect(said).toMatch(/^error: bench-1 is not the machine .* is missing or empty\)/);
    const [, machine = ""] = /; if it is the right one, write (\S+) into that file there$/.exec(said) ?? [];
    expect(existsSync(join(lab.work, "testbed-id"))).toBe(false);
    writeFileSync(join(lab.work, "testbed-id"), machine);
    expect(await checked(lab)).not.toContain("is missing");
    expect((await lab.ended(id)).state).toBe("completed");
    await drained(factory);
  });

  test.concurrent("check repeats what the running factory said last, where it finds nothing itself", async () => {
    await using lab = await openSshLab();
    lab.sshd.refuse(true);
    const factory = lab.start();
    await until("it is logged", () =>
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
