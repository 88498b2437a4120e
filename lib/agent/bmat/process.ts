/** `bmat process`: processes that the agent starts beside the task, as if the task had. */
/* oxlint-disable no-restricted-properties -- bmat is a program of its own: its directory and its user are this process's */
import { keptPrefix } from "../../hosts/agent-program.ts";
import { errorText } from "../../words/failure.ts";
import { type Bmat, type BmatCommand, request, unexpected } from "./command.ts";
import type { Options } from "./options.ts";

export const processCommands: Record<string, BmatCommand> = {
  start: {
    usage: "NAME COMMAND [ARGS...]",
    flags: {},
    takes: [2, Number.POSITIVE_INFINITY, "specify at least a process name and a command to run"],
    run: startProcess,
  },
};

async function startProcess({ args }: Options, { client, env }: Bmat): Promise<void> {
  const [name, cmd, ...rest] = args as [string, string, ...string[]];
  const reply = await request(client, {
    ProcessStart: {
      name,
      cmd,
      args: rest,
      env: Object.fromEntries(
        Object.entries(env).map(([key, value = ""]) => [
          key.startsWith(keptPrefix) ? key.slice(keptPrefix.length) : key,
          value,
        ]),
      ),
      pwd: process.cwd(),
      uid: process.geteuid?.() ?? 0,
      gid: process.getegid?.() ?? 0,
    },
  }).catch((error: unknown) => {
    throw new Error(`could not start process: ${errorText(error)}`);
  });
  if (reply !== "Ack") throw unexpected(reply);
}
