/**
 * A job that an sp-runner service runs on the board, in place of its tasks' scripts (protocol/sp-runner-api.md): submitted
 * once, followed until its true end. A submission whose answer is lost is never repeated; the board tells what became of it.
 */
import type { RunnerResult } from "../sp-runner-api.ts";
import type { Task } from "../worker-api.ts";
import { confirmMs, pause, throwIfOver, watchBoard } from "./board-watch.ts";
import { followJob, type FollowOptions, type JobEnd, saidBy } from "./runner-job.ts";
import type { RunnerRecord, Verdict } from "./runner-record.ts";
import type { RunnerTestbed } from "./runner-testbed.ts";
import { findFile, findReport, listFiles, type OutputPlace, readReport, usualNames } from "./test-files.ts";

export interface HardwareTest extends FollowOptions {
  testbed: RunnerTestbed;
  tasks: Task[];
  /** The output directory as this program sees it. */
  output: string;
  /** How far an agent before this one came with it; null: nothing was submitted. */
  before: RunnerRecord | null;
  record(state: RunnerRecord): void;
}

type End = JobEnd | { is: "refused"; why: string };
interface Taken {
  is: "taken";
  job: string;
  isAdopted: boolean;
}

/** The service may refuse a board that it said is available: so often it is asked. */
const mostRefusals = 3;
/** A board that is neither free nor at work wants a person, or the factory to recover it. */
const unfreeMs = 300_000;
/** So long a service may take to begin what was submitted, with nobody waiting for the answer. */
const cutOffMs = 60_000;
const longestSetting = 200;
const longestText = 4000;

/** Resolves with the true outcome. Rejects with JobOver where the job is not ours any more. */
export async function runHardwareTest(test: HardwareTest): Promise<Verdict> {
  const { before } = test;
  if (before?.phase === "ended") {
    // The agent before this one may not have come to it.
    for (const line of before.lines) await test.tell("worker", `sp-runner: ${line}`);
    return before.verdict;
  }
  const settings = { test_type: setting(test, "SP_TEST_TYPE"), baseline: setting(test, "SP_BASELINE") };
  const bad = Object.entries(settings).find(([, value]) => !isPlain(value));
  if (bad !== undefined) {
    await test.tell("worker", `sp-runner: ${bad[0]} ${JSON.stringify(bad[1])} cannot be used`);
    return { isGood: false, files: [] };
  }
  const taken = await begin(test, settings);
  if (taken.is !== "taken") return await conclude(test, taken, false);
  const { job, isAdopted } = taken;
  test.record({ phase: "submitted", job, isAdopted });
  if (before?.phase !== "submitted") await test.tell("worker", `sp-runner: ${showJob(taken)}`);
  return await conclude(test, await followJob(test, job), isAdopted);
}

async function begin(test: HardwareTest, settings: Settings): Promise<Taken | End> {
  const { before } = test;
  if (before?.phase === "submitted") return { ...before, is: "taken" };
  // That submission was cut off, and may be at work in the service yet.
  if (before?.phase === "submitting") {
    const { bootId } = test.clock;
    const sinceMs = before.at?.bootId === bootId ? test.clock.uptimeMs() - before.at.uptimeMs : 0;
    return await settle(test, Math.max(confirmMs, cutOffMs - sinceMs));
  }
  await test.tell("worker", `sp-runner: ${settings.test_type} from baseline ${settings.baseline}`);
  return await submit(test, settings);
}

interface Settings {
  test_type: string;
  baseline: string;
}

async function submit(test: HardwareTest, settings: Settings): Promise<Taken | End> {
  const { clock } = test;
  const { testbed, input_dir, output_dir, disable_watchdog } = test.testbed;
  for (let refusals = 1; ; refusals += 1) {
    const unfree = await awaitFreeBoard(test);
    if (unfree !== null) return { is: "refused", why: `the board takes no job: ${unfree}` };
    test.record({ phase: "submitting", at: { bootId: clock.bootId, uptimeMs: clock.uptimeMs() } });
    const answer = await test.runner.submit({
      testbed,
      input_dir,
      output_dir,
      ...settings,
      disable_watchdog,
    });
    throwIfOver(test);
    if (answer.ok) return { is: "taken", job: answer.value, isAdopted: false };
    if (answer.refusal === "no answer") {
      await test.tell("worker", `sp-runner: the answer to the submission was lost: ${saidBy(answer)}`);
      return await settle(test, confirmMs);
    }
    const why = `sp-runner does not take the job: ${answer.message}`;
    if (answer.status !== 409) return { is: "refused", why };
    // Another's job is on the board; or ours is, and this is the answer to something between that sent it again.
    await test.tell("worker", `sp-runner: ${why}; waiting until its board is idle`);
    await awaitIdleBoard(test);
    const hasReport = (await findReport(placeOf(test))) !== null;
    if (hasReport) return { is: "lost", why: "sp-runner refused the job, and ran it", isOver: true };
    if (refusals === mostRefusals) return { is: "refused", why };
  }
}

