/** The verb `status`: the snapshot of the lab as a table, one testbed's page, or one JSON document; once or each second. */
import { type Base, type BaseArgs, findBase, type Surroundings } from "../config/locations.ts";
import { didYouMean } from "../config/problems.ts";
import { type Screen, showOverview } from "../status/overview.ts";
import { painted, plain } from "../status/shown-words.ts";
import { type Snapshot, snapshotJsonSchema } from "../status/snapshot.ts";
import { showTestbedPage } from "../status/testbed-page.ts";
import { FactoryError } from "../words/failure.ts";
import type { JobEntry } from "../words/journal.ts";
import { harmless, wrap } from "../words/log-line.ts";
import { openJournal } from "./journal-source.ts";
import { type LabDoors, readSnapshot } from "./lab-snapshot.ts";
import { lookAround, type ThisProcess } from "./this-process.ts";

export interface StatusArgs extends BaseArgs {
  testbed?: string;
  json?: boolean;
  watch?: boolean;
  schema?: boolean;
}

const everyMs = 1000;

export async function showStatus(here: ThisProcess, args: StatusArgs): Promise<number> {
  const { print, output, clock } = here;
  if (args.schema === true) {
    print(JSON.stringify(snapshotJsonSchema(), null, 2));
    return 0;
  }
  const surroundings = await lookAround(here);
  const base = findBase(args, surroundings);
  const show = async (): Promise<string[]> => await showOnce(here, args, base, surroundings);
  if (args.watch !== true) {
    for (const line of await show()) print(line);
    return 0;
  }
  const ended = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) here.once(signal, () => ended.abort());
  const put = (text: string): void => output.write(new TextEncoder().encode(text));
  let before = "";
  // A mistake in the words ends it; what goes wrong later may pass, for example a file that is half edited. Programs get no text.
  let isShown = false;
  while (!ended.signal.aborted) {
    const lines: string[] = isShown
      ? await show().catch((error: unknown) => describeFault(error, output.size()))
      : await show();
    isShown = args.json !== true;
    const size = args.json === true ? null : output.size();
    try {
      // For programs one document a line, and for a file a blank line between two looks.
      if (size === null) put(`${lines.join("\n")}\n${args.json === true ? "" : "\n"}`);
      else {
        // Another size wraps what is there in another way.
        const isNew = before !== JSON.stringify(size);
        before = JSON.stringify(size);
        put(frameOf(lines, size.rows, isNew));
      }
    } catch (error) {
      // Nobody watches any more.
      if (error instanceof Error && "code" in error && (error.code === "EPIPE" || error.code === "EIO"))
        return 0;
      throw error;
    }
    await clock.sleep(everyMs, ended.signal);
  }
  return 0;
}

function describeFault(error: unknown, size: { columns: number } | null): string[] {
  if (!(error instanceof FactoryError)) throw error;
  const text = error.hint === undefined ? error.message : `${error.message}\n  ${error.hint}`;
  return wrap(harmless(text), size?.columns ?? Number.POSITIVE_INFINITY);
}

/** One write that replaces what is shown, line by line: nothing is blank in between. */
export function frameOf(lines: string[], rows: number, isNew: boolean): string {
  const most = Math.max(rows - 1, 2);
  const shown =
    lines.length <= most
      ? lines
      : [
          ...lines.slice(0, most - 1),
          `... and ${lines.length - most + 1} more lines: this window is too low`,
        ];
  return `${isNew ? "\x1b[2J" : ""}\x1b[H${shown.map((line) => `${line}\x1b[K\n`).join("")}\x1b[J`;
}

async function showOnce(
  here: ThisProcess,
  { json, watch, testbed }: StatusArgs,
  base: Base,
  surroundings: Surroundings,
): Promise<string[]> {
  const snapshot = await readSnapshot(here, base, surroundings);
  const named = testbed === undefined ? null : findTestbed(snapshot, testbed);
  if (json === true) {
    const chosen = named === null ? snapshot : { ...snapshot, testbeds: [named] };
    return [watch === true ? JSON.stringify(chosen) : JSON.stringify(chosen, null, 2)];
  }
  const size = here.output.size();
  const isColoured = size !== null && (here.around.env["NO_COLOR"] ?? "") === "";
  const shown: Screen = { columns: size?.columns ?? null, paint: isColoured ? painted : plain };
  if (named === null) return showOverview(snapshot, shown);
  return showTestbedPage(snapshot, named, await readJobs(here, base, named.testbed), shown);
}

/** The last jobs of a testbed, the latest last; null: they cannot be read. */
async function readJobs(doors: LabDoors, base: Base, testbed: string): Promise<JobEntry[] | null> {
  try {
    const journal = await openJournal(doors, base);
    const last = await journal.read({ testbed, what: ["job"], most: 10 }).finally(journal.close);
    return last.flatMap(({ entry }) => (entry.what === "job" ? [entry] : []));
  } catch (error) {
    if (error instanceof FactoryError) return null;
    throw error;
  }
}

function findTestbed({ testbeds }: Snapshot, name: string): Snapshot["testbeds"][number] {
  const found = testbeds.find(({ testbed }) => testbed === name);
  if (found !== undefined) return found;
  const names = testbeds.map(({ testbed }) => testbed);
  throw new FactoryError(`No testbed is called "${name}"${didYouMean(name, names)}`, {
    hint: names.length === 0 ? "No testbed is configured" : `There are ${names.join(", ")}`,
  });
}
