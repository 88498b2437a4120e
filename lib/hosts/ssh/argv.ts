/** What the system's ssh is told, and how a command is quoted for the shell that it meets there. Nothing is run here. */
import type { SshAddress } from "../../words/domain.ts";

export interface SshFiles {
  /** The socket of the one connection that all calls share, from where ssh runs. */
  controlPath: string;
  /** Holds the pinned key alone; null: none is pinned. */
  knownHosts: string | null;
}

/** Under this name a pinned key stands in its file: the host's own name may be an alias of the user's. */
export const pinnedName = "pinned";

/**
 * The only place where an argument vector of ssh is made. The user's own configuration counts (jump hosts, keys); what an
 * unattended program needs is set on top of it.
 */
export function sshArgv(address: SshAddress, files: SshFiles, rest: string[]): string[] {
  const { host, user, port, key } = address;
  const options = [
    // First, and for all: an older ssh does not know every option below, nor the user's own configuration's.
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
    // What is wrong is told from what ssh says.
    "LogLevel=ERROR",
    "ControlMaster=auto",
    // Longer than a testbed that waits is left alone.
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

/** As in a file of ssh's configuration, where a percent sign has a meaning. */
function quotePath(path: string): string {
  return `"${path.replaceAll("%", "%%")}"`;
}

/** Runs the words that follow `sh`, encoded as below. The dot keeps line breaks at a word's end from `$()`. */
const decoder = `for word do shift; word=$(printf %b. "$word"); set -- "$@" "\${word%.}"; done; exec "$@"`;

/**
 * One command line for any login shell: each word that is not plain stands in single quotes. A backslash stands outside of
 * them, for fish knows it within, too; so does an exclamation mark, for csh. Nor may csh meet a line break within: words that
 * have one are sent encoded, and an sh there decodes them.
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
