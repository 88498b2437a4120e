/** The hidden verb `agent`: `agent run`, and `agent try` for `check`. It wires the agent to this process. */
/* oxlint-disable no-restricted-properties -- `agent run` is a program of its own, on another host perhaps: its signals,
   environment and log are this process's, and no part of the factory's */
import type { Clock } from "../doors/clock.ts";
import type { Http } from "../doors/http.ts";
import type { Random } from "../doors/random.ts";
import { openLog } from "../words/logger.ts";
import { runAgent } from "./agent.ts";

export interface AgentCommandOptions {
  /** How this program is started again. */
  self: string[];
  clock: Clock;
  random: Random;
  http: Http;
}

const usage = "usage: agent run\n";

export async function runAgentCommand(
  args: string[],
  { self, clock, random, http }: AgentCommandOptions,
): Promise<number> {
  const [command, ...rest] = args;
  if (command === "--help") {
    process.stdout.write(usage);
    return 0;
  }
  if (command === "try" && rest[0] !== undefined) return await tryServer(rest[0], http);
  if (command !== "run" || rest.length > 0) {
    process.stderr.write(usage);
    return 1;
  }
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  const signals = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, stop);
  const log = openLog({
    clock,
    format: "json",
    level: ["1", "yes", "true"].includes(process.env["BUILDOMAT_DEBUG"] ?? "") ? "debug" : "info",
    secrets: [],
    write: (line) => process.stdout.write(line),
  });
  try {
    return await runAgent({
      clock,
      random,
      http,
      log,
      env: process.env,
      bmat: [...self, "bmat"],
      inputDirectory: "/input",
      signal: controller.signal,
    });
  } finally {
    for (const signal of signals) process.off(signal, stop);
  }
}

/** Whether an agent with this environment reaches the server, for `check`. */
async function tryServer(baseurl: string, http: Http): Promise<number> {
  const url = `${baseurl}/0/worker/ping`;
  const reply = await http.request({ method: "GET", url, timeoutMs: 10_000, maxBytes: 1024 * 1024 });
  // Without a token the server refuses. What is in trouble, or wants an account of its own, is on the way.
  if (reply.ok && reply.status < 500 && reply.status !== 407) return 0;
  process.stderr.write(`${reply.ok ? `status ${reply.status}` : reply.reason}\n`);
  return 1;
}
