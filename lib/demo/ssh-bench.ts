/**
 * The demo's testbed behind ssh: an sshd of its own on loopback, with its own keys, for whoever runs the demo. Where there is
 * none, or it lets nobody in, the demo goes without.
 */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../doors/clock.ts";
import type { Processes } from "../doors/processes.ts";

export interface SshBenchParts {
  /** How this program is started: it is the agent there. */
  self: string[];
  clock: Clock;
  processes: Processes;
}

export type SshBench =
  /** `lines` of its `[testbed.*]` section. */
  { ok: true; lines: string[]; stop(): Promise<void> } | { ok: false; reason: string };

const path = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
/** sshd has begun to listen by then, or never does. */
const withinMs = 5_000;

export async function startSshBench(directory: string, parts: SshBenchParts): Promise<SshBench> {
  const sshd = Bun.which("sshd", { PATH: path });
  const missing = ["ssh", "ssh-keygen"].filter((name) => Bun.which(name, { PATH: path }) === null);
  if (sshd === null) return { ok: false, reason: "no sshd is installed" };
  if (missing.length > 0) return { ok: false, reason: `${missing.join(" and ")} is not installed` };
  const asked = await run(parts, ["id", "-un"]);
  if (!asked.ok) return asked;
  const user = asked.said;
  const place = join(directory, "sshd");
  mkdirSync(place, { mode: 0o700 });
  for (const name of ["host_key", "user_key"]) {
    const made = await run(parts, [
      "ssh-keygen",
      "-q",
      "-t",
      "ed25519",
      "-N",
      "",
      "-C",
      "",
      "-f",
      join(place, name),
    ]);
    if (!made.ok) return made;
  }
  writeFileSync(join(place, "authorized_keys"), readFileSync(join(place, "user_key.pub")), { mode: 0o600 });
  const port = findPort();
  const config = join(place, "config");
  writeFileSync(
    config,
    [
      `Port ${port}`,
      "ListenAddress 127.0.0.1",
      `HostKey ${place}/host_key`,
      `AuthorizedKeysFile ${place}/authorized_keys`,
      `PidFile ${place}/pid`,
      // Temporary directories are everybody's.
      "StrictModes no",
      "UsePAM no",
      "PasswordAuthentication no",
      "KbdInteractiveAuthentication no",
      "PermitRootLogin prohibit-password",
      "",
    ].join("\n"),
  );
  const agent = join(directory, "agent");
  const words = [...parts.self, "agent"].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
  writeFileSync(agent, `#!/bin/sh\nexec ${words} "$@"\n`);
  chmodSync(agent, 0o755);
  const child = Bun.spawn([sshd, "-D", "-e", "-f", config], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: Bun.file(join(place, "log")),
    env: { PATH: path },
    // A Ctrl+C of the terminal is for the demo.
    detached: true,
  });
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await child.exited;
  };
  const hostKey = readFileSync(join(place, "host_key.pub"), "utf8").trim().split(" ").slice(0, 2).join(" ");
  writeFileSync(join(place, "known"), `[127.0.0.1]:${port} ${hostKey}\n`);
  const login = await tryLogin(parts, { user, port, place });
  if (!login.ok) {
    await stop();
    return login;
  }
  return {
    ok: true,
    lines: [
      'host = "127.0.0.1"',
      `ssh_user = ${JSON.stringify(user)}`,
      `ssh_port = ${port}`,
      `ssh_key = ${JSON.stringify(join(place, "user_key"))}`,
      `host_key = "${hostKey}"`,
      `agent_path = ${JSON.stringify(agent)}`,
      `work_dir = ${JSON.stringify(join(directory, "far"))}`,
    ],
    stop,
  };
}

/** Whether the user can log in there; sshd is given a while to listen. */
async function tryLogin(
  parts: SshBenchParts,
  { user, port, place }: { user: string; port: number; place: string },
): Promise<Ran> {
  const options = ["BatchMode=yes", "IdentitiesOnly=yes", `UserKnownHostsFile=${place}/known`];
  const asked = options.flatMap((option) => ["-o", option]);
  const key = join(place, "user_key");
  const argv = ["ssh", "-p", String(port), "-i", key, "-l", user, ...asked, "127.0.0.1", "true"];
  const begunMs = parts.clock.uptimeMs();
  for (;;) {
    const login = await run(parts, argv);
    if (login.ok || parts.clock.uptimeMs() - begunMs > withinMs) return login;
    await parts.clock.sleep(100);
  }
}

type Ran = { ok: true; said: string } | { ok: false; reason: string };

async function run({ processes }: SshBenchParts, argv: string[]): Promise<Ran> {
  const env = { PATH: path, HOME: process.env["HOME"] ?? "/", LC_ALL: "C" };
  const result = await processes.run({ argv, env, cwd: "/", timeoutMs: 10_000, maxBytes: 65_536 });
  if (!result.ok) return { ok: false, reason: `${argv[0]}: ${result.reason}` };
  if (result.exitCode === 0) return { ok: true, said: result.stdout.trim() };
  return { ok: false, reason: `${argv[0]}: ${result.stderr.trim().split("\n").at(-1) ?? ""}` };
}

function findPort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  listener.stop(true);
  return listener.port;
}
