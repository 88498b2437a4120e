/**
 * A real OpenSSH server on loopback as a host of the user's own ssh configuration, behind a proxy that can cut and refuse its
 * connections; it can be stopped in mid-air, and be a machine of its own with another user, login shell and boot.
 */
import { randomUUID } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { startSshd as startServer } from "../../lib/commands/demo/sshd.ts";
import { openClock } from "../../lib/doors/clock.ts";
import { openProcesses } from "../../lib/doors/processes.ts";

export interface Sshd extends Weather {
  /** As `[testbed.*] host` names it. */
  host: string;
  /** Type and key, for `host_key`. */
  hostKey: string;
  /** Of the proxy, and the path of the private key that is let in. */
  port: number;
  userKey: string;
  /** Home of the user `lab`, where it is a machine of its own. */
  home: string;
  /** Pids of the commands that it runs for its connections now. */
  commands(): number[];
  /** Stops every process of the server itself, as a host that hangs; or lets them go on. */
  freeze(isFrozen: boolean): void;
  /** The host, which must have a boot of its own, has another one from now on. What runs there must be ended by the test. */
  reboot(): void;
  stop(): Promise<void>;
}

interface Weather {
  /** Connections that were made to it so far. */
  connections(): number;
  /** Connections that were cut by `cutAfter` so far. */
  cuts(): number;
  /** Cuts every connection now. */
  cut(): void;
  /** Cuts each further connection after so many bytes, whichever way they go; null: no more. */
  cutAfter(bytes: number | null): void;
  /** What goes either way arrives so much later from now on. */
  delay(ms: number): void;
  /** Refuses connections from now on, and cuts those there are; or takes them again. */
  refuse(isRefusing: boolean): void;
}

export interface SshdOptions {
  host?: string;
  /** A line of sshd's configuration each. */
  config?: string[];
  /** A machine of its own: it has a user `lab`, with this login shell and what sudo lets that user do. */
  machine?: { shell?: string; sudoers?: string };
  /** A disk of its own is mounted there: where, and the options of this file system in memory. */
  disk?: { place: string; options: string };
  /** It has a boot of its own. What it covers of /proc keeps users other than root from isolating instances there. */
  hasBoot?: boolean;
}

export const labUser = 12_346;
const parts = { clock: openClock(), processes: openProcesses({ clock: openClock() }) };

/** Everything is in `directory`, which also is the mark of its processes. */
export async function startSshd(
  directory: string,
  { host = "bench-1", config = [], machine, disk, hasBoot = false }: SshdOptions = {},
): Promise<Sshd> {
  const place = join(directory, `sshd-${host}`);
  // Short: the path of a socket in an instance directory below its home has at most 103 bytes.
  const own = join(directory, `m-${host}`);
  const home = join(own, "home");
  const files = { ...(machine && userFiles(home, machine)), ...(hasBoot && { [bootFile]: randomUUID() }) };
  const server = await startServer(
    {
      directory: place,
      config: machine === undefined ? config : [...config, "AllowUsers lab"],
      prefix: [
        ...(Object.keys(files).length === 0 ? [] : makeMachine(own, files)),
        ...(disk === undefined ? [] : mountDisk(disk)),
      ],
      env: { LAB: directory },
    },
    parts,
  );
  if (!server.ok) throw new Error(server.reason);
  const { stop, ...weather } = await startProxy(server.port);
  const bin = join(directory, "bin");
  mkdirSync(bin, { recursive: true });
  // ssh finds its user's files by the user database, whatever HOME says.
  writeFileSync(join(bin, "ssh"), `#!/bin/sh\nexec /usr/bin/ssh -F '${directory}/ssh_config' "$@"\n`);
  chmodSync(join(bin, "ssh"), 0o755);
  const lines = [
    `Host ${host}`,
    "HostName 127.0.0.1",
    `Port ${weather.port}`,
    `User ${machine === undefined ? "root" : "lab"}`,
    `IdentityFile ${server.userKey}`,
    `UserKnownHostsFile ${place}/known_hosts`,
    "",
  ];
  appendFileSync(join(directory, "ssh_config"), lines.join("\n"));
  const signal = (name: NodeJS.Signals): void => {
    for (const pid of serverProcesses(server.pid)) {
      try {
        process.kill(pid, name);
      } catch {
        // Its connection has ended.
      }
    }
  };
  return {
    ...weather,
    host,
    hostKey: server.hostKey,
    userKey: server.userKey,
    home,
    commands: () => {
      const own = serverProcesses(server.pid);
      return childrenOf(own).filter((pid) => !own.includes(pid));
    },
    freeze: (isFrozen) => signal(isFrozen ? "SIGSTOP" : "SIGCONT"),
    reboot: () => writeFileSync(placeOf(own, bootFile), `${randomUUID()}\n`),
    stop: async () => {
      signal("SIGKILL");
      await server.stop();
      await stop();
    },
  };
}

