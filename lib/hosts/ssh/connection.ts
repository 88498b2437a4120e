/**
 * One multiplexed connection to a host, through the system's ssh. A call without an answer proves nothing about processes
 * there. This file does not know the minder.
 */
import type { SshAddress } from "../../words/place.ts";
import type { Clock } from "../../doors/clock.ts";
import type { Processes, RunResult, Run } from "../../doors/processes.ts";
import type { Random } from "../../doors/random.ts";
import { longestAnswerBytes } from "../minder/transport.ts";
import { quoteCommand, sshArgv, type SshFiles, withoutBreaks } from "./argv.ts";
import { type Line, openLine, type Pace } from "./lifeline.ts";
import nap from "../nap.sh" with { type: "text" };
import lifeline from "./lifeline.sh" with { type: "text" };

/** The far end of a lifeline. */
export const lineScript = `${nap}\n${lifeline}`;

export interface Connection {
  /** The words reach the program unchanged, in the login's environment. Exit code 255 is a failure of ssh itself. */
  run(argv: string[], stdin: NonNullable<Run["stdin"]>, timeoutMs: number): Promise<RunResult>;
  /** Calls `onChange` when the instance may have changed. A connection without a line never calls it. */
  watch: Line["watch"];
  close(): Promise<void>;
}

export interface ConnectionOptions {
  processes: Processes;
  address: SshAddress;
  /** The directory that ssh runs in, with its socket. */
  directory: string;
  files: SshFiles;
  /** The environment of ssh itself: the user's HOME, PATH and key agent. */
  env: Record<string, string>;
  /** Removes a socket if no process listens on it. */
  removeSocket(): Promise<void>;
  /** For a long-running program: commands go over one long-lived line. Null: each command starts its own ssh. */
  line: { clock: Clock; random: Random; pace: Pace } | null;
}

const closeTimeoutMs = 5_000;
/** Longer input starts its own ssh, because a shell reads lines byte by byte. */
const longestLineInput = 16_384;
/** Many hosts allow at most ten sessions on a connection. */
const mostAtOnce = 4;

/** Stops programs that ssh starts, for example the ssh to a jump host, from asking anybody for a password. */
const isDetached = true;

export function openConnection({
  processes,
  address,
  directory,
  files,
  env,
  removeSocket,
  line: parts,
}: ConnectionOptions): Connection {
  let waiting: Promise<unknown>[] = [];
  const line =
    parts === null
      ? null
      : openLine({
          ...parts,
          begin: (mark, onLine) =>
            processes.talk({
              argv: [...sshArgv(address, files, []), quoteCommand(["sh", "-c", lineScript, "sh", mark])],
              env,
              cwd: directory,
              isDetached,
              onLine,
              maxLineBytes: longestAnswerBytes,
            }),
          explain: async (said) => {
            await control("check");
            return explain(address, said, "the connection was lost");
          },
        });

  /** Checks the shared connection, and removes its socket if there is no answer. */
  async function control(word: "check" | "exit"): Promise<void> {
    const argv = sshArgv(address, files, ["-O", word]);
    const result = await processes.run({
      argv,
      env,
      cwd: directory,
      isDetached,
      timeoutMs: closeTimeoutMs,
      maxBytes: 4096,
    });
    if (!result.ok || result.exitCode !== 0 || word === "exit") await removeSocket();
  }

  async function runAlone(
    argv: string[],
    stdin: NonNullable<Run["stdin"]>,
    timeoutMs: number,
  ): Promise<RunResult> {
    const words = [...sshArgv(address, files, []), quoteCommand(argv)];
    const result = await processes.run({
      argv: words,
      stdin,
      env,
      cwd: directory,
      isDetached,
      timeoutMs,
      maxBytes: longestAnswerBytes,
    });
    if (result.ok && result.exitCode !== 255) return result;
    // The next call would wait just as long for a connection that hangs.
    await control("check");
    const said = result.ok ? result.stderr : "";
    return { ok: false, reason: explain(address, said, result.ok ? "no answer" : result.reason) };
  }

  return {
    run: async (argv, stdin, timeoutMs) => {
      const isShort = typeof stdin === "string" && stdin.length <= longestLineInput;
      if (line !== null && isShort && (stdin === "" || stdin.endsWith("\n"))) {
        return await line.run(withoutBreaks(argv), stdin, timeoutMs);
      }
      while (waiting.length >= mostAtOnce) await Promise.race(waiting);
      const running = runAlone(argv, stdin, timeoutMs);
      waiting.push(running);
      return await running.finally(() => {
        waiting = waiting.filter((each) => each !== running);
      });
    },
    watch: (...words) => line?.watch(...words) ?? { close: () => undefined },
    close: async () => {
      await line?.close();
      await control("exit");
    },
  };
}

/** Turns ssh's many lines into one, with the fix. */
function explain({ host, port, hostKey }: SshAddress, said: string, otherwise: string): string {
  const lines = said.split("\n").map((line) => line.trim().slice(0, 300));
  const lineWith = (signs: RegExp): string | undefined => lines.find((line) => signs.test(line));
  if (/REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed/.test(said)) {
    const name = port === null ? host : `[${host}]:${port}`;
    const fix = hostKey === null ? `run ssh-keygen -R '${name}'` : "correct host_key";
    return `the host key of ${host} is not the expected one: it may be another machine; if it is the right one, ${fix}`;
  }
  const refusal = lineWith(/Permission denied|Too many authentication failures/);
  if (refusal !== undefined) {
    // An earlier line says why ssh did not even try a key.
    const flaw = lineWith(/^Permissions \d+ for |^Load key |^Warning: Identity file /);
    const fix = flaw === undefined ? "see ssh_user and ssh_key" : fixOf(flaw);
    const why = flaw === undefined ? refusal : `${flaw.replace(/\.$/, "")}; ${refusal}`;
    return `ssh to ${host} is refused (${why}): the host must accept a key without a passphrase; ${fix}`;
  }
  if (lineWith(/Session open refused by peer/) !== undefined) {
    return `cannot reach ${host} over ssh: it does not open a session; see MaxSessions in its sshd_config`;
  }
  const last = (lines.findLast((line) => line !== "") ?? otherwise).replace(/^ssh: /, "");
  return `cannot reach ${host} over ssh: ${last}${hintOn(last, host)}`;
}

function fixOf(flaw: string): string {
  const [, open] = /^Permissions \d+ for '(.*)' are too open/.exec(flaw) ?? [];
  return open === undefined ? "correct ssh_key" : `chmod 600 ${open}`;
}

function hintOn(last: string, host: string): string {
  if (last.includes("Connection refused")) return "; is sshd running there? see host and ssh_port";
  if (last.includes("Could not resolve")) return "; correct host";
  // The messages of a jump host's own ssh are lost: a persistent shared connection drops them.
  if (!last.includes("exchange_identification: Connection closed")) return "";
  return `; run ssh ${host} by hand: the key of a jump host may not be known yet, or the jump host refuses yours`;
}
