/** The snapshot as people read it: the factory, the server, what concerns several testbeds, and a line for each testbed. Pure. */
import { limits } from "../policy/times-and-limits.ts";
import { alignColumns, listNames } from "../words/columns.ts";
import { showDuration } from "../words/duration.ts";
import { localTime, wrap } from "../words/log-line.ts";
import {
  cut,
  oneLine,
  type Paint,
  showResults,
  showShortDuration,
  showShortTime,
  showState,
} from "./shown-words.ts";
import type { Snapshot, TestbedSnapshot } from "./snapshot.ts";

export interface Screen {
  /** Null: a line may be as long as it likes. */
  columns: number | null;
  paint: Paint;
}

/** From here on there is room for ids and whole times. */
const wideColumns = 160;
const shortResults = 5;
/** What is left of a name or a job's name where a line has no room. */
const leastColumns = 8;

export function showOverview(snapshot: Snapshot, shown: Screen): string[] {
  return [...showHead(snapshot, shown), "", ...showTable(snapshot, shown)];
}

export function showHead(snapshot: Snapshot, { columns, paint }: Screen): string[] {
  const { madeMs, factory, ifStopped, remarks, shared } = snapshot;
  const lines = [
    `${localTime(madeMs)}  ${factoryText(snapshot)}`,
    ...serverLines(snapshot),
    ...(ifStopped === null ? [] : [`If the factory stopped now: ${ifStopped}`]),
    // A fix is indented.
    ...remarks.map((remark) => `${/^ */.exec(remark)?.[0] ?? ""}${paint(oneLine(remark), "yellow")}`),
    // Without a factory the first line says it.
    ...(factory.isRunning ? shared : []).map(
      ({ reason, testbeds }) =>
        `${paint(oneLine(reason), "red")}: ${listNames(testbeds.map(oneLine), limits.instancesNamed)}`,
    ),
  ];
  return lines.flatMap((line) => wrapIn(line, columns));
}

export function factoryText({ factory, source }: Snapshot): string {
  const { isRunning, version, startedMs, mode, database } = factory;
  const path = oneLine(database);
  if (!isRunning) return `No factory is running on ${path}: no job is taken`;
  if (source === "files") return `A factory is running on ${path}. This is what its files say`;
  const since = startedMs === null ? "" : `, since ${localTime(startedMs)}`;
  const drains = mode === "drain" ? "; it drains: it takes nothing new" : "";
  const hands = mode === "hand over" ? "; another version takes over in a moment" : "";
  return `The factory is running on ${path} (${version ?? "?"}${since})${drains}${hands}`;
}

export function serverLines({ server }: Snapshot): string[] {
  const { url, is, sinceMs, reason, leases } = server;
  if (is === "not known") return [];
  const since = sinceMs === null ? "" : ` since ${localTime(sinceMs)}`;
  const did = is === "not asked yet" ? "was not asked yet" : is;
  const why = reason === null ? "" : `: ${oneLine(reason)}`;
  const waiting =
    leases === 0 ? "" : `; ${leases} leased ${leases === 1 ? "job waits" : "jobs wait"} for a testbed`;
  return [`The server ${oneLine(url ?? "")} ${did}${since}${why}${waiting}`];
}

function showTable(snapshot: Snapshot, shown: Screen): string[] {
  const { testbeds, shared } = snapshot;
  if (testbeds.length === 0) return ["no testbed is configured"];
  const isWide = shown.columns === null || shown.columns >= wideColumns;
  const told = new Set(shared.map(({ reason }) => reason));
  const reasons = testbeds.map((testbed) => reasonsOf(testbed, told));
  const rows = testbeds.map((testbed) => (isWide ? wideRow : shortRow)(testbed, snapshot, shown));
  const titles = isWide ? wideTitles : shortTitles;
  const [head = "", ...lines] = alignColumns(fit([titles, ...rows], shown.columns), isWide ? "  " : " ");
  return [
    head,
    ...testbeds.flatMap(({ note }, index) => {
      const line = lines[index] ?? "";
      const [first = "", ...more] = reasons[index] ?? [];
      const isBeside =
        isWide && first !== "" && more.length === 0 && fitsIn(`${line}  ${first}`, shown.columns);
      const below = [
        ...(isBeside ? [] : (reasons[index] ?? [])),
        ...(note === "" ? [] : [`note: ${oneLine(note)}`]),
      ];
      return [
        isBeside ? `${line}  ${first}` : line,
        ...below.flatMap((text) => wrapIn(text, shown.columns, 4).map((each) => `    ${each}`)),
      ];
    }),
  ];
}

const shortTitles = ["testbed", "type", "state", "since", "job", "waited", "ran", "free at", "last"];

function shortRow(testbed: TestbedSnapshot, { madeMs }: Snapshot, { paint }: Screen): string[] {
  const { waitedMs, ranMs } = spansOf(testbed, madeMs);
  return [
    oneLine(testbed.testbed),
    oneLine(testbed.type ?? ""),
    showState(testbed, paint),
    testbed.sinceMs === null ? "" : showShortTime(testbed.sinceMs, madeMs),
    jobText(testbed),
    waitedMs === null ? "" : showShortDuration(waitedMs),
    ranMs === null ? "" : showShortDuration(ranMs),
    freeText(testbed, madeMs),
    showResults(testbed.recent.slice(-shortResults), paint),
  ];
}

