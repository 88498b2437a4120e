/** The arguments of the system's ssh, and how a command is quoted for the remote shell. It does not run anything. */
import type { SshAddress } from "../../words/place.ts";

export interface SshFiles {
  /** The socket of the shared connection, relative to the directory that ssh runs in. */
  controlPath: string;
  /** The file with only the pinned key; null: no key is pinned. */
  knownHosts: string | null;
}

/** The name of a pinned key in its file, because the host's own name may be an alias from the user's configuration. */
export const pinnedName = "pinned";

/**
 * The only place that makes ssh's arguments. The user's own configuration is used (jump hosts, keys); options for an
 * unattended program are added to it.
 */
export function sshArgv(address: SshAddress, files: SshFiles, rest: string[]): string[] {
  const { host, user, port, key } = address;
  const options = [
    // This must be first: an older ssh may not know every option below or in the user's configuration.
    "IgnoreUnknown=*",
    "BatchMode=yes",
    "ConnectTimeout=10",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "RequestTTY=no",
    "RemoteCommand=none",
    "SessionType=default",
    "StdinNull=no",
    "ForkAfterAuthentication=no",
    // connection.ts explains failures from ssh's messages.
    "LogLevel=ERROR",
    "ControlMaster=auto",
    // Longer than the pause between two looks at a testbed that waits.
    "ControlPersist=180",
    `ControlPath=${quotePath(files.controlPath)}`,
    ...(files.knownHosts === null
      ? ["StrictHostKeyChecking=accept-new"]
      : [
          "StrictHostKeyChecking=yes",
          `UserKnownHostsFile=${quotePath(files.knownHosts)}`,
          "GlobalKnownHostsFile=/dev/null",
          "KnownHostsCommand=none",
          "VerifyHostKeyDNS=no",
          `HostKeyAlias=${pinnedName}`,
          "CheckHostIP=no",
          "UpdateHostKeys=no",
        ]),
    ...(key === null ? [] : ["IdentitiesOnly=yes"]),
  ];
  return [
    "ssh",
    ...options.flatMap((option) => ["-o", option]),
    ...(key === null ? [] : ["-i", key]),
    ...(port === null ? [] : ["-p", String(port)]),
    ...(user === "" ? [] : ["-l", user]),
    ...rest,
    "--",
    host,
  ];
}

/** Quoted as in ssh's configuration files, where a percent sign is special. */
function quotePath(path: string): string {
  return `"${path.replaceAll("%", "%%")}"`;
}

/** Decodes and runs the words after `sh`. The dot protects line breaks at the end of a word, which `$()` would remove. */
const decoder = `for word do shift; word=$(printf %b. "$word"); set -- "$@" "\${word%.}"; done; exec "$@"`;

/**
 * One command line for any login shell: each word that is not plain is in single quotes. Backslashes are outside the quotes,
 * because fish interprets them inside, and so are exclamation marks, because of csh. csh also refuses line breaks in quotes:
 * such words are encoded, and an sh there decodes them.
 */
export function quoteCommand(argv: string[]): string {
  return withoutBreaks(argv).map(quoteWord).join(" ");
}

/** The same command in words that have no line breaks. */
export function withoutBreaks(argv: string[]): string[] {
  const hasBreak = argv.some((word) => word.includes("\n"));
  return hasBreak ? ["sh", "-c", decoder, "sh", ...argv.map(encodeWord)] : argv;
}

function encodeWord(word: string): string {
  return word.replaceAll("\\", String.raw`\\`).replaceAll("\n", String.raw`\n`);
}

function quoteWord(word: string): string {
  if (/^[A-Za-z0-9_./:@%+,-]+$/.test(word)) return word;
  return `'${word.replaceAll(/['\\!]/g, String.raw`'\$&'`)}'`;
}
