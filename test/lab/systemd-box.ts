/**
 * A machine for tests: a real systemd as PID 1, in namespaces of its own over this machine's files (systemd-box.sh). What is
 * written in it is kept in memory, from one boot to the next, until the box is gone. Its network is a loopback of its own.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { Http } from "../../lib/doors/http.ts";
import { until } from "./until.ts";

export interface Ran {
  exitCode: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  /** A user's name; root if absent. Its user manager is running, and `systemctl --user` reaches it. */
  user?: string;
  env?: Record<string, string>;
  stdin?: string;
}

export interface SystemdBox extends AsyncDisposable {
  /** Runs a script of sh there, to its end. */
  run(script: string, options?: RunOptions): Promise<Ran>;
  /** As `run`; returns its output without the last line break, and throws with all output if it fails. */
  must(script: string, options?: RunOptions): Promise<string>;
  /** A program of this machine in the box's network. */
  startBeside(argv: string[]): Bun.Subprocess<"ignore", "pipe", "inherit">;
  /** The box's network as a door. */
  http: Http;
  /** A user with a home directory and a running user manager, which a reboot starts again, too, as a login would. */
  addUser(name: string, home?: string): Promise<void>;
  /** Starts systemd-logind, also at each boot from then on; then `loginctl` works, and lingering users' managers are its own. */
  startLogind(): Promise<void>;
  /** The power is cut, and comes back. */
  reboot(): Promise<void>;
  /** The name of its cgroup and its directory. */
  group: string;
  /** The path of a file of the box on this machine. */
  at(path: string): string;
}

const path = "/lab/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const script = join(import.meta.dir, "systemd-box.sh");
const checkout = join(import.meta.dir, "../..");

/** Holds the box's mounts and network for as long as its stdin is open, and removes the box's cgroups. */
const holding = `
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/cgroup"
mount -t cgroup2 cgroup2 "$1/cgroup"
mkdir "$1/cgroup/$2"
ip link set lo up
echo ready
read -r end || :
for try in 1 2 3 4 5 6 7 8 9; do
  find "$1/cgroup/$2" -depth -type d -exec rmdir {} + 2>/dev/null && break
  sleep 0.1
done
`;

