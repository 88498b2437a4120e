/** What is believed of a host behind ssh, and what an answer that failed means; by this host's shell instead of an sshd. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SshHost } from "../../../lib/words/place.ts";
import { openClock } from "../../../lib/doors/clock.ts";
import { openFiles } from "../../../lib/doors/files.ts";
import { openProcesses, type RunResult } from "../../../lib/doors/processes.ts";
import { openRandom } from "../../../lib/doors/random.ts";
import type { Connection } from "../../../lib/hosts/ssh/connection.ts";
import { openConnections } from "../../../lib/hosts/ssh/connection-pool.ts";
import { openSshHosts, withKeysOfToday } from "../../../lib/hosts/ssh/far-host.ts";
import { closeUnused } from "../../../lib/hosts/wiring.ts";
import { configOf, instanceOf, testbedOf } from "../../policy/scenes.ts";

const processes = openProcesses({ clock: openClock() });
const random = openRandom();
const files = openFiles();
let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ssh-rules-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Runs a host's commands here. */
const here: Connection = {
  run: async (argv, stdin, timeoutMs) =>
    await processes.run({
      argv,
      stdin,
      env: { PATH: "/usr/bin:/bin", HOME: directory },
      timeoutMs,
      maxBytes: 65_536,
    }),
  watch: () => ({ close: () => undefined }),
  close: () => Promise.resolve(),
};

const address: SshHost = {
  host: "bench-1",
  user: "lab",
  port: null,
  key: "/old",
  hostKey: "ssh-ed25519 OLD",
  elevation: null,
  uid: 1,
};

test("F52 another machine at the host's address never gets a command, over any connection", async () => {
  const work = join(directory, "far");
  writeFileSync(join(directory, "agent"), "#!/bin/sh\n", { mode: 0o755 });
  mkdirSync(join(directory, "locks"));
  chmodSync(join(directory, "locks"), 0o1777);
  const bed = testbedOf({ host: "bench-1", agentPath: join(directory, "agent"), workDir: work });
  const hosts = openSshHosts({
    config: configOf([bed]),
    connections: { to: () => here, keepOnly: () => Promise.resolve(), close: () => Promise.resolve() },
    files,
    random,
    machineDirectory: join(directory, "machines"),
    lockDirectory: join(directory, "locks"),
    executable: () => Promise.resolve(null),
  });
  const reached = await hosts.reach(bed);
  if (!reached.ok) throw new Error(reached.reason);
  const { minder, ssh } = reached.host;
  expect(await minder.locks()).toEqual({ ok: true, locks: [] });
  const place = { way: "ssh", directory: `${work}/a_1`, agent: "external", ssh: ssh ?? address } as const;
  for (const id of ["another", ""]) {
    writeFileSync(join(work, "testbed-id"), id);
    const refused = {
      ok: false as const,
      reason: expect.stringContaining("bench-1 is not the machine that"),
    };
    expect(await minder.locks()).toEqual(refused);
    expect(await hosts.minderOf(place).locks()).toEqual(refused);
    expect(await minder.stop(place.directory, { graceMs: 0 })).toMatchObject({ kind: "cannot tell" });
  }
});

test("an instance uses a replaced ssh key, but its recorded user and host", () => {
  const today = testbedOf({ host: "bench-1", sshUser: "lab", sshKey: "/new", hostKey: "ssh-ed25519 NEW" });
  const changed = { ...address, key: "/new", hostKey: "ssh-ed25519 NEW" };
  expect(withKeysOfToday([today], "a", address)).toEqual(changed);
  for (const other of [{ host: "bench-2" }, { sshUser: "other" }, { name: "b" }]) {
    expect(withKeysOfToday([{ ...today, ...other }], "a", address)).toEqual(address);
  }
});

/** Connections whose ssh answers so; `words` has the `-O` word of each call. */
function openWith(answer: (word: string) => RunResult) {
  const words: string[] = [];
  const connections = openConnections({
    processes: {
      ...processes,
      run: ({ argv }) => {
        const word = argv.includes("-O") ? (argv[argv.indexOf("-O") + 1] ?? "") : "call";
        const path = argv.find((each) => each.startsWith("ControlPath=")) ?? "";
        words.push(word);
        writeFileSync(join(directory, "sockets", path.replaceAll(/^ControlPath="\.\/|"$/g, "")), "");
        return Promise.resolve(answer(word));
      },
    },
    files,
    env: {},
    directory: join(directory, "sockets"),
  });
  return { words, connections };
}

const exit = (exitCode: number, stderr = ""): RunResult => ({ ok: true, exitCode, stdout: "", stderr });
const sockets = (): string[] => [
  ...new Bun.Glob("*").scanSync({ cwd: join(directory, "sockets"), onlyFiles: true }),
];

test("F49 exit code 255 is ssh's own failure and proves nothing about the command; any other is the command's", async () => {
  const { words, connections } = openWith((word) =>
    exit(word === "call" ? 255 : 0, "ssh: Connection refused"),
  );
  expect(await connections.to(address).run(["true"], "", 1000)).toEqual({
    ok: false,
    reason: expect.stringContaining("cannot reach bench-1 over ssh: Connection refused"),
  });
  expect(words).toEqual(["call", "check"]);
  const other = openWith(() => exit(254));
  expect(await other.connections.to(address).run(["true"], "", 1000)).toEqual(exit(254));
  expect(other.words).toEqual(["call"]);
});

