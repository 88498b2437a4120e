/**
 * bmat, the program with which a job's script reaches its agent (protocol/agent.md §8): its commands, words and exit codes.
 * `bmat address` and `bmat process` come later.
 */
import type { Clock } from "../doors/clock.ts";
import { errorText } from "../failure.ts";
import { type ControlClient, connectControl } from "./control-client.ts";
import type { ControlReply, ControlRequest } from "./frames.ts";
import { debugText } from "./os-error.ts";

export interface BmatOptions {
  clock: Clock;
  /** BUILDOMAT_NONROOT and BUILDOMAT_OPT say where the agent's socket is. */
  env: Record<string, string | undefined>;
}

/** Asked again this often while a value is not there yet. */
const pollMs = 2000;

/** The arguments are wrong: usage and message, exit 1. */
class UsageError extends Error {
  readonly command: string[];

  constructor(command: string[], message: string) {
    super(message);
    this.command = command;
  }
}

interface Command {
  usage: string;
  flags: string[];
  run(args: string[], flags: Set<string>, bmat: Bmat): Promise<void>;
  /** The least and most arguments, and what is said of any other number. */
  takes: [least: number, most: number, complaint: string];
}

interface Bmat {
  client: ControlClient;
  clock: Clock;
}

const commands: Record<string, Record<string, Command>> = {
  store: {
    get: {
      usage: "[-W] NAME",
      flags: ["-W"],
      run: getValue,
      takes: [1, 1, "specify name of value to fetch from store"],
    },
    put: {
      usage: "[-s] NAME [VALUE]",
      flags: ["-s"],
      run: putValue,
      takes: [1, 2, "specify name of value, and value, to put in store"],
    },
  },
  factory: {
    name: factoryCommand((factory) => factory.name),
    id: factoryCommand((factory) => factory.id),
    private: factoryCommand((factory) => factory.private),
  },
};

/** Resolves with the exit code. */
export async function runBmat(argv: string[], { clock, env }: BmatOptions): Promise<number> {
  try {
    const [group, name, ...rest] = argv;
    if (group === "--help" || name === "--help" || rest[0] === "--help") {
      await Bun.write(Bun.stdout, showUsage([]));
      return 0;
    }
    const found = choose(commands, group, []);
    // The real one wants the agent before it reads on.
    const client = await connectControl(socketPath(env));
    try {
      const command = choose(found, name, [group as string]);
      const words = [group as string, name as string];
      const { args, flags } = parseArguments(command, words, rest);
      await command.run(args, flags, { client, clock });
      return 0;
    } finally {
      client.close();
    }
  } catch (error) {
    const text =
      error instanceof UsageError
        ? `${showUsage(error.command)}\nERROR: ${error.message}\n`
        : `Error: ${errorText(error)}\n`;
    await Bun.write(Bun.stderr, text);
    return 1;
  }
}

function socketPath(env: BmatOptions["env"]): string {
  if (env["BUILDOMAT_NONROOT"] !== "1") return "/var/run/buildomat.sock";
  return `${env["BUILDOMAT_OPT"] ?? "/opt/buildomat"}/run/buildomat.sock`;
}

function choose<T>(among: Record<string, T>, name: string | undefined, before: string[]): T {
  if (name === undefined) throw new UsageError(before, "choose a command");
  const found = Object.hasOwn(among, name) ? among[name] : undefined;
  if (found === undefined) throw new UsageError(before, `command ${debugText(name)} not understood`);
  return found;
}

/** Flags may stand anywhere before `--`. */
function parseArguments(
  command: Command,
  words: string[],
  rest: string[],
): { args: string[]; flags: Set<string> } {
  const end = rest.indexOf("--");
  const before = end === -1 ? rest : rest.slice(0, end);
  const isFlag = (word: string): boolean => word.startsWith("-") && word !== "-";
  const unknown = before.find((word) => isFlag(word) && !command.flags.includes(word));
  if (unknown !== undefined) {
    throw new UsageError(words, `Unrecognized option: '${unknown.replace(/^-+/, "")}'`);
  }
  const args = [...before.filter((word) => !isFlag(word)), ...(end === -1 ? [] : rest.slice(end + 1))];
  const [least, most, complaint] = command.takes;
  if (args.length < least || args.length > most) throw new UsageError(words, complaint);
  return { args, flags: new Set(before.filter(isFlag)) };
}

function showUsage([group, name]: (string | undefined)[]): string {
  const lines: string[] = [];
  for (const [groupName, group_] of Object.entries(commands)) {
    for (const [commandName, { usage }] of Object.entries(group_)) {
      if (group !== undefined && group !== groupName) continue;
      if (name !== undefined && name !== commandName) continue;
      lines.push(`usage: bmat ${groupName} ${commandName} ${usage}`.trimEnd());
    }
  }
  return `${lines.join("\n")}\n`;
}

async function request(client: ControlClient, payload: ControlRequest): Promise<ControlReply> {
  const reply = await client.request(payload);
  if (typeof reply === "object" && "Error" in reply) throw new Error(reply.Error);
  return reply;
}

async function getValue([name]: string[], flags: Set<string>, { client, clock }: Bmat): Promise<void> {
  let hasWarned = false;
  for (;;) {
    const reply = await request(client, { StoreGet: name as string });
    if (typeof reply !== "object" || !("StoreGetResult" in reply)) throw unexpected(reply);
    const found = reply.StoreGetResult;
    if (found !== null) {
      await Bun.write(Bun.stdout, found.value.endsWith("\n") ? found.value : `${found.value}\n`);
      return;
    }
    const absent = `no value for ${debugText(name as string)}`;
    if (flags.has("-W")) throw new Error(`the store has ${absent}`);
    if (!hasWarned) {
      await Bun.write(Bun.stderr, `WARNING: job store has ${absent}; waiting for a value...\n`);
    }
    hasWarned = true;
    await clock.sleep(pollMs);
  }
}

async function putValue([name, value]: string[], flags: Set<string>, { client }: Bmat): Promise<void> {
  const text = value ?? withoutLastNewline(await readStdin());
  const reply = await request(client, { StorePut: [name as string, text, flags.has("-s")] });
  if (reply !== "Ack") throw unexpected(reply);
}

/** The server takes 10 KiB; so much more is read only to tell its user what the server says of it. */
const longestStdinBytes = 256 * 1024;

async function readStdin(): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of Bun.stdin.stream()) {
    parts.push(part);
    length += part.byteLength;
    if (length > longestStdinBytes) throw new Error("maximum value size is 10KiB");
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.concat(parts));
  } catch {
    throw new Error("stream did not contain valid UTF-8");
  }
}

/** A single line is stored without its newline, several lines as they are. */
function withoutLastNewline(text: string): string {
  return text.indexOf("\n") === text.length - 1 ? text.slice(0, -1) : text;
}

function factoryCommand(
  pick: (factory: { id: string; name: string; private: string | null }) => string | null,
): Command {
  return {
    usage: "",
    flags: [],
    takes: [0, 0, "unexpected arguments"],
    run: async (_args, _flags, { client }) => {
      const reply = await request(client, "FactoryInfo").catch((error: unknown) => {
        throw new Error(`could not get factory info: ${errorText(error)}`);
      });
      if (typeof reply !== "object" || !("FactoryInfoResult" in reply)) throw unexpected(reply);
      const picked = pick(reply.FactoryInfoResult);
      if (picked === null) throw new Error("factory private info not available");
      await Bun.write(Bun.stdout, `${picked}\n`);
    },
  };
}

function unexpected(reply: ControlReply): Error {
  return new Error(`unexpected response: ${JSON.stringify(reply)}`);
}
