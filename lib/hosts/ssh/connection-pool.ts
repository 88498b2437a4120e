/** The connections to the testbeds' hosts: one for each way to a host, opened at its first use. */
import { createHash } from "node:crypto";
import type { SshAddress } from "../../words/place.ts";
import type { Clock } from "../../doors/clock.ts";
import type { Files } from "../../doors/files.ts";
import type { Processes } from "../../doors/processes.ts";
import type { Random } from "../../doors/random.ts";
import { pinnedName } from "./argv.ts";
import { type Connection, openConnection } from "./connection.ts";

export interface ConnectionsOptions {
  processes: Processes;
  files: Files;
  /** The environment of ssh itself: HOME, PATH and the user's key agent. */
  env: Record<string, string>;
  /** A private directory for sockets and pinned keys, created when it is needed. */
  directory: string;
  /** For a long-running program: commands go over one long-lived line for each host. */
  lines?: { clock: Clock; random: Random };
}

export interface Connections {
  to(address: SshAddress): Connection;
  /** Closes the connections to all other addresses. */
  keepOnly(addresses: readonly SshAddress[]): Promise<void>;
  close(): Promise<void>;
}

export function openConnections({
  processes,
  files,
  env,
  directory,
  lines,
}: ConnectionsOptions): Connections {
  const pace = { watching: 0 };
  const open = new Map<string, Connection>();
  /** Closed, but what was under way over them may open them once more. */
  const former: Connection[] = [];

  function connect(key: string, address: SshAddress): Connection {
    const { hostKey } = address;
    const knownHosts = hostKey === null ? null : `${directory}/${key}.known`;
    const connection = openConnection({
      processes,
      address,
      // Relative to the directory, because a socket's path may have at most 104 bytes.
      directory,
      files: { controlPath: `./${key}`, knownHosts },
      env,
      removeSocket: async () => await files.removeTree(`${directory}/${key}`),
      line: lines === undefined ? null : { ...lines, pace },
    });
    let isReady = false;
    return {
      ...connection,
      run: async (...call) => {
        if (!isReady) await prepare(knownHosts, hostKey);
        isReady = true;
        const result = await connection.run(...call);
        // Somebody may have removed the directory.
        if (!result.ok) isReady = false;
        return result;
      },
    };
  }

  async function prepare(knownHosts: string | null, hostKey: string | null): Promise<void> {
    await files.makePrivate(directory);
    if (knownHosts === null) return;
    await files.writePrivate(knownHosts, `${pinnedName} ${hostKey}\n`, { replace: true });
  }

  return {
    to: (address) => {
      const key = keyOf(address);
      const connection = open.get(key) ?? connect(key, address);
      open.set(key, connection);
      return connection;
    },
    keepOnly: async (addresses) => {
      const kept = new Set(addresses.map(keyOf));
      const unused = [...open].filter(([key]) => !kept.has(key));
      for (const [key, connection] of unused) {
        open.delete(key);
        former.push(connection);
      }
      await Promise.all(unused.map(async ([, connection]) => await connection.close()));
    },
    // Only open connections: do not contact hosts that were not used.
    close: async () => {
      const all = [...open.values(), ...former];
      await Promise.all(all.map(async (connection) => await connection.close()));
    },
  };
}

/** Does not change when more is known about the host. */
function keyOf({ host, user, port, key, hostKey }: SshAddress): string {
  return createHash("sha256")
    .update(JSON.stringify([host, user, port, key, hostKey]))
    .digest("hex")
    .slice(0, 12);
}
