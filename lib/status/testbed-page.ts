/** Everything about one testbed, as `status TESTBED` shows it. Pure. */
import { alignColumns } from "../words/columns.ts";
import { showDuration } from "../words/duration.ts";
import type { JobEntry } from "../words/journal.ts";
import { localTime, wrap } from "../words/log-line.ts";
import { type Screen, showHead, spansOf } from "./overview.ts";
import { cut, oneLine, type Paint, resultSigns, showResults, showState } from "./shown-words.ts";
import type { Snapshot, TestbedSnapshot } from "./snapshot.ts";

/** `jobs` are its last ones, the latest last; null: they cannot be read. */
export function showTestbedPage(
  snapshot: Snapshot,
  testbed: TestbedSnapshot,
  jobs: JobEntry[] | null,
  shown: Screen,
): string[] {
  const { paint, columns } = shown;
  const { recent } = testbed;
  const facts: Facts = [
    ...testbedFacts(testbed, snapshot, paint),
    ["log", logLines(testbed)],
    ["last", recent.length === 0 ? [] : [`${showResults(recent, paint)}  (${legend(recent)})`]],
  ];
  const room = columns === null ? Number.POSITIVE_INFINITY : Math.max(columns - 11, 20);
  return [
    ...showHead({ ...snapshot, shared: [] }, shown),
    "",
    oneLine(testbed.testbed),
    ...facts.flatMap(([title, lines]) =>
      lines
        .flatMap((line) => wrap(line, room))
        .map((line, index) => `  ${(index === 0 ? title : "").padEnd(9)}${line}`.trimEnd()),
    ),
    ...(jobs === null || jobs.length === 0 ? [] : ["", ...showJobs(jobs, columns)]),
  ];
}

/** Each a title and its lines, which may be none. */
type Facts = [title: string, lines: string[]][];

export function testbedFacts(testbed: TestbedSnapshot, { madeMs }: Snapshot, paint: Paint): Facts {
  const { state, sinceMs, note, health, targets, type } = testbed;
  const since = sinceMs === null ? "" : ` since ${localTime(sinceMs)}`;
  return [
    ["state", [`${showState({ state }, paint)}${since}`]],
    ["next job", [nextText(testbed)]],
    ["job", jobLines(testbed, madeMs)],
    ["free at", freeLines(testbed)],
    ["intent", intentLines(testbed)],
    ["health", [healthText(health)]],
    ["where", [whereText(testbed)]],
    ["serves", [`${targets.map(oneLine).join(", ") || "nothing"} (${type ?? "no longer configured"})`]],
    ["note", note === "" ? [] : [oneLine(note)]],
  ];
}

function nextText({ state, whyNot, whyNotNext, job, untilMs }: TestbedSnapshot): string {
  if (state === "free") return "is taken at once: the server is asked for one all the time";
  if (job !== null) {
    return whyNotNext === null
      ? "is taken after this one"
      : `is not taken after this one: ${oneLine(whyNotNext)}`;
  }
  const until = untilMs === null ? "" : ` before ${localTime(untilMs)}`;
  return `is not taken${until}: ${oneLine(whyNot ?? "")}`;
}

function jobLines(testbed: TestbedSnapshot, madeMs: number): string[] {
  const { job } = testbed;
  if (job === null) return [];
  const { name, id, instance, worker, queuedMs, leasedMs, wentMs, endReason, stuck, silentMs } = job;
  const { waitedMs, ranMs } = spansOf(testbed, madeMs);
  const times = [
    queuedMs === null ? null : `submitted ${localTime(queuedMs)}`,
    `leased ${localTime(leasedMs)}`,
    wentMs === null ? null : `started ${localTime(wentMs)}`,
    waitedMs === null ? null : `waited ${showDuration(waitedMs)}`,
    ranMs === null ? null : `ran ${showDuration(ranMs)}`,
  ];
  return [
    `${name === null ? "name not known yet" : `"${oneLine(name)}"`} ${id ?? ""}`.trimEnd(),
    `instance ${instance}${worker === null ? "" : `, worker ${worker}`}`,
    times.filter((each) => each !== null).join(", "),
    ...(endReason === null ? [] : [`it ends: ${oneLine(endReason)}`]),
    ...(stuck === null ? [] : [`it cannot go on: ${oneLine(stuck)}`]),
    ...(silentMs === null
      ? []
      : [`silent for ${showDuration(silentMs)}, longer than any job of its name was`]),
  ];
}

function freeLines({ freeAt, job, state }: TestbedSnapshot): string[] {
  if (job === null || state === "ending") return [];
  if (freeAt === null && job.name === null) return ["not known: the job's name is not known yet"];
  if (freeAt === null) return ["not known: no earlier job of this name ran this long here"];
  const { ms, earliestMs, latestMs, jobs } = freeAt;
  const from = `from ${jobs} ${jobs === 1 ? "job" : "jobs"} of this name`;
  return [`about ${localTime(ms)} (between ${localTime(earliestMs)} and ${localTime(latestMs)}, ${from})`];
}

function intentLines({ intent }: TestbedSnapshot): string[] {
  if (intent === null) return [];
  const { kind, who, note, sinceMs, untilMs, isAfterJob } = intent;
  const until = untilMs === null ? "until it is taken back" : `until ${localTime(untilMs)}`;
  const when = isAfterJob ? "after its job" : `since ${localTime(sinceMs)}`;
  return [`${kind} by ${oneLine(who)} ${when}, ${until}${note === "" ? "" : `: ${oneLine(note)}`}`];
}

function healthText(health: TestbedSnapshot["health"]): string {
  if (health === null) return "no failure of the lab counts against it";
  const { strikes, reason } = health;
  return `the lab failed ${strikes === 1 ? "once" : `${strikes} times in a row`}, the last time: ${oneLine(reason)}`;
}

function whereText({ host, service }: TestbedSnapshot): string {
  if (host !== null) return `on ${oneLine(host)}, over ssh`;
  return service === null ? "on this host" : `at the sp-runner service ${oneLine(service)}`;
}

function logLines({ testbed, job }: TestbedSnapshot): string[] {
  const follow = job === null ? "" : " -f";
  return [`buildomat-factory-sp-test logs ${oneLine(testbed)}${follow}`];
}

function legend(results: TestbedSnapshot["recent"]): string {
  return [...new Set(results)].map((result) => `${resultSigns[result]} ${result}`).join(", ");
}

/** What failed stands below its line if that is too long with it. */
function showJobs(jobs: JobEntry[], columns: number | null): string[] {
  const rows = jobs
    .toReversed()
    .map(({ result, jobName, job, wentMs, endedMs, seq }) => [
      `  ${resultSigns[result]} ${result}`,
      localTime(endedMs),
      wentMs === null ? "" : showDuration(Math.max(0, endedMs - wentMs)),
      `/${seq}`,
      oneLine(jobName ?? job ?? ""),
    ]);
  const [head = "", ...lines] = alignColumns([["  last jobs", "ended", "ran", "instance", "job"], ...rows]);
  const reasons = jobs.toReversed().map(({ reason }) => oneLine(reason ?? ""));
  return [
    head,
    ...lines.flatMap((line, index) => {
      const reason = reasons[index] ?? "";
      if (reason === "") return cutTo(line, columns);
      const whole = `${line}  ${reason}`;
      if (columns === null || Bun.stringWidth(whole) <= columns) return whole;
      return [
        cutTo(line, columns),
        ...wrap(reason, Math.max(columns - 6, 20)).map((each) => `      ${each}`),
      ];
    }),
  ];
}

const cutTo = (line: string, columns: number | null): string =>
  columns === null ? line : cut(line, columns);
