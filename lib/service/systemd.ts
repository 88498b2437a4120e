/** systemd on this host, called through `systemctl`: the system's, or that of the user who runs this program. */
import type { Processes } from "../doors/processes.ts";
import { FactoryError } from "../words/failure.ts";
import { oldestSystemd, type UnitOptions } from "./unit.ts";

export type Kind = UnitOptions["kind"];

export interface Systemd {
  version: number;
  /** Properties of a unit by name; an unknown one is absent. */
  show(unit: string, ...names: string[]): Promise<Record<string, string>>;
  /** Throws a FactoryError with what systemctl said. */
  control(...words: string[]): Promise<void>;
}

export interface SystemdOptions {
  kind: Kind;
  processes: Processes;
  exists(path: string): boolean;
  env: Record<string, string | undefined>;
  uid: number;
  searchPath: string;
}

/** It exists only if systemd runs the host (sd_booted(3)). */
export const runningSystemd = "/run/systemd/system";
/** `systemctl start` waits until the service is ready. */
const withinMs = 150_000;

const withoutSystemd = "README, under Without systemd, shows what to start instead";

/** Throws a FactoryError that says what to do if this program cannot use systemd here. */
export async function openSystemd(options: SystemdOptions): Promise<Systemd> {
  const { kind, processes, exists, env, uid, searchPath } = options;
  if (kind === "system" && uid !== 0) {
    throw new FactoryError("Cannot change a service of the whole system: this user is not root", {
      hint: "Run it with sudo, or add --user: then it runs as you, and needs no root",
    });
  }
  if (!exists(runningSystemd)) {
    throw new FactoryError("Cannot install a service: systemd does not run this host", {
      hint: withoutSystemd,
    });
  }
  const runtimeDirectory = env["XDG_RUNTIME_DIR"] ?? `/run/user/${uid}`;
  async function run(words: string[]): Promise<{ exitCode: number; stdout: string; stderr: string }> {
    const ran = await processes.run({
      argv: ["systemctl", ...(kind === "user" ? ["--user"] : []), ...words],
      env: {
        PATH: searchPath,
        LC_ALL: "C",
        ...(kind === "user" ? { XDG_RUNTIME_DIR: runtimeDirectory } : {}),
      },
      timeoutMs: withinMs,
      maxBytes: 65_536,
    });
    if (ran.ok) return ran;
    throw new FactoryError(`Cannot ask systemd: ${ran.reason}`, { hint: "systemctl must be on the PATH" });
  }
  const asked = await run(["show", "--property=Version", "--value"]);
  const version = Number(/\d+/.exec(asked.stdout)?.[0]);
  if (asked.exitCode !== 0 || Number.isNaN(version)) {
    const hint =
      kind === "user"
        ? "Log in as this user (`su` and `sudo` start no systemd of its own), or: sudo loginctl enable-linger USER"
        : "See: systemctl is-system-running";
    throw new FactoryError(`Cannot reach the ${kind}'s systemd: ${asked.stderr.trim()}`, { hint });
  }
  if (version < oldestSystemd) {
    throw new FactoryError(
      `Cannot install a service: systemd ${version} is too old, ${oldestSystemd} is needed`,
      { hint: withoutSystemd },
    );
  }
  return {
    version,
    show: async (unit, ...names) => {
      const { stdout } = await run(["show", unit, ...names.map((name) => `--property=${name}`)]);
      return Object.fromEntries(
        stdout
          .split("\n")
          .filter((line) => line.includes("="))
          .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
      );
    },
    control: async (...words) => {
      const { exitCode, stderr } = await run(words);
      if (exitCode === 0) return;
      throw new FactoryError(`systemctl ${words.join(" ")} failed: ${stderr.trim().split("\n")[0]}`, {
        hint: `See: journalctl ${kind === "user" ? "--user " : ""}-n 20 -u ${words.at(-1)}`,
        exitCode: 1,
      });
    },
  };
}
