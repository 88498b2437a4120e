/**
 * A real OpenSSH server on loopback with keys and configuration of its own, behind a proxy that can cut, freeze and refuse its
 * connections; and the `ssh` for a PATH that knows it as a host of the user's own configuration.
 */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, connect, type Server, type Socket } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { until } from "./until.ts";

export interface Sshd {
  /** As `[testbed.*] host` names it. */
  host: string;
  /** Type and key, for `host_key`. */
  hostKey: string;
  /** Connections that were made to it so far. */
  connections(): number;
  /** Cuts every connection now. */
  cut(): void;
  /** Cuts each further connection after so many bytes from the server; null: no more. */
  cutAfter(bytes: number | null): void;
  /** Refuses connections from now on, and cuts those there are; or takes them again. */
  refuse(isRefusing: boolean): void;
  /** Passes nothing on any more, on any connection; or goes on. */
  freeze(isFrozen: boolean): void;
  stop(): Promise<void>;
}

export interface SshdOptions {
  host?: string;
  /** A line of sshd's configuration each. */
  config?: string[];
}

/** Everything is in `directory`, which also is the mark of its processes. */
export async function startSshd(
  directory: string,
  { host = "bench-1", config = [] }: SshdOptions = {},
): Promise<Sshd> {
  const place = join(directory, `sshd-${host}`);
  mkdirSync(place, { recursive: true, mode: 0o755 });
  if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  for (const name of ["host_key", "user_key"]) {
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", join(place, name)]);
  }
  writeFileSync(join(place, "authorized_keys"), readFileSync(join(place, "user_key.pub")), { mode: 0o600 });
  const port = freePort();
  writeFileSync(
    join(place, "sshd_config"),
    [
      `Port ${port}`,
      "ListenAddress 127.0.0.1",
      `HostKey ${place}/host_key`,
      `AuthorizedKeysFile ${place}/authorized_keys`,
      `PidFile ${place}/pid`,
      "StrictModes no",
      "UsePAM no",
      "PasswordAuthentication no",
      "KbdInteractiveAuthentication no",
      "PermitRootLogin prohibit-password",
      "LogLevel ERROR",
      "MaxStartups 200",
      ...config,
      "",
    ].join("\n"),
  );
  const sshd = Bun.which("sshd", { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` });
  if (sshd === null) throw new Error("there is no sshd: install openssh-server");
  const child = Bun.spawn([sshd, "-D", "-e", "-f", join(place, "sshd_config")], {
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LAB: directory },
    stdin: "ignore",
    stdout: "ignore",
    stderr: Bun.file(join(place, "log")),
  });
  await until("sshd listens", async () => await isListening(port));
  const proxy = await startProxy(port);
  const bin = join(directory, "bin");
  mkdirSync(bin, { recursive: true });
  // ssh finds its user's files by the user database, whatever HOME says.
  writeFileSync(join(bin, "ssh"), `#!/bin/sh\nexec /usr/bin/ssh -F '${directory}/ssh_config' "$@"\n`);
  chmodSync(join(bin, "ssh"), 0o755);
  const lines = [
    `Host ${host}`,
    "HostName 127.0.0.1",
    `Port ${proxy.port}`,
    `User ${userInfo().username}`,
    `IdentityFile ${place}/user_key`,
    `UserKnownHostsFile ${place}/known_hosts`,
    "",
  ];
  writeFileSync(join(directory, "ssh_config"), lines.join("\n"), { flag: "a" });
  const [type, key] = readFileSync(join(place, "host_key.pub"), "utf8").split(" ");
  return {
    host,
    hostKey: `${type} ${key?.trim()}`,
    ...proxy,
    stop: async () => {
      child.kill("SIGKILL");
      await child.exited;
      await proxy.stop();
    },
  };
}

function run(argv: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(argv);
  if (exitCode !== 0) throw new Error(`${argv[0]}: ${stderr.toString()}`);
}

function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  listener.stop(true);
  return listener.port;
}

async function isListening(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

async function startProxy(target: number): Promise<Omit<Sshd, "host" | "hostKey"> & { port: number }> {
  const pairs = new Set<[Socket, Socket]>();
  let count = 0;
  let limit: number | null = null;
  let isRefusing = false;
  let isFrozen = false;
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
    const most = limit;
    let passed = 0;
    near.on("data", (bytes) => far.write(bytes));
    far.on("data", (bytes: Buffer) => {
      const room = most === null ? bytes.length : Math.max(0, most - passed);
      passed += bytes.length;
      near.write(bytes.subarray(0, room), () => {
        if (room < bytes.length) end(pair);
      });
    });
    for (const socket of pair) {
      socket.setNoDelay(true);
      socket.on("error", () => end(pair));
      socket.on("close", () => {
        end(pair);
        pairs.delete(pair);
      });
      if (isFrozen) socket.pause();
    }
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve());
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    connections: () => count,
    cut: () => {
      for (const pair of pairs) end(pair);
    },
    cutAfter: (bytes) => {
      limit = bytes;
    },
    refuse: (is) => {
      isRefusing = is;
      if (is) for (const pair of pairs) end(pair);
    },
    freeze: (is) => {
      isFrozen = is;
      for (const socket of [...pairs].flat()) {
        if (is) socket.pause();
        else socket.resume();
      }
    },
    stop: async () => {
      for (const pair of pairs) end(pair);
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}
