/** The verb `history`: what the journal says of jobs, operators' acts, health and the factory, and what its jobs come to. */
import { type BaseArgs, findBase } from "../config/locations.ts";
import { didYouMean } from "../config/problems.ts";
import { historyLines, summaryLine } from "../status/history-lines.ts";
import { parseDurationMs } from "../words/duration.ts";
import { FactoryError } from "../words/failure.ts";
import type { JournalQuery, Recorded } from "../words/journal.ts";
import { isUlidStart } from "../words/ulid.ts";
import { usageError } from "./command-line.ts";
import { type Journal, openJournal } from "./journal-source.ts";
import { lookAround, type ThisProcess } from "./this-process.ts";

export interface HistoryArgs extends BaseArgs {
  testbed?: string;
  since?: string;
  job?: string;
  failed?: boolean;
  json?: boolean;
  count?: string;
}

/** Without `--since`. */
const usualCount = 50;
/** The factory answers no more at once. */
const pageOf = 1000;

export async function showHistory(here: ThisProcess, args: HistoryArgs): Promise<number> {
  const { clock, output, print } = here;
  const { testbed, since, failed, json } = args;
  const sinceMs = since === undefined ? null : Math.max(0, clock.wallMs() - readSince(since));
  const most = readCount(args.count) ?? (since === undefined ? usualCount : Number.POSITIVE_INFINITY);
  const base = findBase(args, await lookAround(here));
  const journal = await openJournal(here, base);
  try {
    const query = {
      ...(testbed === undefined ? {} : { testbed }),
      ...(sinceMs === null ? {} : { sinceMs }),
      ...(failed === true ? { what: ["job" as const] } : {}),
    };
    const isWanted = ({ entry }: Recorded): boolean =>
      failed !== true || (entry.what === "job" && (entry.result === "failed" || entry.result === "lost"));
    const found = await findEntries(journal, query, args.job, { most, isWanted });
    if (json === true) printJson(found.entries, print);
    else {
      if (journal.remark !== null) here.errors.write(`${journal.remark}\n`);
      if (found.entries.length === 0) print(await nothingText(args, journal));
      else printLines(found, output.size()?.columns ?? null, print);
    }
    return 0;
  } finally {
    journal.close();
  }
}

interface Found {
  /** The oldest first. */
  entries: Recorded[];
  /** There are older ones. */
  isCut: boolean;
}

/** `job`: its ULID or the beginning of that, else its name. */
async function findEntries(
  journal: Journal,
  query: Omit<JournalQuery, "most">,
  job: string | undefined,
  limit: { most: number; isWanted(entry: Recorded): boolean },
): Promise<Found> {
  if (job === undefined) return await readPages(journal, query, limit);
  const byId = isUlidStart(job)
    ? await readPages(journal, { ...query, job: job.toUpperCase() }, limit)
    : null;
  return byId !== null && byId.entries.length > 0
    ? byId
    : await readPages(journal, { ...query, jobName: job }, limit);
}

async function readPages(
  journal: Journal,
  query: Omit<JournalQuery, "most">,
  { most, isWanted }: { most: number; isWanted(entry: Recorded): boolean },
): Promise<Found> {
  const pages: Recorded[][] = [];
  let count = 0;
  let beforeId: number | null = null;
  for (;;) {
    const page: Recorded[] = await journal.read({
      ...query,
      ...(beforeId === null ? {} : { beforeId }),
      most: pageOf,
    });
    const wanted = page.filter(isWanted);
    pages.push(wanted);
    count += wanted.length;
    const [oldest] = page;
    if (oldest === undefined || count > most) break;
    beforeId = oldest.id;
  }
  const entries = pages.toReversed().flat();
  const isCut = entries.length > most;
  return { entries: isCut ? entries.slice(-most) : entries, isCut };
}

function printLines({ entries, isCut }: Found, columns: number | null, print: (line: string) => void): void {
  for (const line of historyLines(entries, columns)) print(line);
  const summary = summaryLine(entries);
  if (summary !== null) print(`\n${summary}`);
  if (isCut) print(`these are the last ${entries.length}; -n or --since shows more`);
}

/** One entry a line, however many there are. */
function printJson(entries: Recorded[], print: (line: string) => void): void {
  print('{"format":1,"entries":[');
  entries.forEach((entry, index) =>
    print(`${JSON.stringify(entry)}${index === entries.length - 1 ? "" : ","}`),
  );
  print("]}");
}

async function nothingText({ testbed, since, job, failed }: HistoryArgs, journal: Journal): Promise<string> {
  const conditions = [since, job, failed].some((each) => each !== undefined && each !== false);
  if (testbed === undefined)
    return conditions
      ? "no job that has ended is like that; `status` shows those that run"
      : "nothing is recorded yet";
  const names = await journal.testbeds();
  const meant = names.includes(testbed) ? "" : didYouMean(testbed, names);
  if (meant !== "") throw new FactoryError(`Nothing is recorded of "${testbed}"${meant}`);
  return `nothing${conditions ? " like that" : ""} is recorded of ${testbed}`;
}

function readSince(text: string): number {
  const ms = parseDurationMs(text);
  if (ms === null) throw usageError(`--since ${text} is not a duration such as 12h or 7d`);
  return ms;
}

function readCount(text: string | undefined): number | null {
  if (text === undefined) return null;
  if (!/^[1-9]\d{0,8}$/.test(text)) throw usageError(`-n ${text} is not a count`);
  return Number(text);
}
