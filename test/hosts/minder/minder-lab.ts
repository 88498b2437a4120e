/** A place to try the minder in: own work and lock directories, real processes, and the proof that nothing is left. */
import { describe as anyDescribe, expect } from "bun:test";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { openClock } from "../../../lib/doors/clock.ts";
import { openProcesses } from "../../../lib/doors/processes.ts";
import { openRandom } from "../../../lib/doors/random.ts";
import { elevatedShell, openElevated } from "../../../lib/hosts/minder/elevation.ts";
import { type Minder, openMinder } from "../../../lib/hosts/minder/minder.ts";
import type { ArmSpec } from "../../../lib/hosts/minder/specification.ts";
import { localTransport, type Transport } from "../../../lib/hosts/minder/transport.ts";
import { testWith } from "../../lab/needs.ts";

export const random = openRandom();
const local = localTransport({ processes: openProcesses({ clock: openClock() }) });
export const otherUser = 12_345;

/** Processes are started as two users here, which only root can, and in namespaces. */
export const test = testWith("root", "namespaces");
export const describe = anyDescribe;

/** The shells that the script is for. */
export const shellPaths = ["/bin/dash", "/bin/bash", "/bin/busybox", "/bin/ksh93"];

export interface LabOptions {
  shell?: string;
  /** Runs the minder as another user than root. */
  user?: number;
  /** A group that the user is in besides its own. */
  group?: number;
  /** That user becomes root through sudo. */
  isElevated?: boolean;
  /** Another lab's, to meet it there. */
  locks?: string;
  /** What is put before each command, to run it somewhere else. */
  prefix?: string[];
  base?: string;
  /** Changes the script before it is put in place. */
  edit?: (script: string) => string;
}

export interface Lab {
  base: string;
  work: string;
  locks: string;
  minder: Minder;
  transport: Transport;
  /** Writes a program of the test's and gives its path. */
  agent(text: string, name?: string): string;
  spec(changes: Partial<ArmSpec> & { seq?: number; testbed?: string }): ArmSpec;
  /** Ends all, and fails where something is left. */
  close(): Promise<void>;
}

export function openLab({
  shell = process.env["MINDER_SHELL"] ?? "sh",
  user = 0,
  group,
  isElevated = false,
  locks,
  prefix = [],
  base,
  edit,
}: LabOptions = {}): Lab {
  const own = base ?? mkdtempSync(`${tmpdir()}/minder-`);
  chownSync(own, user, user);
  if (base === undefined) chmodSync(own, 0o755);
  const work = `${own}/work`;
  const lockDirectory = locks ?? `${own}/locks`;
  if (locks === undefined) mkdirSync(lockDirectory);
  if (locks === undefined) chmodSync(lockDirectory, 0o1777);
  const groups = group === undefined ? "--clear-groups" : `--groups=${group}`;
  const become = user === 0 ? [] : ["setpriv", `--reuid=${user}`, `--regid=${user}`, groups];
  const transport: Transport = (argv, stdin, timeoutMs) => {
    const text = edit === undefined ? stdin : edit(stdin);
    // The script is placed with its length, the last word.
    const words = text === stdin ? argv : [...argv.slice(0, -1), String(Buffer.byteLength(text))];
    return local([...prefix, ...become, ...words], text, timeoutMs);
  };
  // As the factory does, which is not elevated itself.
  if (isElevated) mkdirSync(work, { mode: 0o700 });
  if (isElevated) chownSync(work, user, user);
  const place = { random, directory: work, lockDirectory };
  const minder = isElevated
    ? openMinder({
        ...place,
        transport: openElevated({ transport, platform: "linux", user: "lab" }),
        shell: elevatedShell,
        elevation: { uid: user },
      })
    : openMinder({ ...place, transport, shell });

  return {
    base: own,
    work,
    locks: lockDirectory,
    minder,
    transport,
    agent: (text, name = `agent-${random.bytes(4).join("")}`) => {
      writeFileSync(`${own}/${name}`, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
      return `${own}/${name}`;
    },
    spec: ({ testbed = "board", seq = 1, ...changes }) => ({
      instance: `${testbed}/${seq}`,
      testbed,
      cookie: newCookie(),
      directory: `${work}/${testbed}_${seq}`,
      agent: [],
      bmat: [],
      isExternal: false,
      openFiles: null,
      environment: {},
      covered: [],
      hidden: [],
      kept: [],
      isolate: "auto",
      usesHost: true,
      isAgain: false,
      isOutputWatched: false,
      expirySeconds: 120,
      logCapBytes: 100_000_000,
      testbedJson: "{}",
      intentJson: "{}",
      ...changes,
    }),
    close: async () => {
      // One that has answered may need a moment to end.
      const left = await nothingLeft(own);
      const mounts = readText("/proc/self/mountinfo")
        .split("\n")
        .filter((line) => line.includes(own));
      const lockFiles = locks === undefined ? readdirSync(lockDirectory) : [];
      for (const { pid } of processesWith(own)) kill(pid);
      rmSync(own, { recursive: true });
      expect({ left, mounts, lockFiles }).toEqual({ left: [], mounts: [], lockFiles: [] });
    },
  };
}

export function newCookie(): string {
  return Buffer.from(random.bytes(16)).toString("hex");
}

export interface Seen {
  pid: number;
  state: string;
  line: string;
}

/** Processes of this host whose arguments or environment contain the text. */
export function processesWith(text: string): Seen[] {
  const found: Seen[] = [];
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
      if (!line.includes(text) && !environment.includes(text)) continue;
      const state = /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))?.[1] ?? "?";
      found.push({ pid, state, line: line.replaceAll("\0", " ") });
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}

