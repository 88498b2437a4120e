/**
 * bmat, the program with which a job's script reaches its agent (lib/agent/README.md "bmat"): its commands, words and
 * exit codes.
 */
import type { Clock } from "../../doors/clock.ts";
import { errorText } from "../../words/failure.ts";
import { addressCommands, engineeringCommands } from "./address.ts";
import type { BmatCommand } from "./command.ts";
import { factoryCommands } from "./factory-command.ts";
import { readOptions, UsageError } from "./options.ts";
import { processCommands } from "./process.ts";
import { storeCommands } from "./store.ts";
import { type ControlClient, connectControl } from "./control-client.ts";
import { debugText, errorCode } from "../os-error.ts";

export interface BmatOptions {
  clock: Clock;
  /** BUILDOMAT_NONROOT and BUILDOMAT_OPT say where the agent's socket is, unless `--base` does. */
  env: Record<string, string | undefined>;
}

const groups: Record<string, Record<string, BmatCommand>> = {
  store: storeCommands,
  address: addressCommands,
  process: processCommands,
  factory: factoryCommands,
  eng: engineeringCommands,
};

/** Resolves with the exit code. */
export async function runBmat(argv: string[], { clock, env }: BmatOptions): Promise<number> {
  // `bin/bmat` passes it: a task with an empty environment could not find its agent otherwise.
  const [base, words] = argv[0] === "--base" ? [argv[1], argv.slice(2)] : [undefined, argv];
  try {
    const top = readOptions(words, {}, []);
    if (top.wantsHelp) return await help([]);
    const [group, found] = choose(groups, top.args[0], []);
    // The real one wants the agent before it reads on.
    const client = await connect(base, env);
    const level = readOptions(top.args.slice(1), {}, [group]);
    if (level.wantsHelp) return await help([group]);
    const [name, command] = choose(found, level.args[0], [group]);
    const before = [group, name];
    const options = readOptions(level.args.slice(1), command.flags, before);
    if (options.wantsHelp) return await help(before);
    const [least, most, complaint] = command.takes;
    const count = options.args.length;
    if (count < least || count > most) throw new UsageError(before, complaint);
    await command.run(options, { client, clock, env });
    return 0;
  } catch (error) {
    const text =
      error instanceof UsageError
        ? `${showUsage(error.command)}\nERROR: ${error.message}\n`
        : `Error: ${errorText(error)}\n`;
    await Bun.write(Bun.stderr, text);
    return 1;
  }
}

/** The real agent's place in root mode; our agent listens there too if that path is its instance's own. */
const rootSocketPath = "/var/run/buildomat.sock";

async function connect(base: string | undefined, env: BmatOptions["env"]): Promise<ControlClient> {
  const isNonRoot = env["BUILDOMAT_NONROOT"] === "1";
  const directory = base ?? (isNonRoot ? (env["BUILDOMAT_OPT"] ?? "/opt/buildomat") : null);
  let isTold = false;
  const retrying = (why: string): void => {
    // The real one's words.
    if (!isTold) void Bun.write(Bun.stderr, `WARNING: control request failure (retrying): ${why}\n`);
    isTold = true;
  };
  if (directory === null) return await connectControl(rootSocketPath, retrying);
  return await connectControl(`${directory}/run/buildomat.sock`, retrying).catch((error: unknown) => {
    // A task of another user may not enter the agent's directory.
    if (base !== undefined && error instanceof Error && errorCode(error.cause) === "EACCES") {
      return connectControl(rootSocketPath, retrying);
    }
    throw error;
  });
}

/** By name or alias. */
function choose<T extends object>(
  among: Record<string, T>,
  name: string | undefined,
  before: string[],
): [name: string, chosen: T] {
  if (name === undefined) throw new UsageError(before, "choose a command");
  const isMeant = ([each, found]: [string, T]): boolean =>
    each === name || ("alias" in found && found.alias === name);
  const chosen = Object.entries(among).find(isMeant);
  if (chosen === undefined) throw new UsageError(before, `command ${debugText(name)} not understood`);
  return chosen;
}

async function help(command: string[]): Promise<number> {
  await Bun.write(Bun.stdout, showUsage(command));
  return 0;
}

function showUsage([group, name]: (string | undefined)[]): string {
  const lines: string[] = [];
  for (const [groupName, commands] of Object.entries(groups)) {
    for (const [commandName, { usage }] of Object.entries(commands)) {
      if (group !== undefined && group !== groupName) continue;
      if (name !== undefined && name !== commandName) continue;
      if (usage === null && group === undefined) continue;
      lines.push(`usage: bmat ${groupName} ${commandName} ${usage ?? ""}`.trimEnd());
    }
  }
  return `${lines.join("\n")}\n`;
}
