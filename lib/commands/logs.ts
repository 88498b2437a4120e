/**
 * The verb `logs`: shows the log of an instance's agent, or another file of its directory. Jobs write to these files, so that on a
 * terminal all control characters are made harmless.
 */
import { mkdtempSync } from "node:fs";
import { z } from "zod";
import { type BaseArgs, findBase, readTestbeds } from "../config/locations.ts";
import { openLabConnections } from "../hosts/wiring.ts";
import { readFarPiece } from "../hosts/ssh/far-file.ts";
import { withKeysOfToday } from "../hosts/ssh/far-host.ts";
import { directoryName, type Instance, instanceName } from "../words/domain.ts";
import type { Clock } from "../doors/clock.ts";
import type { Files } from "../doors/files.ts";
import { FactoryError } from "../words/failure.ts";
import { harmless, peopleLine } from "../words/log-line.ts";
import { usageError } from "./command-line.ts";
import { openForReading } from "./database.ts";
import { programOf, type ThisProcess } from "./this-process.ts";

/** How much is read at once. */
const pieceBytes = 64 * 1024;
const lookAgainMs = 250;

export interface LogsOptions {
  /** `testbed`, `testbed/seq` or `testbed_seq`. */
  name: string;
  /** Relative to the instance's directory. */
  file: string;
  /** Goes on until the instance has ended, or `signal` aborts. */
  follows: boolean;
  signal: AbortSignal;
  /** All instances on record. */
  instances: Instance[];
  /** The instances that are open now. */
  open(): Instance[];
  /** On the host of that instance. */
  readPiece(
    instance: Instance,
    path: string,
    offset: number,
    maxBytes: number,
  ): ReturnType<Files["readPiece"]>;
  clock: Clock;
  isTerminal: boolean;
  write(bytes: Uint8Array): void;
  /** For remarks that are not part of the log. */
  tell(line: string): void;
}

/** The verb: of the base that `args` name, in this process. */
export async function showInstanceLog(
  here: ThisProcess,
  args: BaseArgs & { instance?: string; follow?: boolean; file?: string },
): Promise<number> {
  if (args.instance === undefined) throw usageError("logs needs a testbed or an instance");
  const { clock, random, files, output, errors } = here;
  const program = await programOf(here);
  const base = findBase(args, program.surroundings);
  const store = await openForReading(base.database, files);
  const interrupted = new AbortController();
  here.once("SIGINT", () => interrupted.abort());
  const directory = mkdtempSync(`${here.temporaryDirectory}/factory-logs-`);
  const connections = openLabConnections(directory, program);
  const testbeds = readTestbeds(base, program.surroundings);
  try {
    return await showLog({
      name: args.instance,
      file: args.file ?? "agent.log",
      follows: args.follow === true,
      signal: interrupted.signal,
      instances: store === null ? [] : [...store.open(), ...store.ended()],
      open: () => store?.open() ?? [],
      readPiece: async ({ testbed, place }, path, offset, maxBytes) => {
        if (place.way !== "ssh") return await files.readPiece(path, offset, maxBytes);
        const connection = connections.to(withKeysOfToday(testbeds, testbed, place.ssh));
        return await readFarPiece(connection, { path, offset, maxBytes, random });
      },
      clock,
      isTerminal: output.isTerminal,
      write: output.write,
      tell: (line) => errors.write(`${line}\n`),
    });
  } finally {
    store?.close();
    await connections.close();
    await files.removeTree(directory);
  }
}

type Read = (offset: number) => ReturnType<Files["readPiece"]>;