/** Resolves with null once it would take a job. One that another's job is on is waited for, any other for a while: why not. */
async function awaitFreeBoard(test: HardwareTest): Promise<string | null> {
  const { clock } = test;
  const look = watchBoard(test);
  let sinceMs = clock.uptimeMs();
  for (let isTold = false; ; isTold = true) {
    const board = await look();
    if (board.isFree) return null;
    if (!isTold) await test.tell("worker", `sp-runner: waiting for the board: ${board.state}`);
    if (board.isAtWork) sinceMs = clock.uptimeMs();
    else if (clock.uptimeMs() - sinceMs >= unfreeMs) return board.state;
    await pause(test);
  }
}

async function awaitIdleBoard(test: HardwareTest): Promise<void> {
  const look = watchBoard(test);
  for (;;) {
    const { idleMs } = await look();
    if (idleMs !== null && idleMs >= confirmMs) return;
    await pause(test);
  }
}

/** What became of a job that the service gave no name for. One that the board works on is taken for ours, until its end. */
async function settle(test: HardwareTest, idleForMs: number): Promise<Taken | End> {
  const look = watchBoard(test);
  for (;;) {
    const { job, idleMs } = await look();
    if (job !== null) return { is: "taken", job, isAdopted: true };
    if (idleMs !== null && idleMs >= idleForMs) {
      const why = "the job was submitted and its answer lost, and its board is idle";
      return { is: "lost", why, isOver: true };
    }
    await pause(test);
  }
}

/** The end is on the disk before it is told: an agent that is started again goes on from there. */
async function conclude(test: HardwareTest, end: End, isAdopted: boolean): Promise<Verdict> {
  const { lines, isOver, ...verdict } = await judge(test, end, isAdopted);
  if (isOver) test.record({ phase: "ended", verdict, lines });
  for (const line of lines) await test.tell("worker", `sp-runner: ${line}`);
  return verdict;
}

interface Judgement extends Verdict {
  lines: string[];
  isOver: boolean;
}

async function judge(test: HardwareTest, end: End, isAdopted: boolean): Promise<Judgement> {
  const place = placeOf(test);
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
): Promise<{ files: string[]; missing: string[]; isReportMissing: boolean }> {
  const files = new Set<string>();
  const missing: string[] = [];
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
  }
  for (const usual of usualNames) {
    const name = await findFile(place, usual);
    if (name !== null) files.add(name);
  }
  return { files: [...files], missing, isReportMissing };
}

function showJob({ job, isAdopted }: Taken): string {
  const name = job.slice(0, longestSetting);
  return isAdopted ? `its board works on ${name}, which is taken for this job` : `it runs as ${name}`;
}

function showResult({ outcome, duration_secs: seconds, tests_run: count, error }: RunnerResult): string {
  const tests = count === null || count === undefined ? "" : `, ${count} tests`;
  const time = seconds === null || seconds === undefined ? "" : ` in ${seconds} s`;
  return `${outcome}${tests}${time}${(error ?? "") === "" ? "" : `: ${error}`}`.slice(0, longestText);
}

function showReport(report: { outcome: string | null } | null): string {
  if (report === null) return "it left no report";
  if (report.outcome === null) return "its report does not tell an outcome";
  return `the report that it left says ${report.outcome.slice(0, longestSetting)}`;
}

function placeOf({ testbed, output }: HardwareTest): OutputPlace {
  return { named: testbed.output_dir, seen: output };
}

/** The job may choose it by its task's environment. */
function setting({ tasks, testbed }: HardwareTest, name: "SP_TEST_TYPE" | "SP_BASELINE"): string {
  const chosen = tasks.find(({ env }) => env[name] !== undefined)?.env[name];
  return chosen ?? (name === "SP_BASELINE" ? testbed.baseline : testbed.test_type);
}

function isPlain(value: string): boolean {
  return value !== "" && value.length <= longestSetting && !/\p{Cc}/u.test(value);
}
