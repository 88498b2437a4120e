/**
 * A place of its own for each minder where this program is a service of systemd: a transient scope, which the unit's end and the
 * unit's limits do not reach. Elsewhere nothing is added, and nothing is asked.
 */

export interface ScopeSource {
  env: Record<string, string | undefined>;
  uid: number;
}

/** Words to put before a command, and the variables that they need. Null: no scope. */
export interface Scope {
  words: string[];
  env: Record<string, string>;
}

/** systemd sets INVOCATION_ID for its services; a user's systemd also sets MANAGERPID. */
export function chooseScope({ env, uid }: ScopeSource): Scope | null {
  if (env["INVOCATION_ID"] === undefined || env["NOTIFY_SOCKET"] === undefined) return null;
  const words = [
    "systemd-run",
    "--scope",
    "--quiet",
    "--collect",
    "--description=job agent of buildomat-factory-sp-test",
  ];
  const runtimeDirectory = env["XDG_RUNTIME_DIR"];
  if (env["MANAGERPID"] !== undefined && runtimeDirectory !== undefined) {
    return { words: [...words, "--user", "--"], env: { XDG_RUNTIME_DIR: runtimeDirectory } };
  }
  // A service of another user may not create a scope in the system's systemd: only KillMode=process keeps its jobs.
  return uid === 0 ? { words: [...words, "--"], env: {} } : null;
}
