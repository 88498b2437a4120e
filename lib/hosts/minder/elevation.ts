/**
 * A transport that runs commands as root, through sudo or pfexec. If that is not allowed, one message says so with the fix.
 * It does not know the commands.
 */
import type { Transport } from "./transport.ts";

/** The program that root runs: an absolute path, so that a rule can name it. */
export const elevatedShell = "/bin/sh";

export interface ElevationOptions {
  transport: Transport;
  /** The value of `process.platform`. */
  platform: string;
  /** The user who becomes root. */
  user: string;
}

export function openElevated({ transport, platform, user }: ElevationOptions): Transport {
  const isIllumos = platform === "sunos" || platform === "illumos";
  // -n: it must not ask for a password, because nobody can answer.
  const words = isIllumos ? ["pfexec"] : ["sudo", "-n", "--"];
  const fix = isIllumos
    ? `give ${user} a profile with all privileges (usermod -P +"Primary Administrator" ${user})`
    : `add the line "${user} ALL=(root) NOPASSWD: ${elevatedShell}" with visudo -f /etc/sudoers.d/buildomat-factory-sp-test`;
  return async (argv, stdin, timeoutMs) => {
    const result = await transport([...words, ...argv], stdin, timeoutMs);
    const said = result.ok ? result.stderr.trim() : result.reason;
    const isRefused = result.ok
      ? result.exitCode !== 0 && /^(?:sudo|pfexec): |sudoers/m.test(said)
      : /not found|ENOENT/.test(said);
    if (!isRefused) return result;
    const reason = `${words[0]} does not let ${user} run ${elevatedShell} as root (${said.split("\n").at(-1)}), but general.use_privilege_elevation requires it; ${fix}, or set it to false`;
    return { ok: false, reason };
  };
}