const bootFile = "/proc/sys/kernel/random/boot_id";
const placeOf = (own: string, file: string): string => join(own, file.replaceAll("/", "_"));

/** The files by which a host knows the user `lab`. */
function userFiles(
  home: string,
  { shell = "/bin/sh", sudoers = "" }: { shell?: string; sudoers?: string },
): Record<string, string> {
  mkdirSync(home, { recursive: true });
  chownSync(home, labUser, labUser);
  const users = readFileSync("/etc/passwd", "utf8");
  return {
    "/etc/passwd": `${users}lab:*:${labUser}:${labUser}::${home}:${shell}`,
    "/etc/sudoers": sudoers,
  };
}

/** Words that run a command in a mount namespace in which these files stand for this host's. */
function makeMachine(own: string, files: Record<string, string>): string[] {
  mkdirSync(own, { recursive: true });
  const pairs = Object.entries(files).map(([file, text]) => {
    const place = placeOf(own, file);
    writeFileSync(place, `${text}\n`);
    if (file === "/etc/sudoers") chmodSync(place, 0o440);
    return [place, file];
  });
  const script =
    'while [ "$1" != -- ]; do mount --bind "$1" "$2" && shift 2 || exit 1; done; shift; exec "$@"';
  return ["unshare", "--mount", "sh", "-c", script, "sh", ...pairs.flat(), "--"];
}

function mountDisk({ place, options }: { place: string; options: string }): string[] {
  mkdirSync(place, { recursive: true });
  const script = 'mount -t tmpfs -o "$1" none "$2" && shift 2 && exec "$@"';
  return ["unshare", "--mount", "sh", "-c", script, "sh", options, place];
}

/** The server and the processes of its connections, not what runs for them. */
function serverProcesses(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync("/proc").filter((each) => /^\d+$/.test(each))) {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const [, , parent] = / \((sshd[^)]*)\) \S (\d+) /.exec(stat) ?? [];
      if (parent !== undefined) parents.set(Number(name), Number(parent));
    } catch {
      // It has ended.
    }
  }
  const found = [pid];
  for (const each of found) {
    for (const [child, parent] of parents) if (parent === each) found.push(child);
  }
  return found;
}

function childrenOf(pids: number[]): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, "latin1");
        return pids.includes(Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
      } catch {
        return false;
      }
    })
    .map(Number);
}

async function startProxy(target: number): Promise<Weather & { port: number; stop(): Promise<void> }> {
  const pairs = new Set<[Socket, Socket]>();
  let count = 0;
  let cuts = 0;
  let limit: number | null = null;
  let isRefusing = false;
  let delayMs = 0;
  const end = ([near, far]: [Socket, Socket]): void => {
    near.destroy();
    far.destroy();
  };
  const server: Server = createServer((near) => {
    if (isRefusing) {
      near.resetAndDestroy();
      return;
    }
    count += 1;
    const far = connect(target, "127.0.0.1");
    const pair: [Socket, Socket] = [near, far];
    pairs.add(pair);
    let room = limit ?? Number.POSITIVE_INFINITY;
    const pass = (from: Socket, to: Socket): void =>
      void from.on("data", (bytes: Buffer) => {
        const passed = bytes.subarray(0, room);
        room -= passed.length;
        const hand = (): void =>
          void to.write(passed, () => {
            if (passed.length === bytes.length) return;
            if (pairs.has(pair)) cuts += 1;
            end(pair);
            pairs.delete(pair);
          });
        if (delayMs === 0) hand();
        else setTimeout(hand, delayMs);
      });
    pass(near, far);
    pass(far, near);
    for (const socket of pair) {
      socket.setNoDelay(true);
      socket.on("error", () => end(pair));
      socket.on("close", () => {
        end(pair);
        pairs.delete(pair);
      });
    }
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve());
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    connections: () => count,
    cuts: () => cuts,
    cut: () => {
      for (const pair of pairs) end(pair);
    },
    cutAfter: (bytes) => {
      limit = bytes;
    },
    delay: (ms) => {
      delayMs = ms;
    },
    refuse: (is) => {
      isRefusing = is;
      if (is) for (const pair of pairs) end(pair);
    },
    stop: async () => {
      for (const pair of pairs) end(pair);
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}