const wideTitles = ["testbed", "type", "state", "since", "job", "id", "waited", "ran", "free at", "last"];

function wideRow(testbed: TestbedSnapshot, { madeMs }: Snapshot, { paint }: Screen): string[] {
  const { waitedMs, ranMs } = spansOf(testbed, madeMs);
  const { freeAt } = testbed;
  const span =
    freeAt === null
      ? ""
      : ` (${showShortTime(freeAt.earliestMs, madeMs)} to ${showShortTime(freeAt.latestMs, madeMs)})`;
  return [
    oneLine(testbed.testbed),
    oneLine(testbed.type ?? ""),
    showState(testbed, paint),
    testbed.sinceMs === null ? "" : localTime(testbed.sinceMs),
    oneLine(testbed.job?.name ?? ""),
    testbed.job?.id ?? "",
    waitedMs === null ? "" : showDuration(waitedMs),
    ranMs === null ? "" : showDuration(ranMs),
    `${freeText(testbed, madeMs)}${span}`,
    showResults(testbed.recent, paint),
  ];
}

export function jobText({ job }: TestbedSnapshot): string {
  if (job === null) return "";
  return oneLine(job.name ?? job.id ?? job.instance);
}

/** How long its job waited for its start, and has run. Never negative: the wall clock may have been set back. */
export function spansOf(
  { job, state }: TestbedSnapshot,
  madeMs: number,
): { waitedMs: number | null; ranMs: number | null } {
  if (job === null) return { waitedMs: null, ranMs: null };
  const { queuedMs, leasedMs, wentMs } = job;
  const startMs = wentMs ?? (state === "preparing" ? madeMs : null);
  return {
    waitedMs: startMs === null ? null : Math.max(0, startMs - (queuedMs ?? leasedMs)),
    ranMs: wentMs === null ? null : Math.max(0, madeMs - wentMs),
  };
}

export function freeText({ state, freeAt, untilMs }: TestbedSnapshot, madeMs: number): string {
  if (state === "free") return "now";
  if (freeAt !== null) return `~${showShortTime(freeAt.ms, madeMs)}`;
  if (untilMs !== null) return showShortTime(untilMs, madeMs);
  return state === "running" || state === "preparing" ? "unknown" : "";
}

/** Each a line. What concerns several testbeds stands above the table. */
export function reasonsOf(testbed: TestbedSnapshot, told: ReadonlySet<string>): string[] {
  const { state, job, whyNot, whyNotNext, untilMs, intent, health } = testbed;
  if (job !== null) {
    const { endReason, stuck, silentMs } = job;
    return [
      endReason,
      stuck !== null && told.has(stuck) ? null : stuck,
      silentMs === null ? null : `silent for ${showDuration(silentMs)}`,
      whyNotNext === null || told.has(whyNotNext) ? null : `no job after this one: ${whyNotNext}`,
    ].flatMap((each) => (each === null ? [] : oneLine(each)));
  }
  if (state === "free") return health === null ? [] : [`failed last: ${oneLine(health.reason)}`];
  if (whyNot === null || state === "disabled" || told.has(whyNot)) return [];
  const until = untilMs === null ? "" : `until ${localTime(untilMs)}: `;
  const failures =
    health !== null && intent === null && untilMs !== null ? `${health.strikes} in a row: ` : "";
  return [`${until}${failures}${oneLine(whyNot)}`];
}

/** Cuts the names and the jobs' names so that a line has no more than so many columns. */
function fit(rows: string[][], columns: number | null): string[][] {
  if (columns === null) return rows;
  const width = (column: number): number =>
    Math.max(...rows.map((row) => Bun.stringWidth(row[column] ?? "")));
  const gap = columns >= wideColumns ? 2 : 1;
  const widths = (rows[0] ?? []).map((_, column) => width(column));
  const all = widths.reduce((sum, each) => sum + each + gap, -gap);
  let over = all - columns;
  if (over <= 0) return rows;
  // The job's name first, then the testbed's.
  const most = new Map<number, number>();
  for (const column of [4, 0]) {
    const now = widths[column] ?? 0;
    const then = Math.max(Math.min(now, leastColumns), now - Math.max(over, 0));
    over -= now - then;
    most.set(column, then);
  }
  return rows.map((row) =>
    row.map((cell, column) => {
      const limit = most.get(column);
      return limit === undefined ? cell : cut(cell, limit);
    }),
  );
}

function fitsIn(text: string, columns: number | null): boolean {
  return columns === null || Bun.stringWidth(text) <= columns;
}

function wrapIn(text: string, columns: number | null, indent = 0): string[] {
  return wrap(text, columns === null ? Number.POSITIVE_INFINITY : Math.max(columns - indent, 20));
}
