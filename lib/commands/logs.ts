/**
 * The verb `logs`: shows the log of an instance's agent, or another file of its directory. Jobs write to these files, so that on a
 * terminal all control characters are made harmless.
 */
import { mkdtempSync } from "node:fs";
import { type BaseArgs, findBase, readTestbeds } from "../config/locations.ts";
import type { Clock } from "../doors/clock.ts";
import type { Files } from "../doors/files.ts";
import { openLabConnections } from "../hosts/wiring.ts";
import { instanceName } from "../words/domain.ts";
import { FactoryError } from "../words/failure.ts";
import { usageError } from "./command-line.ts";
import { readInstanceFile } from "./instance-file.ts";
import { openJournal } from "./journal-source.ts";
import { clientOf } from "./lab-snapshot.ts";
import { openLogScreen } from "./log-screen.ts";
import { checkFile, findInstance, isRunning } from "./log-source.ts";
import { programOf, type ThisProcess } from "./this-process.ts";

const lookAgainMs = 250;

type Read = (offset: number) => ReturnType<Files["readPiece"]>;

export interface LogsOptions {
  /** What is shown, for people. */
  name: string;
  read: Read;
  /** Goes on until the instance has ended, or `signal` aborts. */
  follows: boolean;
  signal: AbortSignal;
  isOpen(): Promise<boolean>;
  clock: Pick<Clock, "sleep">;
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
  if (args.instance === undefined) throw usageError("logs needs a testbed, an instance or a job's id");
  const { files, output, errors } = here;
  const file = checkFile(args.file ?? "agent.log");
  const program = await programOf(here);
  const base = findBase(args, program.surroundings);
  const interrupted = new AbortController();
  here.once("SIGINT", () => interrupted.abort());
  const directory = mkdtempSync(`${here.temporaryDirectory}/factory-logs-`);
  const connections = openLabConnections(directory, program);
  const journal = await openJournal(here, base);
  try {
    const named = await findInstance(args.instance, journal);
    const client = clientOf(here, base);
    const asked = await client.log(instanceName(named), file, 0);
    const read: Read = async (offset) => {
      // A running factory has a connection to that host, and may read what this user may not.
      const piece =
        asked.ok && asked.value !== null ? await client.log(instanceName(named), file, offset) : asked;
      if (piece.ok && piece.value !== null) return piece.value;
      const instance = journal.instance(named);
      if (instance !== null) {
        const testbeds = readTestbeds(base, program.surroundings);
        return await readInstanceFile({ ...here, connections, testbeds }, instance, file, offset);
      }
      if (piece.ok) return null;
      throw new FactoryError(`Cannot show ${file} of ${instanceName(named)}: ${piece.reason}`);
    };
    return await showLog({
      ...here,
      name: `${file} of ${instanceName(named)}`,
      read,
      follows: args.follow === true,
      signal: interrupted.signal,
      isOpen: async () => await isRunning(journal, named),
      isTerminal: output.isTerminal,
      write: output.write,
      tell: (line) => errors.write(`${line}\n`),
    });
  } finally {
    journal.close();
    await connections.close();
    await files.removeTree(directory);
  }
}

/** Resolves with the exit code. */
export async function showLog(options: LogsOptions): Promise<number> {
  const { name, read, follows, signal, clock, write, tell } = options;
  const screen = options.isTerminal ? openLogScreen(write) : null;
  const show = screen?.show ?? write;
  let at = 0;
  for (;;) {
    // Asked before the log is read, so that what is written until the end is not missed.
    const isOver = !follows || signal.aborted || !(await options.isOpen());
    const size = await drain(read, at, show).catch((error: unknown) => {
      // Ctrl+C may have ended ssh as well.
      if (signal.aborted) return at;
      throw error;
    });
    if (size === null) {
      if (isOver && at === 0) {
        tell(`there is no ${name}`);
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