export async function openSystemdBox(): Promise<SystemdBox> {
  const directory = mkdtempSync(join(tmpdir(), "box-"));
  const group = basename(directory);
  const holder = Bun.spawn(
    ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", holding, "sh", directory, group],
    { stdin: "pipe", stdout: "pipe", stderr: "inherit" },
  );
  await holder.stdout.getReader().read();
  const beside = (argv: string[]): string[] => ["nsenter", "-t", `${holder.pid}`, "-n", "--", ...argv];
  const companions: Bun.Subprocess[] = [];
  let users: string[] = [];
  let machine: { child: Bun.Subprocess; pid: number } | null = null;

  async function boot(): Promise<void> {
    const words = [script, directory, checkout, process.execPath, group];
    const enter = `echo $$ >"$1/cgroup/$4/cgroup.procs"; exec unshare --pid --fork --kill-child --mount --uts --ipc --cgroup sh "$0" "$@"`;
    const child = Bun.spawn(
      ["nsenter", "-t", `${holder.pid}`, "-m", "-n", "--", "sh", "-c", enter, ...words],
      {
        stdin: "ignore",
        stdout: "ignore",
        stderr: Bun.file(`${directory}.log`),
      },
    );
    const pid = await until("the box has a first process", () => {
      if (child.exitCode !== null) throw new Error(readFileSync(`${directory}.log`, "utf8"));
      return Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8")) || null;
    });
    machine = { child, pid };
    await until("the box is running", async () => {
      if (child.exitCode !== null) throw new Error(readFileSync(`${directory}.log`, "utf8"));
      return ["running", "degraded"].includes((await run("systemctl is-system-running 2>&1")).stdout.trim());
    });
    const lingering = (await run("ls /var/lib/systemd/linger")).stdout.split("\n");
    for (const user of users) if (!lingering.includes(user)) await startUserManager(user);
  }

  async function halt(): Promise<void> {
    machine?.child.kill("SIGKILL");
    await machine?.child.exited;
    const { pid } = machine ?? {};
    machine = null;
    // It ends with its parent. Then it has no files any more, and this machine's init collects it.
    await until("the box's first process has ended", () => !existsSync(`/proc/${pid}/exe`));
  }

  async function run(text: string, { user, env = {}, stdin = "" }: RunOptions = {}): Promise<Ran> {
    if (machine === null) throw new Error("the box is off");
    const as = user === undefined ? [] : ["runuser", "-u", user, "--"];
    const home = user === undefined ? "HOME=/root" : `HOME=${homes.get(user)}`;
    const mine = user === undefined ? [] : [`XDG_RUNTIME_DIR=/run/user/${ids.get(user)}`, `USER=${user}`];
    const variables = [home, `PATH=${path}`, ...mine, ...Object.entries(env).map((pair) => pair.join("="))];
    const enter = ["nsenter", "-t", `${machine.pid}`, "-p", "-m", "-u", "-i", "-C", "-n", "--"];
    const child = Bun.spawn([...enter, ...as, "env", "-i", ...variables, "sh", "-c", `cd; ${text}`], {
      stdin: new Blob([stdin]),
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr, exitCode] = await Promise.all([
      child.stdout.text(),
      child.stderr.text(),
      child.exited,
    ]);
    return { exitCode, stdout, stderr };
  }

  async function must(text: string, options?: RunOptions): Promise<string> {
    const ran = await run(text, options);
    if (ran.exitCode !== 0) throw new Error(`${text}: ${ran.exitCode}\n${ran.stdout}${ran.stderr}`);
    return ran.stdout.trimEnd();
  }

  const ids = new Map<string, string>();
  const homes = new Map<string, string>();

  async function startUserManager(user: string): Promise<void> {
    const id = ids.get(user);
    await must(
      `install -d -m 700 -o ${user} /run/user/${id} && systemctl start user-runtime-dir@${id} user@${id}`,
    );
  }

  const box: SystemdBox = {
    run,
    must,
    group,
    at: (inside) => `/proc/${machine?.pid}/root${inside}`,
    startBeside: (argv) => {
      const child = Bun.spawn(beside(argv), { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
      companions.push(child);
      return child;
    },
    http: curlHttp(beside),
    addUser: async (name, home = `/home/${name}`) => {
      await must(`useradd --create-home --home-dir '${home}' --shell /bin/sh ${name}`);
      ids.set(name, await must(`id -u ${name}`));
      homes.set(name, home);
      users = [...users, name];
      await startUserManager(name);
    },
    startLogind: async () =>
      void (await must(
        "rm /etc/systemd/system/systemd-logind.service && systemctl daemon-reload && systemctl start dbus systemd-logind",
      )),
    reboot: async () => {
      await halt();
      await boot();
    },
    [Symbol.asyncDispose]: async () => {
      for (const child of companions) child.kill("SIGKILL");
      await Promise.all(companions.map(({ exited }) => exited));
      await halt();
      await holder.stdin.end();
      await holder.exited;
      rmSync(directory, { recursive: true, force: true });
      rmSync(`${directory}.log`, { force: true });
    },
  };
  writeFileSync(`${directory}.log`, "");
  try {
    await boot();
    return box;
  } catch (error) {
    await box[Symbol.asyncDispose]();
    throw error;
  }
}

/** curl in the box's network: a process cannot enter it for one call. */
function curlHttp(beside: (argv: string[]) => string[]): Http {
  return {
    request: async ({ method, url, headers = {}, body = "", timeoutMs }) => {
      const lines = Object.entries(headers).flatMap((pair) => ["-H", pair.join(": ")]);
      const data = body === "" ? [] : ["--data-binary", "@-"];
      const limit = ["--max-time", `${timeoutMs / 1000}`];
      const curl = ["curl", "-sS", "-X", method, ...lines, ...data, ...limit, "-w", "\n%{http_code}", url];
      const child = Bun.spawn(beside(curl), { stdin: new Blob([body]), stdout: "pipe", stderr: "pipe" });
      const [out, reason, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
      if (code !== 0) return { ok: false, reason };
      const end = out.lastIndexOf("\n");
      const text = new TextEncoder().encode(out.slice(0, end));
      return { ok: true, status: Number(out.slice(end + 1)), headers: new Headers(), body: text };
    },
    download: () => Promise.resolve({ ok: false, reason: "not in a box" }),
  };
}
