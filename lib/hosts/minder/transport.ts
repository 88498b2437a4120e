/** Runs a minder's commands on the host of its testbed. */
import type { Processes, RunResult } from "../../doors/processes.ts";
import type { Scope } from "./scope.ts";

/** The largest answer of a verb: the log's tail and the views of hundreds of instances fit. */
export const longestAnswerBytes = 4 * 1024 * 1024;

/** Runs one command on that host: here or over ssh. Never a shell string. */
export type Transport = (argv: string[], stdin: string, timeoutMs: number) => Promise<RunResult>;

/** The transport of this host; `scope`: what it runs, and what that leaves running, is there. */
export function localTransport({
  processes,
  scope = { words: [], env: {} },
}: {
  processes: Processes;
  scope?: Scope | undefined;
}): Transport {
  const env = { PATH: "/usr/bin:/bin:/usr/sbin:/sbin", LC_ALL: "C", ...scope.env };
  return (argv, stdin, timeoutMs) =>
    processes.run({
      argv: [...scope.words, ...argv],
      stdin,
      env,
      cwd: "/",
      timeoutMs,
      maxBytes: longestAnswerBytes,
    });
}
