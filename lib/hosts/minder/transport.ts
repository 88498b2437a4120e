/** How a minder's commands get to where its testbed hangs. */
import type { Processes, RunResult } from "../../doors/processes.ts";

/** A verb's whole answer: the log's tail and the views of hundreds of instances fit. */
export const longestAnswerBytes = 4 * 1024 * 1024;

/** Runs one command there: on this host, or over ssh. Never a shell string. */
export type Transport = (argv: string[], stdin: string, timeoutMs: number) => Promise<RunResult>;

/** The transport of this host. */
export function localTransport({ processes }: { processes: Processes }): Transport {
  const env = { PATH: "/usr/bin:/bin:/usr/sbin:/sbin", LC_ALL: "C" };
  return (argv, stdin, timeoutMs) =>
    processes.run({ argv, stdin, env, cwd: "/", timeoutMs, maxBytes: longestAnswerBytes });
}
