/** Stops a command if another machine now answers at the host's address. */
import type { SshHost } from "../../words/place.ts";
import type { Transport } from "../minder/transport.ts";
import type { Connection } from "./connection.ts";

const minderPath = ["env", "PATH=/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C"];

/**
 * Runs before each command on every connection, because the address may belong to another machine by now. One line, so that any
 * login shell accepts it. Words: work directory, machine, the command.
 */
const guardScript =
  'if [ -z "$2" ] || [ "$(cat "$1/testbed-id")" = "$2" ]; then shift 2; exec "$@"; fi; echo another-machine >&2; exit 254';

/** A transport that reaches only the machine on which the instance started. */
export function guarded({ run }: Connection, { host, machine }: SshHost, directory: string): Transport {
  return async (argv, stdin, timeoutMs) => {
    const words = ["sh", "-c", guardScript, "sh", directory, machine ?? "", ...minderPath, ...argv];
    const result = await run(words, stdin, timeoutMs);
    if (!result.ok || result.exitCode !== 254 || !result.stderr.includes("another-machine")) return result;
    const reason = `${host} is not the machine that this instance started on: ${directory}/testbed-id there is not ${machine}; if it is the same machine with a restored disk, and the instance does not run elsewhere, write that id into the file`;
    return { ok: false, reason };
  };
}
