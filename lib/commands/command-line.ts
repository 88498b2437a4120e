/**
 * Reads the words after the program's name: which command they name, its arguments, usage, and mistakes in them. It must not know
 * what a command does.
 */
import { type ArgsDef, type CommandDef, parseArgs, renderUsage } from "citty";
import { alignColumns } from "../words/columns.ts";
import { didYouMean } from "../config/problems.ts";
import { errorText, FactoryError } from "../words/failure.ts";

/** `Here`: what each command gets of the process. */
export interface Command<Here> {
  description: string;
  args?: ArgsDef;
  /** Two command lines without the program's name, each with what it does. */
  examples?: [string, string][];
  /** Not in the usage: only the program itself and jobs call it. */
  isHidden?: boolean;
  /** It gets all words after its name, unparsed. */
  takesRest?: boolean;
  /** Resolves with the exit code. `args` has the given arguments by their long names. */
  run(here: Here, args: Record<string, unknown>, rest: string[]): Promise<number>;
}

export interface CommandLine<Here> {
  name: string;
  description: string;
  commands: Record<string, Command<Here>>;
  /** The command if the first word is a flag, or there are no words. */
  usual: string;
  version: string;
  print(line: string): void;
  here: Here;
}

/** citty fills each line up to the longest: a narrow terminal would show a blank line below each. */
async function showUsage(...what: Parameters<typeof renderUsage>): Promise<string> {
  return (await renderUsage(...what)).replaceAll(/ +$/gm, "");
}

class UsageError extends FactoryError {}

/** Words in, exit code out. Throws FactoryError if the words contain a mistake. */
export async function runCommandLine<Here>(words: string[], program: CommandLine<Here>): Promise<number> {
  const { commands, usual, print, here } = program;
  const [first] = words;
  if (first === "--version" || first === "-V") {
    print(program.version);
    return 0;
  }
  const usualCommand = commands[usual];
  if (first === "--help" || first === "-h" || first === "help") {
    print(await showUsage(commandTree(program)));
    if (usualCommand !== undefined) {
      print(`\nWithout a command, as for \`${usual}\`:`);
      print(await showUsage(definition(usual, usualCommand)));
    }
    return 0;
  }
  const isFlag = first === undefined || first.startsWith("-");
  const name = isFlag ? usual : first;
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    const shown = Object.keys(commandTree(program).subCommands ?? {});
    throw usageError(`Unknown command "${name}"${didYouMean(name, shown)}`);
  }
  const rest = isFlag ? words : words.slice(1);
  if (command.takesRest === true) return await command.run(here, {}, rest);
  if (rest.includes("--help") || rest.includes("-h")) {
    print(await showUsage(definition(name, command), commandTree(program)));
    const examples = (command.examples ?? []).map(([line, what]) => ["", `${program.name} ${line}`, what]);
    if (examples.length > 0) print(["EXAMPLES\n", ...alignColumns(examples), ""].join("\n"));
    return 0;
  }
  try {
    return await command.run(here, readArgs(command.args ?? {}, rest), rest);
  } catch (error) {
    if (!(error instanceof UsageError) || isFlag) throw error;
    throw new FactoryError(error.message, { hint: `${program.name} ${name} --help shows how it is used` });
  }
}

/** The user made a mistake in the words. */
export function usageError(message: string): FactoryError {
  return new UsageError(message, { hint: "buildomat-factory-sp-test --help lists commands and flags" });
}

export function readArgs(definitions: ArgsDef, rest: string[]): Record<string, unknown> {
  const known = Object.entries(definitions).flatMap(([name, arg]) => [
    name,
    camelCase(name),
    ...("alias" in arg ? [arg.alias].flat() : []),
  ]);
  const places = Object.values(definitions).filter(({ type }) => type === "positional").length;
  const parsed = parse(rest, definitions);
  const flag = Object.keys(parsed).find((name) => name !== "_" && !known.includes(name));
  if (flag !== undefined) {
    const typed = rest.find((word) => word.replace(/=.*/, "").endsWith(flag)) ?? flag;
    throw usageError(`Unknown flag "${typed}"${didYouMean(flag, Object.keys(definitions), "--")}`);
  }
  const extra = parsed._[places];
  if (extra !== undefined) throw usageError(`Unknown argument "${extra}"`);
  const empty = Object.keys(definitions).find((name) => parsed[name] === "");
  if (empty !== undefined) throw usageError(`--${empty} needs a value`);
  return parsed;
}

/** Mistakes that citty finds are usage errors, too. */
function parse(rest: string[], definitions: ArgsDef): ReturnType<typeof parseArgs> {
  try {
    return parseArgs(rest, definitions);
  } catch (error) {
    throw usageError(errorText(error));
  }
}

function camelCase(name: string): string {
  return name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

function definition(
  name: string,
  { description, args }: Pick<Command<never>, "description" | "args">,
): CommandDef {
  // A flag without a description is for install.sh alone.
  const shown = Object.entries(args ?? {}).filter(([, arg]) => arg.description !== undefined);
  return { meta: { name, description }, args: Object.fromEntries(shown) };
}

/** The program and its visible commands. */
export function commandTree<Here>({
  name,
  description,
  commands,
}: Pick<CommandLine<Here>, "name" | "description" | "commands">): CommandDef {
  const shown = Object.entries(commands).filter(([, { isHidden }]) => isHidden !== true);
  return {
    meta: { name, description },
    subCommands: Object.fromEntries(shown.map(([word, command]) => [word, definition(word, command)])),
  };
}