test("connections to hosts on which nothing hangs any more are closed, the others are not", async () => {
  const { words, connections } = openWith(() => exit(0));
  const other = { ...address, host: "bench-2" };
  const third = { ...address, key: "/new" };
  for (const each of [address, other, third]) await connections.to(each).run(["true"], "", 1000);
  const running = instanceOf({ place: { way: "ssh", ssh: address, directory: "/w/a_1", agent: "external" } });
  // Its testbed has gone, and its instance runs.
  const bench = testbedOf({ name: "b", host: "bench-2", sshKey: address.key, hostKey: address.hostKey });
  await closeUnused(connections, configOf([bench]), [running]);
  expect(words).toEqual(["call", "call", "call", "exit"]);
  await closeUnused(connections, configOf([]), []);
  expect(words.filter((word) => word === "exit")).toHaveLength(3);
});

test("after a call without an answer, a connection that does not answer either is closed", async () => {
  const hangs: RunResult = { ok: false, reason: "ssh did not end within 1 s" };
  const { words, connections } = openWith((word) => (word === "call" ? hangs : exit(255)));
  expect((await connections.to(address).run(["true"], "", 1000)).ok).toBe(false);
  expect(words).toEqual(["call", "check"]);
  expect(sockets().filter((name) => !name.endsWith(".known"))).toEqual([]);
});

test("F55 sockets are in a private directory, which is created again if somebody removes it", async () => {
  for (const hostKey of [null, "ssh-ed25519 KEY"]) {
    const { connections } = openWith((word) => exit(word === "call" ? 255 : 0));
    const connection = connections.to({ ...address, hostKey });
    for (let times = 0; times < 2; times++) {
      await connection.run(["true"], "", 1000);
      expect(statSync(join(directory, "sockets")).mode & 0o777).toBe(0o700);
      const known = sockets().filter((name) => name.endsWith(".known"));
      expect(known.map((name) => readFileSync(join(directory, "sockets", name), "utf8"))).toEqual(
        hostKey === null ? [] : [`pinned ${hostKey}\n`],
      );
      rmSync(join(directory, "sockets"), { recursive: true });
    }
  }
});

test("each address has its own connection, whatever becomes known about the host", async () => {
  const { connections } = openWith(() => exit(0));
  const first = connections.to(address);
  const learnt: SshHost = { ...address, uid: 7, machine: "m", elevation: "sudo" };
  expect(connections.to(learnt)).toBe(first);
  const others = [{ host: "x" }, { user: "x" }, { port: 7 }, { key: "/x" }, { hostKey: null }];
  for (const other of others.map((over) => connections.to({ ...address, ...over }))) {
    expect(other).not.toBe(first);
    await other.run(["true"], "", 1000);
  }
  await first.run(["true"], "", 1000);
  expect(sockets().filter((name) => !name.endsWith(".known"))).toHaveLength(6);
});

test("inspect() names a main-line agent if agents do not run as root or without isolation", async () => {
  const agentPath = join(directory, "agent");
  copyFileSync("/bin/sleep", agentPath);
  const bed = testbedOf({ host: "bench-1", agentPath, workDir: join(directory, "far") });
  const inspected = async (general: object): Promise<string> => {
    const config = configOf([bed]);
    const seen = await openSshHosts({
      config: { ...config, general: { ...config.general, ...general } },
      connections: { to: () => here, keepOnly: () => Promise.resolve(), close: () => Promise.resolve() },
      files,
      random,
      machineDirectory: join(directory, "m"),
      lockDirectory: join(directory, "locks"),
      executable: () => Promise.resolve(null),
    }).inspect(bed);
    return seen.ok ? "" : seen.reason;
  };
  const what = `bench-1: the agent ${agentPath} is from buildomat's main line and needs`;
  expect(await inspected({})).toStartWith(
    `${what} root, which general.use_privilege_elevation = true gives;`,
  );
  expect(await inspected({ elevateElsewhere: true, isolate: "off" })).toStartWith(`${what} isolation;`);
  const line = "main line";
  expect(await inspected({ elevateElsewhere: true, isolate: "auto" })).not.toContain(line);
  appendFileSync(agentPath, "BUILDOMAT_OPT");
  expect(await inspected({})).not.toContain(line);
});

test("a work directory keeps its machine id in later surveys", async () => {
  const work = join(directory, "far");
  writeFileSync(join(directory, "agent"), "#!/bin/sh\n", { mode: 0o755 });
  const bed = testbedOf({ host: "bench-1", agentPath: join(directory, "agent"), workDir: work });
  const open = (machines: string) =>
    openSshHosts({
      config: configOf([bed]),
      connections: { to: () => here, keepOnly: () => Promise.resolve(), close: () => Promise.resolve() },
      files,
      random,
      machineDirectory: join(directory, machines),
      lockDirectory: join(directory, "locks"),
      executable: () => Promise.resolve(null),
    });
  const [one, two] = await Promise.all([open("m1").reach(bed), open("m2").reach(bed)]);
  expect(one.ok && one.host.ssh?.machine).toBeTruthy();
  expect(one.ok && one.host.ssh?.machine).toBe(two.ok && two.host.ssh?.machine);
});
