/**
 * A place of its own for each minder where this program is a service of systemd: a transient scope, which the unit's end and the
 * unit's limits do not reach. Elsewhere nothing is added, and nothing is asked.
 */

export interface ScopeSource {
  env: Record<string, string | undefined>;
  uid: number;
}

/** Words before a command, and what they need of the environment. Null: no scope. */
export interface Scope {
  words: string[];
  env: Record<string, string>;
}

/** systemd tells its services by INVOCATION_ID, and those of a user's systemd by MANAGERPID. */
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
  // Another user's service may not ask the system's systemd for one: KillMode=process alone keeps its jobs.
  return uid === 0 ? { words: [...words, "--"], env: {} } : null;
}