/** Resolves with the exit code. Throws FactoryError if no instance has this name, or the file is outside its directory. */
export async function showLog(options: LogsOptions): Promise<number> {
  const { follows, signal, clock, write, tell } = options;
  const instance = findInstance(options.name, options.instances);
  const path = `${instance.place.directory}/${checkFile(options.file)}`;
  const read: Read = async (offset) => await options.readPiece(instance, path, offset, pieceBytes);
  const screen = options.isTerminal ? openScreen(write) : null;
  const show = screen?.show ?? write;
  let at = 0;
  for (;;) {
    // Asked before the log is read, so that what is written until the end is not missed.
    const isOver = !follows || signal.aborted || !isAmong(instance, options.open());
    const size = await drain(read, at, show).catch((error: unknown) => {
      // Ctrl+C may have ended ssh as well.
      if (signal.aborted) return at;
      throw error;
    });
    if (size === null) {
      if (isOver && at === 0) {
        tell(`${instanceName(instance)} has no ${options.file}: ${path} does not exist`);
        return 1;
      }
    } else if (size < at) {
      tell("the log was cut to its size limit; some lines may be missing here");
      at = size;
    } else {
      at = size;
    }
    screen?.pause(isOver);
    if (isOver) return 0;
    await clock.sleep(lookAgainMs, signal);
  }
}

/** Shows all from `at` on. Resolves with the log's size, which is below `at` if it was cut; null: it does not exist. */
async function drain(read: Read, at: number, show: (bytes: Uint8Array) => void): Promise<number | null> {
  let position = at;
  for (;;) {
    const piece = await read(position);
    if (piece === null) return position === 0 ? null : position;
    if (piece.size < position) return piece.size;
    if (piece.bytes.length === 0) return position;
    show(piece.bytes);
    position += piece.bytes.length;
  }
}

function checkFile(file: string): string {
  if (file !== "" && !file.startsWith("/") && !file.split("/").includes("..")) return file;
  throw new FactoryError(
    `Cannot show ${JSON.stringify(file)}: it is not a path within an instance's directory`,
    {
      hint: "For example opt/etc/job-done.json or minder/exit.json",
    },
  );
}

function isAmong({ testbed, seq }: Instance, instances: Instance[]): boolean {
  return instances.some((each) => each.testbed === testbed && each.seq === seq);
}

function findInstance(name: string, instances: Instance[]): Instance {
  const named = instances.filter(
    (each) => each.testbed === name || instanceName(each) === name || directoryName(each) === name,
  );
  const [latest] = named.toSorted((one, other) => other.seq - one.seq);
  if (latest !== undefined) return latest;
  const testbeds = [...new Set(instances.map(({ testbed }) => testbed))].toSorted();
  throw new FactoryError(`Cannot show a log: no instance is called "${name}"`, {
    hint:
      testbeds.length === 0
        ? "No job has run here yet"
        : `Give a testbed (${testbeds.join(", ")}) or one of its instances, for example ${testbeds[0]}/1`,
  });
}

/** A line of JSON is held back until it is whole, if it is no longer than this. */
const longestLine = 64 * 1024;

/** For a terminal: lines of this program's log are formatted for people; all other text is made harmless. */
function openScreen(write: LogsOptions["write"]): {
  show(bytes: Uint8Array): void;
  /** Shows what can be shown of an unfinished line; `isEnd`: nothing will follow. */
  pause(isEnd: boolean): void;
} {
  const decoder = new TextDecoder();
  const put = (text: string): void => {
    if (text !== "") write(new TextEncoder().encode(harmless(text)));
  };
  let rest = "";
  let isBegun = false;
  /** Shows the beginning of a line that is not whole yet. */
  const flush = (): void => {
    put(rest);
    rest = "";
    isBegun = true;
  };
  return {
    show: (bytes) => {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        put((isBegun ? null : logLine(line)) ?? `${line}\n`);
        isBegun = false;
      }
      if (rest.length >= longestLine) flush();
    },
    pause: (isEnd) => {
      if (rest === "" || (!isEnd && !isBegun && rest.startsWith("{"))) return;
      flush();
    },
  };
}

const entrySchema = z.looseObject({ time: z.iso.datetime(), level: z.string(), message: z.string() });

/** Null: it is not a line of this program's log. */
function logLine(line: string): string | null {
  if (!line.startsWith('{"time":')) return null;
  try {
    const { time, level, message, ...fields } = entrySchema.parse(JSON.parse(line));
    // The whole log is about one job.
    delete fields["job"];
    return peopleLine({ timeMs: Date.parse(time), level, message, fields });
  } catch {
    return null;
  }
}
