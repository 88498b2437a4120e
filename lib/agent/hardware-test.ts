/**
 * A job that an sp-runner service runs on the board, in place of its tasks' scripts (protocol/sp-runner-api.md): submitted
 * once, followed until its true end. A submission whose answer is lost is never repeated; the board tells what became of it.
 */
import { realpath, readFile, stat } from "node:fs/promises";
import { z } from "zod";
import type { Clock } from "../doors/clock.ts";
import { isAtWork, type RunnerResult, type SpRunnerApi } from "../sp-runner-api.ts";
import type { Task } from "../worker-api.ts";
import { type JobCalls, JobOver } from "./job-calls.ts";

/** What the factory says of the testbed in testbed.json. */
const runnerSchema = z.object({
  testbed: z.string(),
  sp_runner_url: z.string(),
  test_type: z.string(),
  baseline: z.string(),
  disable_watchdog: z.boolean(),
});

/** Null where the testbed has no such service. */
export function readRunner(testbed: string | null): HardwareTest["testbed"] | null {
  try {
    const known = runnerSchema.safeParse(testbed === null ? null : JSON.parse(testbed));
    return known.success ? known.data : null;
  } catch {
    return null;
  }
}

export async function isSameDirectory(one: string, other: string): Promise<boolean> {
  const [first, second] = await Promise.all([one, other].map((path) => stat(path).catch(() => null)));
  return first?.ino === second?.ino && first?.dev === second?.dev && first !== null;
}

/** How far it has come, written down before it is done: what the factory knows of the board when this program is gone. */
export type RunnerRecord =
  | { phase: "submitting" }
  | { phase: "submitted"; job: string }
  /** The service said that the job is over, or took none, or the board was seen idle for long enough. */
  | { phase: "ended" };

export interface HardwareTest {
  testbed: z.output<typeof runnerSchema>;
  tasks: Task[];
  runner: SpRunnerApi;
  calls: JobCalls;
  clock: Clock;
  /** As the service knows them: files are shared, not sent. */
  inputDirectory: string;
  outputDirectory: string;
  /** The same as jobs and this program see it. */
  seenOutput: string;
  record(state: RunnerRecord): void;
  tell(stream: string, payload: string): Promise<void>;
}

export interface Verdict {
  isGood: boolean;
  /** Files to be uploaded whatever the job's rules say. */
  files: string[];
}

const pollMs = 1000;
/** A board that is idle this long apart, twice, has no job of ours. */
const confirmMs = 10_000;
const longestSetting = 200;

/** Resolves with the true outcome. Rejects with JobOver where the job is not ours any more. */
export async function runHardwareTest(test: HardwareTest): Promise<Verdict> {
  const settings = { test_type: setting(test, "SP_TEST_TYPE"), baseline: setting(test, "SP_BASELINE") };
  const bad = Object.entries(settings).find(([, value]) => !isPlain(value));
  if (bad !== undefined) return await fail(test, `${bad[0]} ${JSON.stringify(bad[1])} cannot be used`);
  await test.tell("worker", `sp-runner: ${settings.test_type} from baseline ${settings.baseline}`);
  const job = await submit(test, settings);
  if (typeof job !== "string") return await conclude(test, job);
  return await conclude(test, await follow(test, job));
}

/** How it came to an end: by the service's word, without it, or refused. */
type End = { result: RunnerResult } | { lost: string } | { refused: string };

async function submit(
  test: HardwareTest,
  settings: { test_type: string; baseline: string },
): Promise<string | End> {
  const { runner, testbed } = test;
  test.record({ phase: "submitting" });
  const answer = await runner.submit({
    testbed: testbed.testbed,
    input_dir: test.inputDirectory,
    output_dir: test.outputDirectory,
    ...settings,
    disable_watchdog: testbed.disable_watchdog,
  });
  if (answer.ok) return answer.value;
  throwIfOver(test);
  if (answer.refusal !== "no answer")
    return { refused: `sp-runner does not take the job: ${answer.message}` };
  await test.tell("worker", `sp-runner: the answer to the submission was lost (${answer.message})`);
  return await settle(test, "the job was submitted and its answer lost");
}

/** What became of a job that the service gave no name for: one that the board works on is ours, for we hold the testbed. */
async function settle(test: HardwareTest, what: string): Promise<string | End> {
  const { runner, testbed, clock } = test;
  let idleSinceMs: number | null = null;
  for (;;) {
    const boards = await runner.boards();
    throwIfOver(test);
    const board = boards.ok ? boards.value.find(({ name }) => name === testbed.testbed) : undefined;
    if (board !== undefined && (board.current_job ?? "") !== "") return board.current_job as string;
    if (board === undefined || isAtWork(board)) idleSinceMs = null;
    else idleSinceMs ??= clock.uptimeMs();
    if (idleSinceMs !== null && clock.uptimeMs() - idleSinceMs >= confirmMs) {
      test.record({ phase: "ended" });
      return { lost: `${what}, and its board is idle` };
    }
    await pause(test);
  }
}

