/**
 * The demo's testbed behind ssh: an ssh server on this host that lets in the demo's user. If it cannot be started or refuses the
 * login, the demo goes on without it.
 */
import { chmodSync, copyFileSync, linkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { quoteCommand } from "../../hosts/ssh/argv.ts";
import { startSshd, type Sshd, sshdPath, type SshdParts } from "./sshd.ts";

export interface SshBenchParts extends SshdParts {
  /** How this program is started: it is the agent behind ssh. */
  self: string[];
}

export type SshBench =
  /** `lines` of its `[testbed.*]` section. */
  { ok: true; lines: string[]; stop(): Promise<void> } | { ok: false; reason: string };

export async function startSshBench(directory: string, parts: SshBenchParts): Promise<SshBench> {
  const asked = await run(parts, ["id", "-un"]);
  if (!asked.ok) return asked;
  const user = asked.said;
  const sshd = await startSshd({ directory: join(directory, "sshd") }, parts);
  if (!sshd.ok) return sshd;
  const login = await logIn(sshd, user, { directory, parts });
  if (!login.ok) {
    await sshd.stop();
    return login;
  }
  const agent = await placeAgent(directory, parts.self);
  return {
    ok: true,
    lines: [
      'host = "127.0.0.1"',
      `ssh_user = ${JSON.stringify(user)}`,
      `ssh_port = ${sshd.port}`,
      `ssh_key = ${JSON.stringify(sshd.userKey)}`,
      `host_key = "${sshd.hostKey}"`,
      ...(agent === null ? [] : [`agent_path = ${JSON.stringify(agent)}`]),
      `work_dir = ${JSON.stringify(join(directory, "far"))}`,
    ],
    stop: sshd.stop,
  };
}

/** The agent's path there; null: the factory copies itself over, which works only for an executable. */
async function placeAgent(directory: string, self: string[]): Promise<string | null> {
  const [program = ""] = self;
  const entry = self.at(-1);
  if (entry === undefined || entry === program) return null;
  // Bundled into one file: a checkout below /work would be hidden by the job's own /work.
  const bundled = await Bun.build({ entrypoints: [entry], target: "bun" });
  const [file] = bundled.outputs;
  if (file === undefined) throw new Error(`cannot bundle ${entry}`);
  await Bun.write(join(directory, "agent.js"), file);
  const path = join(directory, "agent");
  // Beside the agent and named after it: a job sees no other files of the host's /tmp, where Bun may be.
  const bun = join(directory, "agent-bun");
  try {
    linkSync(program, bun);
  } catch {
    copyFileSync(program, bun);
  }
  const words = [bun, join(directory, "agent.js"), "agent"];
  await Bun.write(path, `#!/bin/sh\nexec ${quoteCommand(words)} "$@"\n`);
  chmodSync(path, 0o755);
  return path;
}

type Ran = { ok: true; said: string } | { ok: false; reason: string };

async function logIn(
  { port, hostKey, userKey }: Sshd,
  user: string,
  { directory, parts }: { directory: string; parts: SshBenchParts },
): Promise<Ran> {
  const known = join(directory, "known_hosts");
  writeFileSync(known, `[127.0.0.1]:${port} ${hostKey}\n`);
  const options = ["BatchMode=yes", "IdentitiesOnly=yes", `UserKnownHostsFile=${known}`];
  const asked = options.flatMap((option) => ["-o", option]);
  const argv = ["ssh", "-p", String(port), "-i", userKey, "-l", user, ...asked, "127.0.0.1", "true"];
  return await run(parts, argv);
}

async function run({ processes }: SshBenchParts, argv: string[]): Promise<Ran> {
  const env = { PATH: sshdPath, HOME: process.env["HOME"] ?? "/", LC_ALL: "C" };
  const result = await processes.run({ argv, env, cwd: "/", timeoutMs: 20_000, maxBytes: 65_536 });
  if (!result.ok) return { ok: false, reason: `${argv[0]}: ${result.reason}` };
  if (result.exitCode === 0) return { ok: true, said: result.stdout.trim() };
  return { ok: false, reason: `${argv[0]}: ${result.stderr.trim().split("\n").at(-1) ?? ""}` };
}
