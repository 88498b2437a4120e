/**
 * An OpenSSH server on loopback with its own keys and configuration, which lets in the user who started it: for the demo and for
 * tests. It must not know testbeds.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../doors/clock.ts";
import type { Processes } from "../../doors/processes.ts";

export interface SshdParts {
  clock: Clock;
  processes: Processes;
}

export interface SshdOptions {
  /** It is created. Its path is in the command lines of the server's processes. */
  directory: string;
  /** Further lines of its configuration. */
  config?: string[];
  /** A command that runs the server somewhere else. It must exec, not fork, because its process is killed at the end. */
  prefix?: string[];
  /** Variables in the environment of the server and its sessions. */
  env?: Record<string, string>;
}

export interface Sshd {
  port: number;
  /** Type and key, as in `host_key`. */
  hostKey: string;
  /** Path of the private key that it lets in. */
  userKey: string;
  pid: number;
  stop(): Promise<void>;
}

export type SshdStart = ({ ok: true } & Sshd) | { ok: false; reason: string };

/** Includes the directories that most systems have only on root's PATH. */
export const sshdPath = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
/** A server that does not listen by then never will. */
const listensWithinMs = 10_000;
/** Another program may take a free port before the server does. */
const mostPorts = 5;

export async function startSshd(options: SshdOptions, parts: SshdParts): Promise<SshdStart> {
  const { directory } = options;
  const missing = ["sshd", "ssh", "ssh-keygen"].filter(
    (name) => Bun.which(name, { PATH: sshdPath }) === null,
  );
  if (missing.length > 0) return { ok: false, reason: `${missing.join(" and ")} is not installed` };
  mkdirSync(directory, { mode: 0o755 });
  // A server run by root needs this empty directory, which exists only if a server has run before.
  if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  for (const name of ["host_key", "user_key"]) {
    const made = await makeKey(join(directory, name), parts);
    if (made !== null) return { ok: false, reason: made };
  }
  writeFileSync(join(directory, "authorized_keys"), readFileSync(join(directory, "user_key.pub")), {
    mode: 0o644,
  });
  const [type, key] = readFileSync(join(directory, "host_key.pub"), "utf8").split(/\s/);
  const known = { hostKey: `${type} ${key}`, userKey: join(directory, "user_key") };
  for (let left = mostPorts; ; left -= 1) {
    const port = findPort();
    const listening = await listen(port, options, parts);
    if (listening.ok) return { ...listening, ...known, port };
    if (left === 1 || !listening.reason.includes("in use")) return listening;
  }
}

async function makeKey(path: string, { processes }: SshdParts): Promise<string | null> {
  const argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path];
  const made = await processes.run({ argv, env: { PATH: sshdPath }, timeoutMs: 10_000, maxBytes: 4096 });
  if (!made.ok) return made.reason;
  return made.exitCode === 0 ? null : `ssh-keygen: ${lastLine(made.stderr)}`;
}

async function listen(
  port: number,
  { directory, config = [], prefix = [], env = {} }: SshdOptions,
  { clock }: SshdParts,
): Promise<({ ok: true } & Pick<Sshd, "pid" | "stop">) | { ok: false; reason: string }> {
  const configPath = join(directory, "sshd_config");
  const logPath = join(directory, "log");
  writeFileSync(configPath, [...configLines(port, directory), ...config, ""].join("\n"));
  writeFileSync(logPath, "");
  const sshd = Bun.which("sshd", { PATH: sshdPath }) ?? "sshd";
  const child = Bun.spawn([...prefix, sshd, "-D", "-e", "-f", configPath], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: Bun.file(logPath),
    env: { PATH: sshdPath, ...env },
    // Ctrl+C in the terminal must not reach it.
    detached: true,
  });
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await child.exited;
  };
  const said = (): string => readFileSync(logPath, "utf8");
  const endMs = clock.uptimeMs() + listensWithinMs;
  while (!said().includes("Server listening") && child.exitCode === null && clock.uptimeMs() < endMs) {
    await clock.sleep(20);
  }
  if (said().includes("Server listening")) return { ok: true, pid: child.pid, stop };
  await stop();
  const refusal =
    said()
      .split("\n")
      .find((line) => line.includes("in use")) ?? lastLine(said());
  return { ok: false, reason: `sshd: ${refusal || "it does not listen"}` };
}

function configLines(port: number, directory: string): string[] {
  return [
    `Port ${port}`,
    "ListenAddress 127.0.0.1",
    `HostKey ${directory}/host_key`,
    `AuthorizedKeysFile ${directory}/authorized_keys`,
    "PidFile none",
    // Everybody may write to temporary directories.
    "StrictModes no",
    "UsePAM no",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    "PermitRootLogin prohibit-password",
    "MaxStartups 200",
  ];
}

function findPort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  listener.stop(true);
  return listener.port;
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}