/** Until the service says that the job is over. What it cannot say is asked again, for as long as it takes. */
async function follow(test: HardwareTest, job: string): Promise<End> {
  const { runner } = test;
  test.record({ phase: "submitted", job });
  let told = "";
  let isTroubled = false;
  for (;;) {
    const answer = await runner.status(job);
    throwIfOver(test);
    if (answer.ok) {
      const { status, error } = answer.value;
      const progress = answer.value.progress ?? "";
      if (progress !== told) await test.tell("stdout", progress);
      told = progress;
      if (status === "failed") {
        const why = `the lab failed it: ${error ?? "no reason is given"}`;
        return { result: { outcome: "error", duration_secs: 0, tests_run: 0, error: why } };
      }
      if (status === "completed") return await fetchResult(test, job);
      isTroubled = false;
    } else if (answer.status === 404) {
      const again = await settle(test, "sp-runner does not know the job any more");
      if (typeof again !== "string") return again;
      if (again !== job) return { lost: "sp-runner does not know the job any more, and runs another one" };
    } else {
      if (!isTroubled) await test.tell("worker", `sp-runner: ${answer.message}; asked again`);
      isTroubled = true;
    }
    await pause(test);
  }
}

async function fetchResult(test: HardwareTest, job: string): Promise<End> {
  for (;;) {
    const answer = await test.runner.result(job);
    throwIfOver(test);
    if (answer.ok) return { result: answer.value };
    if (answer.status === 404) return { lost: "sp-runner ran the job, and has no result of it any more" };
    await pause(test);
  }
}

async function conclude(test: HardwareTest, end: End): Promise<Verdict> {
  if ("refused" in end) {
    test.record({ phase: "ended" });
    return await fail(test, end.refused);
  }
  if ("lost" in end) {
    const report = await readReport(test);
    if (report === null) return await fail(test, `${end.lost}; it left no report`);
    await test.tell("worker", `sp-runner: ${end.lost}; the report that it left says ${report}`);
    const { files } = await collect(test, {});
    return { isGood: report === "passed", files };
  }
  test.record({ phase: "ended" });
  const { outcome, duration_secs: seconds, tests_run: count, error } = end.result;
  const { files, missing } = await collect(test, end.result);
  for (const line of missing) await test.tell("worker", `sp-runner: ${line}`);
  const why = error === undefined || error === null ? "" : `: ${error}`;
  await test.tell("worker", `sp-runner: ${outcome}, ${count} tests in ${seconds} s${why}`);
  return { isGood: outcome === "passed" && missing.length === 0, files };
}

/** The files that a result names, as they are seen here; what it names and is not there, or is not in the output directory. */
async function collect(
  { outputDirectory, seenOutput }: HardwareTest,
  result: Partial<RunnerResult>,
): Promise<{ files: string[]; missing: string[] }> {
  const files: string[] = [];
  const missing: string[] = [];
  const usual = { report_path: "test-report.json", summary_path: "test-summary.json", log_path: null };
  for (const [key, name] of Object.entries(usual)) {
    const named = result[key as keyof typeof usual] ?? null;
    if (named === null && name === null) continue;
    const path = named ?? `${outputDirectory}/${name}`;
    const seen = path.startsWith(`${outputDirectory}/`)
      ? `${seenOutput}${path.slice(outputDirectory.length)}`
      : null;
    const real = seen === null ? null : await realpath(seen).catch(() => null);
    const isInside = real !== null && real.startsWith(`${await realpath(seenOutput)}/`);
    if (seen !== null && isInside && (await stat(real)).isFile()) files.push(seen);
    else if (named !== null) missing.push(`its ${key} ${named} is no file in the output directory`);
  }
  return { files, missing };
}

/** The outcome that the report tells; null where there is none that can be read. */
async function readReport({ seenOutput }: HardwareTest): Promise<string | null> {
  try {
    const path = `${seenOutput}/test-report.json`;
    if ((await realpath(path)) !== `${await realpath(seenOutput)}/test-report.json`) return null;
    const report = z.object({ outcome: z.string() }).safeParse(JSON.parse(await readFile(path, "utf8")));
    return report.success ? report.data.outcome : null;
  } catch {
    return null;
  }
}

async function fail(test: HardwareTest, reason: string): Promise<Verdict> {
  await test.tell("worker", `sp-runner: ${reason}`);
  return { isGood: false, files: [] };
}

/** The job may choose it by its task's environment. */
function setting({ tasks, testbed }: HardwareTest, name: "SP_TEST_TYPE" | "SP_BASELINE"): string {
  const chosen = tasks.find(({ env }) => env[name] !== undefined)?.env[name];
  return chosen ?? (name === "SP_BASELINE" ? testbed.baseline : testbed.test_type);
}

function isPlain(value: string): boolean {
  return value !== "" && value.length <= longestSetting && !/\p{Cc}/u.test(value);
}

async function pause({ clock, calls }: HardwareTest): Promise<void> {
  await clock.sleep(pollMs, calls.signal);
  if (calls.signal.aborted) throw new JobOver();
}

function throwIfOver({ calls }: HardwareTest): void {
  if (calls.signal.aborted) throw new JobOver();
}
