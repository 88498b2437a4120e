/** The journal as lines for people, and what its jobs come to. Pure. */
import { alignColumns } from "../words/columns.ts";
import { showDuration } from "../words/duration.ts";
import type { Entry, JobEntry, Recorded } from "../words/journal.ts";
import { localMinute, wrap } from "../words/log-line.ts";
import { quantiles } from "./job-view.ts";
import { oneLine, showShortDuration } from "./shown-words.ts";

/** The beginning of a job's ULID that is shown if there is no room for more: `logs` and `history` find the job by it. */
const shortId = 12;
/** So many columns are left for what follows the job's id, or it stays short. */
const roomForName = 40;

/** `columns` of a terminal; null: lines are not wrapped. The latest is the last. */
export function historyLines(entries: readonly Recorded[], columns: number | null): string[] {
  const rows = entries.map(({ atMs, entry }) => ({ ...cells(entry), time: localMinute(atMs) }));
  const heads = ["time", "testbed", "what", "waited", "start", "ran", "job"];
  const isWide = columns === null || columns >= 80 + roomForName;
  const jobs = alignColumns([
    heads,
    ...rows.map(({ time, testbed, what, job, text }) => {
      const { waited = "", start = "", ran = "", id = "" } = job ?? {};
      return [time, testbed, what, waited, start, ran, isWide ? id : id.slice(0, shortId), text];
    }),
  ]);
  const others = alignColumns([
    heads.slice(0, 3),
    ...rows.map(({ time, testbed, what, text }) => [time, testbed, what, text]),
  ]);
  const isOfJobs = rows.some(({ job }) => job !== null);
  return [
    (isOfJobs ? jobs[0] : others[0]) ?? "",
    ...rows.flatMap(({ job }, index) => fold((job === null ? others : jobs)[index + 1] ?? "", columns)),
  ];
}

function fold(line: string, columns: number | null): string[] {
  if (columns === null || Bun.stringWidth(line) <= columns) return [line];
  const [first = "", ...rest] = wrap(line, columns);
  return [first, ...wrap(rest.join(" "), columns - 4).map((each) => `    ${each}`)];
}

interface Cells {
  testbed: string;
  what: string;
  job: { waited: string; start: string; ran: string; id: string } | null;
  text: string;
}

export function cells(entry: Entry): Cells {
  switch (entry.what) {
    case "job":
      return {
        testbed: entry.testbed,
        what: entry.result,
        job: {
          waited: between(entry.queuedMs, entry.leasedMs),
          start: between(entry.leasedMs, entry.wentMs),
          ran: between(entry.wentMs, entry.endedMs),
          id: entry.job ?? "-",
        },
        text: jobText(entry),
      };
    case "act": {
      // The answer says until when, too.
      const { untilMs, answer } = entry;
      const until = untilMs === null || answer !== "" ? "" : ` until ${localMinute(untilMs)}`;
      const words = [`by ${entry.who}${until}`, entry.note, answer].filter((each) => each !== "");
      return { testbed: entry.testbed ?? "-", what: entry.verb, job: null, text: oneLine(words.join(": ")) };
    }
    case "health":
      return { testbed: entry.testbed ?? "-", what: entry.is, job: null, text: oneLine(entry.reason) };
    case "config":
    case "server":
    case "factory": {
      const text = [entry.is, ...entry.lines].join(": ");
      return { testbed: "-", what: entry.what, job: null, text: oneLine(text) };
    }
  }
}

function jobText({ jobName, testbed, seq, reason, isStarted, result }: JobEntry): string {
  const name = jobName ?? `${testbed}/${seq}`;
  const unstarted = isStarted || result === "not begun" ? "" : " before it was started";
  return oneLine(reason === null || reason === "" ? `${name}${unstarted}` : `${name}${unstarted}: ${reason}`);
}

function between(fromMs: number | null, toMs: number | null): string {
  // Two hosts' clocks may differ.
  return fromMs === null || toMs === null ? "-" : showShortDuration(Math.max(0, toMs - fromMs));
}

/** What the jobs among them come to; null: there is none. Those that were not begun are only counted. */
export function summaryLine(entries: readonly Recorded[]): string | null {
  const jobs = entries.flatMap(({ entry }) => (entry.what === "job" ? entry : []));
  if (jobs.length === 0) return null;
  const results = [...Map.groupBy(jobs, ({ result }) => result)].toSorted(
    ([, one], [, other]) => other.length - one.length,
  );
  const counts = results.map(([result, { length }]) => `${length} ${result}`).join(", ");
  const begun = jobs.filter(({ result }) => result !== "not begun");
  const times = (from: keyof JobEntry & `${string}Ms`, to: keyof JobEntry & `${string}Ms`): number[] =>
    begun.flatMap((job) => {
      const [fromMs, toMs] = [job[from], job[to]];
      return fromMs === null || toMs === null ? [] : Math.max(0, toMs - fromMs);
    });
  const parts = [
    spread("waited", times("queuedMs", "leasedMs")),
    spread("ran", times("wentMs", "endedMs")),
  ].filter((each) => each !== null);
  const all = `${jobs.length} ${jobs.length === 1 ? "job" : "jobs"}: ${counts}`;
  return parts.length === 0 ? all : `${all}; ${parts.join(", ")}`;
}

/** Null: no values. */
export function spread(what: string, values: number[]): string | null {
  const [middle, high] = quantiles(values, [0.5, 0.9]);
  if (middle === undefined || high === undefined) return null;
  const most = values.length === 1 ? "" : ` (90 %: ${showDuration(high)})`;
  return `${what} ${showDuration(middle)}${most}`;
}
