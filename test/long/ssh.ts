/** The factory as a process, with testbeds that hang on other hosts: real sshds on loopback. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Lab, must, openLab } from "../lab/lab.ts";
import { processesNaming } from "../lab/leavings.ts";
import { drained, openSshLab } from "../lab/ssh-lab.ts";
import { labUser } from "../lab/sshd.ts";
import { until } from "../lab/until.ts";

setDefaultTimeout(120_000);

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

async function clear(lab: Pick<Lab, "start">): Promise<void> {
  const args = ["--yes", "--because", "the host burnt down"];
  expect(await lab.start({ command: ["clear", "bed-1"], args }).exited).toBe(0);
}

describe("a testbed behind ssh", () => {
  test.concurrent("runs a job there, and leaves no process and no secret", async () => {
    await using lab = await openSshLab();
    const factory = lab.start();
    const id = await lab.submit("echo there; echo $HOME");
    expect((await lab.ended(id)).state).toBe("completed");
    expect(await lab.said(id, "stdout")).toEqual(["there", `${lab.work}/bed-1_1/home`]);
    await drained(factory);
    expect(factory.log().filter(({ level }) => level !== "info")).toEqual([]);
    expect(existsSync(join(lab.work, "bed-1_1/opt/etc/agent.json"))).toBe(false);
    expect(existsSync(join(lab.work, "bed-1_1/agent.log"))).toBe(true);
    expect(readdirSync(join(lab.base, "work")).filter((name) => !name.startsWith("."))).toEqual([]);
    expect(lab.sshd.connections()).toBe(1);
  });

  test.concurrent("F49 a job survives a connection that is cut and cannot be made again for a while", async () => {
    await using lab = await openSshLab();
    const factory = lab.start();
    const id = await lab.submit(
      `echo begun; until [ -e '${lab.directory}/end' ]; do sleep 0.05; done; echo ended`,
    );
    await until("it runs", async () => (await lab.said(id, "stdout")).length > 0);
    lab.sshd.refuse(true);
    await until("it is noticed", () =>
      factory
        .log()
        .some(({ message }) => message.includes("cannot tell whether its agent runs: cannot reach bench-1")),
    );
    await Bun.write(join(lab.directory, "end"), "");
    await until("the job is done", async () => (await lab.said(id, "stdout")).includes("ended"));
    expect(await lab.factoryApi.workers()).toMatchObject({ value: [{ recycle: false }] });
    lab.sshd.refuse(false);
    expect((await lab.ended(id)).state).toBe("completed");
    await drained(factory);
  });

  test.concurrent("F48 a connection that hangs is given up, and the job goes on", async () => {
    await using lab = await openSshLab();
    const factory = lab.start();
    const id = await lab.submit(
      `echo begun; until [ -e '${lab.directory}/end' ]; do sleep 0.05; done; echo ended`,
    );
    await until("it runs", async () => (await lab.said(id, "stdout")).length > 0);
    const before = lab.sshd.connections();
    lab.sshd.freeze(true);
    // Not by its own look alone: ssh itself gives up after 45 s.
    await until("another connection is tried", () => lab.sshd.connections() > before, 100_000);
    lab.sshd.freeze(false);
    await Bun.write(join(lab.directory, "end"), "");
    expect((await lab.ended(id)).state).toBe("completed");
    expect(await lab.said(id, "stdout")).toEqual(["begun", "ended"]);
    await drained(factory);
  }, 180_000);

  test.concurrent("F55 a connection whose ssh was killed is opened again", async () => {
    await using lab = await openSshLab();
    const factory = lab.start();
    const id = await lab.submit(`echo begun; until [ -e '${lab.directory}/end' ]; do sleep 0.05; done`);
    await until("it runs", async () => (await lab.said(id, "stdout")).length > 0);
    // The one that all calls share stays where its socket is.
    const shared = processesNaming(`${lab.base}/work/.ssh`);
    expect(shared.length).toBeGreaterThan(0);
    for (const pid of shared) kill(pid);
    await until("it is open again", () => lab.sshd.connections() > 1);
    await Bun.write(join(lab.directory, "end"), "");
    expect((await lab.ended(id)).state).toBe("completed");
    await drained(factory);
  });

  test.concurrent("with elevation agents run as root there, too", async () => {
    await using lab = await openSshLab({ general: ["use_privilege_elevation = true"] });
    const factory = lab.start();
    const id = await lab.submit("id -u; env | grep -c BUILDOMAT_NONROOT");
    await lab.ended(id);
    expect(await lab.said(id, "stdout")).toEqual(["0", "0"]);
    await drained(factory);
    expect(factory.log().filter(({ level }) => level !== "info")).toEqual([]);
  });

  test.concurrent("a restart takes over what runs there, also one that ended meanwhile", async () => {
    await using lab = await openSshLab();
    const first = lab.start();
    const id = await lab.submit(`echo begun; until [ -e '${lab.directory}/end' ]; do sleep 0.05; done`);
    await until("it runs", async () => (await lab.said(id, "stdout")).length > 0);
    first.kill("SIGKILL");
    await first.exited;
    await Bun.write(join(lab.directory, "end"), "");
    const second = lab.start();
    expect((await lab.ended(id)).state).toBe("completed");
    expect(await lab.said(id, "stdout")).toEqual(["begun"]);
    await drained(second);
  });

  test.concurrent("a host that cannot be reached is logged once, takes no job, and is used when it is back", async () => {
    await using lab = await openSshLab();
    lab.sshd.refuse(true);
    const factory = lab.start();
    const id = await lab.submit("true");
    await until("it is logged", () =>
      factory
        .log()
        .some(({ message, testbed }) => testbed === "bed-1" && message.startsWith("cannot reach bench-1")),
    );
    expect(lab.proxy.calls).not.toContain("POST /0/factory/lease");
    const status = lab.start({ command: ["status"] });
    expect(await status.exited).toBe(0);
    expect(await status.stdout()).toMatch(/^bed-1 .* unreachable .* cannot reach bench-1/m);
    lab.sshd.refuse(false);
    expect((await lab.ended(id)).state).toBe("completed");
    await drained(factory);
    expect(factory.log().filter(({ level }) => level === "warn").length).toBe(1);
  });

  test.concurrent("an agent there that cannot be run, now or later, takes no job, counts as no strike, and is used when it can", async () => {
    await using lab = await openSshLab();
    const agent = join(lab.directory, "stub-agent");
    const good = readFileSync(agent);
    const broken = "#!/no/such/shell\n";
    writeFileSync(agent, broken);
    const factory = lab.start();
    const first = await lab.submit("echo hello");
    const says = (text: string): number =>
      factory.log().filter(({ message }) => message.includes(text)).length;
    await until("it is logged", () => says("needs /no/such/shell, which is not there") === 1);
    expect(lab.proxy.calls).not.toContain("POST /0/factory/lease");
    writeFileSync(agent, good);
    expect((await lab.ended(first)).state).toBe("completed");
    // Between two looks only arming finds it.
    await until("it is free", () => lab.proxy.calls.some((call) => call.startsWith("DELETE")));
    writeFileSync(agent, broken);
    await lab.submit("echo waits for its lease to lapse");
    await until("it is found", () => says("preflight failed: bench-1: the agent") === 1);
    await until("it is shown", async () => {
      const shown = lab.start({ command: ["status"] });
      return (await shown.stdout()).includes("unavailable");
    });
    writeFileSync(agent, good);
    expect((await lab.ended(await lab.submit("echo again"))).state).toBe("completed");
    expect(says("no job for this testbed for")).toBe(0);
    expect(says("was not begun here")).toBe(1);
    await drained(factory);
  });

  test.concurrent("F50 a pinned key that another host has is refused, with what to do", async () => {
    await using lab = await openSshLab({
      bed: ['host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8v5ZLZ4tDUj1Hn6kF5F8Q8W6o3rW7n8GmV0pQmXk3d"'],
    });
    const factory = lab.start();
    await until("it is logged", () =>
      factory
        .log()
        .some(({ message }) => message.includes("the host key of bench-1 is not the expected one")),
    );
    factory.kill("SIGTERM");
    expect(await factory.exited).toBe(0);
  });

  test.concurrent("F52 another machine at the address is refused, with what to do", async () => {
    await using lab = await openSshLab();
    const first = lab.start();
    const id = await lab.submit("true");
    expect((await lab.ended(id)).state).toBe("completed");
    await drained(first);
    await Bun.write(join(lab.work, "testbed-id"), "0123456789abcdef\n");
    const second = lab.start();
    await until("it is logged", () =>
      second.log().some(({ message }) => message.includes("bench-1 is not the machine that")),
    );
    second.kill("SIGTERM");
    expect(await second.exited).toBe(0);
  });

  test.concurrent.each(["/bin/dash", "/bin/bash", "/usr/bin/busybox ash"])(
    "F54 a login shell %s that prints does not matter",
    async (shell) => {
      const noise = `echo noise; echo noise >&2; exec ${shell} -c "$SSH_ORIGINAL_COMMAND"`;
      await using lab = await openSshLab({ config: [`ForceCommand ${noise}`] });
      const factory = lab.start();
      const id = await lab.submit(`echo 'say "there"'`);
      expect((await lab.ended(id)).state).toBe("completed");
      expect(await lab.said(id, "stdout")).toEqual(['say "there"']);
      await drained(factory);
    },
  );

  test.concurrent.each([
    "/bin/sh",
    "/bin/bash",
    "/bin/ksh93",
    "/usr/bin/zsh",
    "/usr/bin/fish",
    "/usr/bin/tcsh",
  ])("another user there, with the login shell %s and the usual work directory", async (shell) => {
    await using lab = await openSshLab({ agent: "builtin", isCompiled: true, machine: { shell } });
    const factory = lab.start();
    const id = await lab.submit(String.raw`printf '%s\n' "it's" '\\' '$HOME' "$(id -un)"`);
    expect((await lab.ended(id)).state).toBe("completed");
    expect(await lab.said(id, "stdout")).toEqual(["it's", String.raw`\\`, "$HOME", "lab"]);
    await drained(factory);
    expect(factory.log().filter(({ level }) => level !== "info")).toEqual([]);
    expect(statSync(join(lab.work, "bed-1_1")).uid).toBe(labUser);
  });

  test.concurrent("with elevation a user there becomes root by sudo, and without its leave takes no job", async () => {
    const general = ["use_privilege_elevation = true"];
    const options = { agent: "builtin", isCompiled: true, general };
    await using lab = await openSshLab({
      ...options,
      machine: { sudoers: "root ALL=(ALL) ALL\nlab ALL=(root) NOPASSWD: /bin/sh" },
    });
    const factory = lab.start();
    const id = await lab.submit("id -u");
    expect((await lab.ended(id)).state).toBe("completed");
    expect(await lab.said(id, "stdout")).toEqual(["0"]);
    await drained(factory);
    expect(processesNaming(lab.work)).toEqual([]);
    await using other = await openSshLab({ ...options, machine: {} });
    const refused = other.start();
    await other.submit("id -u");
    await until("it is logged, with the fix", () =>
      refused.log().some(({ message }) => message.includes('lab ALL=(root) NOPASSWD: /bin/sh" with visudo')),
    );
    refused.kill("SIGTERM");
    expect(await refused.exited).toBe(0);
  });

  test.concurrent("F51 on a host that rebooted nothing runs any more: the job's output says so, and the testbed is free", async () => {
    await using lab = await openSshLab({ hasBoot: true });
    const factory = lab.start();
    const id = await lab.submit("echo begun; sleep 600");
    await until("it runs", async () => (await lab.said(id, "stdout")).length > 0);
    lab.sshd.refuse(true);
    await until("it is noticed", () =>
      factory.log().some(({ message }) => message.includes("cannot tell whether its agent runs")),
    );
    lab.sshd.reboot();
    for (const pid of processesNaming(`${lab.work}/bed-1_1`)) kill(pid);
    lab.sshd.refuse(false);
    expect((await lab.ended(id)).state).toBe("failed");
    expect((await lab.said(id)).join()).toContain("the agent was killed, or its host restarted");
    expect((await lab.ended(await lab.submit("true"))).state).toBe("completed");
    await drained(factory);
  });

  test.concurrent("a host without an agent is given this program once, verified, and runs jobs with it", async () => {
    await using lab = await openSshLab({ agent: "builtin", isCompiled: true });
    const factory = lab.start();
    for (const word of ["one", "two"]) {
      const id = await lab.submit(`echo ${word}; bmat factory name`);
      expect((await lab.ended(id)).state).toBe("completed");
      expect(await lab.said(id, "stdout")).toEqual([word, "lab"]);
    }
    await drained(factory);
    const copies = readdirSync(join(lab.work, ".agent"));
    expect(copies).toEqual([expect.stringMatching(/^[\d.]+-[0-9a-f]{16}$/)]);
    expect(readdirSync(join(lab.work, ".agent", copies[0] ?? ""))).toEqual(["buildomat-factory-sp-test"]);
  });

  test.concurrent("a copy that nobody asked for in a month goes when another one comes; one in use stays, and is fixed", async () => {
    await using lab = await openSshLab({ agent: "builtin", isCompiled: true });
    const agents = join(lab.work, ".agent");
    const age = (name: string): void => utimesSync(join(agents, name), new Date(0), new Date(0));
    const run = async (): Promise<void> => {
      const factory = lab.start();
      expect((await lab.ended(await lab.submit("true"))).state).toBe("completed");
      await drained(factory);
    };
    for (const name of ["0.0.1-old", "0.0.2-late"]) mkdirSync(join(agents, name), { recursive: true });
    age("0.0.1-old");
    await run();
    const [ours = "", ...others] = readdirSync(agents).filter((name) => name !== "0.0.2-late");
    expect(others).toEqual([]);
    age(ours);
    await run();
    expect(readdirSync(agents)).toContain("0.0.2-late");
    expect(statSync(join(agents, ours)).mtimeMs).toBeGreaterThan(0);
    truncateSync(join(agents, ours, "buildomat-factory-sp-test"), 1_000_000);
    await run();
  });

  test.concurrent("two factories on one host leave each other's jobs and directories alone", async () => {
    await using lab = await openSshLab();
    const first = lab.start();
    const id = await lab.submit(`echo begun; until [ -e '${lab.directory}/end' ]; do sleep 0.05; done`);
    await until("it runs", async () => (await lab.said(id, "stdout")).length > 0);
    // Another server's, with a testbed of the same name in the same directory there.
    await using other = await openLab({ env: { FACTORY_LOCK_DIR: join(lab.directory, "locks") } });
    other.configure({ testbeds: { "bed-1": lab.bed } });
    const second = other.start({ env: { PATH: `${lab.directory}/bin:${process.env["PATH"]}` } });
    await other.submit("true");
    await until("it is seen to be in use", () =>
      second.log().some(({ message }) => message.includes("in use elsewhere: bed-1/1")),
    );
    expect(second.log().some(({ message }) => message.includes("taken over"))).toBe(false);
    expect((await lab.job(id)).state).toBe("running");
    await Bun.write(join(lab.directory, "end"), "");
    expect((await lab.ended(id)).state).toBe("completed");
    // In turns: each finds directories of the other's where its own would be.
    const isFree = (): boolean => readdirSync(join(lab.directory, "locks")).length === 0;
    for (const turn of [lab, other, lab, other]) {
      await until("the testbed is free", isFree);
      const job = await turn.submit("true");
      // One that comes while the other factory just looks is leased a minute later.
      await until("the job is done", async () => (await turn.job(job)).state === "completed", 100_000);
    }
    for (const factory of [first, second]) {
      await drained(factory);
      expect(factory.log().filter(({ message }) => message.startsWith("no job for this testbed"))).toEqual(
        [],
      );
    }
  }, 240_000);

  test.concurrent("another machine at the address in mid-job gets no command, and frees nothing", async () => {
    await using lab = await openSshLab();
    const factory = lab.start();
    const id = await lab.submit(`echo begun; until [ -e '${lab.directory}/end' ]; do sleep 0.05; done`);
    await until("it runs", async () => (await lab.said(id, "stdout")).length > 0);
    const name = join(lab.work, "testbed-id");
    const own = readFileSync(name, "utf8");
    writeFileSync(name, "0123456789abcdef\n");
    must(await lab.user.cancel(id));
    expect((await lab.ended(id)).cancelled).toBe(true);
    await until("it is logged", () =>
      factory.log().some(({ message }) => message.includes("bench-1 is not the machine that")),
    );
    await until("status shows it", async () => {
      const status = lab.start({ command: ["status"] });
      return (await status.stdout()).includes("bench-1 is not the machine that");
    });
    expect(processesNaming(`${lab.work}/bed-1_1`).length).toBeGreaterThan(0);
    expect(await lab.factoryApi.workers()).toMatchObject({ value: [{ recycle: true }] });
    writeFileSync(name, own);
    await until("it is stopped there", () => processesNaming(`${lab.work}/bed-1_1`).length === 0);
    await drained(factory);
  });

  test.concurrent("an operator's word does not leave an agent running on a host that answers", async () => {
    await using lab = await openSshLab();
    const factory = lab.start();
    const id = await lab.submit("echo begun; sleep 600");
    await until("it runs", async () => (await lab.said(id, "stdout")).length > 0);
    factory.kill("SIGTERM");
    expect(await factory.exited).toBe(0);
    await clear(lab);
    const second = lab.start();
    expect((await lab.ended(id)).state).toBe("failed");
    expect((await lab.ended(await lab.submit("true"))).state).toBe("completed");
    expect(processesNaming(`${lab.work}/bed-1_1`)).toEqual([]);
    await drained(second);
  });

  test.concurrent("an instance on a host that never comes back ends by an operator's word", async () => {
    await using lab = await openSshLab();
    const factory = lab.start();
    const id = await lab.submit(`echo begun; until [ -e '${lab.directory}/end' ]; do sleep 0.05; done`);
    await until("it runs", async () => (await lab.said(id, "stdout")).length > 0);
    lab.sshd.refuse(true);
    factory.kill("SIGTERM");
    expect(await factory.exited).toBe(0);
    for (const pid of processesNaming(`${lab.work}/bed-1_1`)) kill(pid);
    await clear(lab);
    const second = lab.start();
    expect((await lab.ended(id)).state).toBe("failed");
    expect((await lab.said(id)).join()).toContain("an operator cleared the testbed: the host burnt down");
    await until("its worker is deleted", async () => must(await lab.factoryApi.workers()).length === 0);
    lab.sshd.refuse(false);
    expect((await lab.ended(await lab.submit("true"))).state).toBe("completed");
    await drained(second);
  });

  test.concurrent("noise of a login does not keep this program from being copied", async () => {
    const noise = 'echo Hello there; sh -c "$SSH_ORIGINAL_COMMAND"; code=$?; echo bye; exit $code';
    await using lab = await openSshLab({
      agent: "builtin",
      isCompiled: true,
      config: [`ForceCommand ${noise}`],
    });
    const factory = lab.start();
    expect((await lab.ended(await lab.submit("true"))).state).toBe("completed");
    await drained(factory);
    expect(readdirSync(join(lab.work, ".agent"))).toHaveLength(1);
  });

  test.concurrent("a pinned key that is the right one lets jobs run, by key and port that are configured", async () => {
    await using lab = await openSshLab();
    const { hostKey, port, userKey } = lab.sshd;
    lab.configure({
      testbeds: {
        "bed-1": [
          ...lab.bed.filter((line) => !line.startsWith("host =")),
          'host = "127.0.0.1"',
          `ssh_port = ${port}`,
          `ssh_key = "${userKey}"`,
          `host_key = "${hostKey}"`,
        ],
      },
    });
    const factory = lab.start();
    expect((await lab.ended(await lab.submit("true"))).state).toBe("completed");
    await drained(factory);
  });

  test.concurrent("a key that is corrected in the configuration serves what runs there, too", async () => {
    await using lab = await openSshLab();
    const first = lab.start();
    const id = await lab.submit(`echo begun; until [ -e '${lab.directory}/end' ]; do sleep 0.05; done`);
    await until("it runs", async () => (await lab.said(id, "stdout")).length > 0);
    first.kill("SIGTERM");
    expect(await first.exited).toBe(0);
    const moved = `${lab.sshd.userKey}.moved`;
    renameSync(lab.sshd.userKey, moved);
    lab.sshd.cut();
    await Bun.write(join(lab.directory, "end"), "");
    const { hostKey, port } = lab.sshd;
    const way = [`ssh_key = "${moved}"`, `host_key = "${hostKey}"`, `ssh_port = ${port}`];
    lab.configure({ testbeds: { "bed-1": [...lab.bed, ...way] } });
    const second = lab.start();
    expect((await lab.ended(id)).state).toBe("completed");
    const shown = lab.start({ command: ["logs", "bed-1/1"] });
    expect(await shown.exited).toBe(0);
    expect((await lab.ended(await lab.submit("true"))).state).toBe("completed");
    await drained(second);
  });

  test.concurrent("F53 a refused key is logged, with what to check", async () => {
    await using lab = await openSshLab();
    writeFileSync(join(lab.directory, "sshd-bench-1/authorized_keys"), "");
    const factory = lab.start();
    await until("it is logged", () =>
      factory.log().some(({ message }) => message.includes("ssh to bench-1 is refused (")),
    );
    const check = lab.start({ command: ["check"] });
    expect(await check.exited).toBe(1);
    expect(await check.stdout()).toMatch(/error +testbed\.bed-1 +ssh to bench-1 is refused/);
    factory.kill("SIGTERM");
    expect(await factory.exited).toBe(0);
  });

  test.concurrent("its log is shown from here, while it runs and after", async () => {
    await using lab = await openSshLab();
    const factory = lab.start();
    const id = await lab.submit("echo there");
    expect((await lab.ended(id)).state).toBe("completed");
    const shown = lab.start({ command: ["logs", "bed-1"] });
    expect(await shown.exited).toBe(0);
    expect(await shown.stdout()).toBe(readFileSync(join(lab.work, "bed-1_1/agent.log"), "utf8"));
    const file = "opt/etc/job-done.json";
    const result = lab.start({ command: ["logs", "bed-1/1", "--file", file] });
    expect(await result.exited).toBe(0);
    expect(await result.stdout()).toBe(readFileSync(join(lab.work, "bed-1_1", file), "utf8"));
    await drained(factory);
  });

  test.concurrent("general.keep counts there, too", async () => {
    await using lab = await openSshLab();
    const first = lab.start();
    const ids = [await lab.submit("true"), await lab.submit("mkdir -p $HOME/deep; chmod 0 $HOME/deep")];
    for (const id of ids) expect((await lab.ended(id)).state).toBe("completed");
    await drained(first);
    mkdirSync(join(lab.work, "bed-1_77"));
    const kept = (): string[] => readdirSync(lab.work).filter((name) => name.startsWith("bed-1_"));
    expect(kept().toSorted()).toEqual(["bed-1_1", "bed-1_2", "bed-1_77"]);
    lab.configureBed({ general: ["keep = { days = 0 }"] });
    const second = lab.start();
    await until("ended ones are gone", () => kept().length === 1);
    expect(kept()).toEqual(["bed-1_77"]);
    await drained(second);
    expect(second.log().filter(({ level }) => level !== "info")).toEqual([]);
  });

  test.concurrent("a testbed that is moved to this host while its job runs lets it end there, and runs the next one here", async () => {
    await using lab = await openSshLab();
    const factory = lab.start();
    const file = join(lab.directory, "end");
    const id = await lab.submit(`echo $HOME; until [ -e '${file}' ]; do sleep 0.05; done`);
    await until("it runs", async () => (await lab.said(id, "stdout")).length > 0);
    const logged = (text: string): boolean => factory.log().some(({ message }) => message.includes(text));
    lab.configure({ testbeds: { "bed-1": [] } });
    factory.kill("SIGHUP");
    await until("it is read", () => logged("host bench-1 -> none"));
    expect(logged("its job runs on")).toBe(true);
    const next = await lab.submit("echo $HOME");
    writeFileSync(file, "");
    expect((await lab.ended(id)).state).toBe("completed");
    expect((await lab.ended(next)).state).toBe("completed");
    expect(await lab.said(id, "stdout")).toEqual([`${lab.work}/bed-1_1/home`]);
    expect(await lab.said(next, "stdout")).toEqual([`${lab.base}/work/bed-1_2/home`]);
    // With the next reload nothing of it hangs on that host.
    lab.configure({ testbeds: { "bed-1": ['note = "here"'] } });
    factory.kill("SIGHUP");
    await until("its connection is closed", () => lab.sshd.commands().length === 0);
    await drained(factory);
  });
});
