/** How a hardware test came out: by the service's result if there is one, else by the files that the test left. */
import type { RunnerResult } from "../../runner/sp-runner.ts";
import { pause } from "./board-watch.ts";
import type { FollowOptions, JobEnd } from "./follow-job.ts";
import type { Verdict } from "./record.ts";
import type { RunnerTestbed } from "./testbed.ts";
import {
  findFile,
  findReport,
  isInside,
  listFiles,
  type OutputPlace,
  readReport,
  usualNames,
} from "./test-files.ts";

export interface JudgeOptions extends FollowOptions {
  testbed: RunnerTestbed;
  /** The output directory as this program sees it. */
  output: string;
}

export type TestEnd = JobEnd | { is: "refused"; why: string };

/** So much later a service may write its files, and a shared file system show them. */
const filesMs = 20_000;
const longestOutcome = 200;
const longestText = 4000;

export interface Judgement extends Verdict {
  /** For the job's owner. */
  lines: string[];
  /** The board has nothing of the job any more. */
  isOver: boolean;
}

/** Rejects with JobOver. `isAdopted`: the board said that the job is on it, and it may be another one. */
export async function judge(test: JudgeOptions, end: TestEnd, isAdopted: boolean): Promise<Judgement> {
  const place = placeOf(test);
  if (end.is === "told") await awaitFiles(test, end.result);
  if (end.is === "told" && (!isAdopted || (await hasLeftReport(place, end.result)))) {
    const { files, missing, isReportMissing } = await collect(place, end.result);
    const isGood = end.result.outcome === "passed" && !isReportMissing;
    const fails = isReportMissing ? ["the job fails, for the report that its result names is not there"] : [];
    return { isGood, files, lines: [...missing, showResult(end.result), ...fails], isOver: true };
  }
  const all = await listFiles(place);
  switch (end.is) {
    case "told": {
      const why = "the job that the board worked on left nothing in this job's directory: it was another one";
      // Ours may be on the board yet.
      return { isGood: false, files: all, lines: [why], isOver: false };
    }
    case "broken": {
      const named = end.result === null ? null : await collect(place, end.result);
      const files = [...new Set([...(named?.files ?? []), ...all])];
      return { isGood: false, files, lines: [...(named?.missing ?? []), end.why], isOver: !isAdopted };
    }
    case "refused":
      return { isGood: false, files: all, lines: [end.why], isOver: true };
    case "lost": {
      const report = await readReport(place);
      const isGood = report?.outcome === "passed";
      return { isGood, files: all, lines: [`${end.why}; ${showReport(report)}`], isOver: end.isOver };
    }
  }
}

/** Until the files that a result names are there, or ought to be. */
async function awaitFiles(test: JudgeOptions, result: RunnerResult): Promise<void> {
  const endMs = test.clock.uptimeMs() + filesMs;
  for (let isTold = false; ; isTold = true) {
    const { isLate } = await collect(placeOf(test), result);
    if (!isLate || test.clock.uptimeMs() >= endMs) return;
    if (!isTold) await test.tell("worker", "sp-runner: waiting for the files that its result names");
    await pause(test);
  }
}

/** The directory was empty before: what is there is this job's. */
async function hasLeftReport(place: OutputPlace, { report_path: path }: RunnerResult): Promise<boolean> {
  return (
    (await findReport(place)) !== null ||
    ((path ?? "") !== "" && (await findFile(place, path ?? "")) !== null)
  );
}

/** The files that a result names and the usual ones; and what it names that is none. */
async function collect(
  place: OutputPlace,
  result: RunnerResult,
): Promise<{ files: string[]; missing: string[]; isReportMissing: boolean; isLate: boolean }> {
  const files = new Set<string>();
  const missing: string[] = [];
  let isLate = false;
  let isReportMissing = false;
  for (const key of ["report_path", "summary_path", "log_path"] as const) {
    const path = result[key] ?? "";
    if (path === "") continue;
    const name = await findFile(place, path);
    if (name !== null) {
      files.add(name);
      continue;
    }
    missing.push(`its ${key} ${path.slice(0, longestText)} is no file in the output directory`);
    isReportMissing ||= key === "report_path";
    isLate ||= await isInside(place, path);
  }
  for (const usual of usualNames) {
    const name = await findFile(place, usual);
    if (name !== null) files.add(name);
  }
  return { files: [...files], missing, isReportMissing, isLate };
}

function showResult({ outcome, duration_secs: seconds, tests_run: count, error }: RunnerResult): string {
  const tests = count === null || count === undefined ? "" : `, ${count} tests`;
  const time = seconds === null || seconds === undefined ? "" : ` in ${seconds} s`;
  return `${outcome}${tests}${time}${(error ?? "") === "" ? "" : `: ${error}`}`.slice(0, longestText);
}

function showReport(report: { outcome: string | null } | null): string {
  if (report === null) return "it left no report";
  if (report.outcome === null) return "its report does not tell an outcome";
  return `the report that it left says ${report.outcome.slice(0, longestOutcome)}`;
}

export function placeOf({ testbed, output }: JudgeOptions): OutputPlace {
  return { named: testbed.output_dir, seen: output };
}