export interface Roles {
  minder: number[];
  unshare: number[];
  first: number[];
}

/** The pids that an instance's cookie names, by what they are. */
export function rolesOf(cookie: string): Roles {
  const roles: Roles = { minder: [], unshare: [], first: [] };
  for (const { pid, line } of processesWith(cookie)) {
    if (line.startsWith("unshare ")) roles.unshare.push(pid);
    else if (line.includes(` first ${cookie}`)) roles.first.push(pid);
    else if (line.includes(` mind ${cookie}`)) roles.minder.push(pid);
  }
  return roles;
}

/** Kills at once what runs of an instance, the minder first, so that nobody is left to clean up. */
export function killAll(cookie: string): void {
  const { minder, unshare, first } = rolesOf(cookie);
  for (const pid of [...minder, ...unshare, ...first]) kill(pid);
}

export function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It is gone already.
  }
}

export function isAlive(pid: number): boolean {
  try {
    return !/\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

export function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Waits until something is true; fails after 15 s. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 15_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`this did not come true: ${condition.toString()}`);
    await Bun.sleep(2);
  }
}

/** The state that the minder gives for one directory. */
export async function stateOf(lab: Lab, directory: string): Promise<string> {
  const [view] = await lab.minder.look([directory]);
  return view?.state ?? "none";
}

async function nothingLeft(text: string): Promise<string[]> {
  const deadline = performance.now() + 1000;
  for (;;) {
    const left = processesWith(text).filter(({ state }) => state !== "Z");
    if (left.length === 0 || performance.now() > deadline) return left.map(({ line }) => line);
    await Bun.sleep(5);
  }
}

export interface Host {
  inner: Lab;
  /** Runs a command there. */
  prefix: string[];
  /** As well, with the pids of this process: a signal for the command reaches it and not a parent that waits for it. */
  signalled: string[];
  end(): Promise<void>;
}

/** A mount namespace with a /work and an /input of its own: a host that has both. Another instance is a good one. */
export async function openHost(
  lab: Lab,
  { sudoers = "", ...options }: LabOptions & { sudoers?: string } = {},
): Promise<Host> {
  const host = lab.spec({
    testbed: "host",
    kept: [lab.base],
    agent: [lab.agent("chmod 777 /work /input; echo ready; exec sleep 1000")],
  });
  await lab.minder.arm(host);
  await lab.minder.go({ directory: host.directory, worker: "W", agentJson: "{}" });
  await until(() => readText(`${host.directory}/agent.log`) === "ready\n");
  // A user with a name, who may become root: on this host alone.
  writeFileSync(
    `${lab.base}/passwd`,
    `${readText("/etc/passwd")}lab:*:${otherUser}:${otherUser}::/:/bin/sh\n`,
  );
  writeFileSync(`${lab.base}/sudoers`, `${sudoers}\n`, { mode: 0o440 });
  const [pid] = rolesOf(host.cookie).first;
  const base = `${lab.base}/inner`;
  mkdirSync(base);
  const prefix = ["nsenter", `--target=${pid}`, "--mount", "--pid"];
  for (const name of ["passwd", "sudoers"]) {
    Bun.spawnSync([...prefix, "mount", "--bind", `${lab.base}/${name}`, `/etc/${name}`]);
  }
  const inner = openLab({ ...options, prefix: [...prefix, ...(options.prefix ?? [])], base });
  const proc = ["unshare", "--mount", "sh", "-c", 'mount -t proc proc /proc && exec "$@"', "sh"];
  return {
    inner,
    prefix,
    signalled: ["nsenter", `--target=${pid}`, "--mount", ...proc],
    end: async () => {
      await inner.close();
      expect(await lab.minder.stop(host.directory, { graceMs: 1000 })).toEqual({ kind: "stopped" });
    },
  };
}
