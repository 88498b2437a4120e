/** The connections to the hosts of testbeds: one for each testbed, made when it is first used. */
import { createHash } from "node:crypto";
import type { SshAddress } from "../domain.ts";
import type { Files } from "../doors/files.ts";
import type { Processes } from "../doors/processes.ts";
import { pinnedName } from "./argv.ts";
import { type Connection, openConnection } from "./connection.ts";

export interface ConnectionsOptions {
  processes: Processes;
  files: Files;
  /** Environment of ssh itself: HOME, PATH and the user's key agent. */
  env: Record<string, string>;
  /** Private to this user, and short: sockets, and pinned keys. */
  directory: string;
}

export interface Connections {
  to(testbed: string, address: SshAddress): Connection;
  close(): Promise<void>;
}

export function openConnections({ processes, files, env, directory }: ConnectionsOptions): Connections {
  const open = new Map<string, Connection>();

  function connect(key: string, address: SshAddress): Connection {
    const { hostKey } = address;
    const knownHosts = hostKey === null ? null : `${directory}/${key}.known`;
    const connection = openConnection({
      processes,
      address,
      files: { controlPath: `${directory}/${key}`, knownHosts },
      env,
      removeSocket: async (path) => await files.removeTree(path),
    });
    if (hostKey === null || knownHosts === null) return connection;
    let isPinned = false;
    return {
      ...connection,
      run: async (...call) => {
        if (!isPinned) await files.writePrivate(knownHosts, `${pinnedName} ${hostKey}\n`, { replace: true });
        isPinned = true;
        return await connection.run(...call);
      },
    };
  }

  return {
    to: (testbed, address) => {
      const key = keyOf(testbed, address);
      const connection = open.get(key) ?? connect(key, address);
      open.set(key, connection);
      return connection;
    },
    close: async () => {
      await Promise.all([...open.values()].map(async (connection) => await connection.close()));
    },
  };
}

/** The same whatever is learnt of the host later. Short, for it is part of a socket's path. */
function keyOf(testbed: string, { host, user, port, key, hostKey }: SshAddress): string {
  return createHash("sha256")
    .update(JSON.stringify([testbed, host, user, port, key, hostKey]))
    .digest("hex")
    .slice(0, 12);
}
