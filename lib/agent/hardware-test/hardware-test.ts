/**
 * A job that an sp-runner service runs on the board, in place of its tasks' scripts (lib/runner/README.md "The sp-runner
 * service"): submitted once, followed until its true end. A submission whose answer is lost is never repeated; the board
 * tells what became of it.
 */
import { elapsedMs } from "../../words/domain.ts";
import { confirmMs, cutOffMs } from "../../runner/idle-board.ts";
import type { Task } from "../../server/worker-side.ts";
import { throwIfOver } from "./board-watch.ts";
import { followJob } from "./follow-job.ts";
import { hasRunAllTheSame, ranAllTheSame, settleLost, type TakenTest } from "./lost-submission.ts";
import type { RunnerRecord, Verdict } from "./record.ts";
import { type TestSettings, submit } from "./submission.ts";
import { type TestEnd, judge, type JudgeOptions } from "./verdict.ts";

export interface HardwareTest extends JudgeOptions {
  tasks: Task[];
  /** How far an agent before this one came with it; null: nothing was submitted. */
  before: RunnerRecord | null;
  record(state: RunnerRecord): void;
  /** Resolves once the server has taken all events so far: the job still runs. */
  taken(): Promise<void>;
}

const longestSetting = 200;

/** Resolves with the true outcome. Rejects with JobOver if the job is not ours any more. */
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
  throwIfOver(test);
  if (before?.phase !== "submitted") await test.tell("worker", `sp-runner: ${showJob(taken)}`);
  return await conclude(test, await followJob(test, job), isAdopted);
}

async function begin(test: HardwareTest, settings: TestSettings): Promise<TakenTest | TestEnd> {
  const { before } = test;
  if (before?.phase === "submitted") return { ...before, is: "taken" };
  // That submission was cut off, and may be at work in the service yet.
  if (before?.phase === "submitting") {
    const now = { bootId: test.clock.bootId, uptimeMs: test.clock.uptimeMs() };
    // An agent that is killed again and again does not begin anew each time.
    const cutOffAt = before.cutOffAt?.bootId === now.bootId ? before.cutOffAt : now;
    test.record({ phase: "submitting", cutOffAt });
    return await settleLost(test, Math.max(confirmMs, cutOffMs - (elapsedMs(cutOffAt, now) ?? 0)));
  }
  if (before?.phase === "refused") {
    await test.tell("worker", "sp-runner: it was refused; waiting until its board is idle");
    if (await hasRunAllTheSame(test)) return ranAllTheSame;
  }
  await test.tell("worker", `sp-runner: ${settings.test_type} from baseline ${settings.baseline}`);
  // The ping carries a job for up to a second after its end.
  await test.taken();
  return await submit(test, settings);
}

/** The end is on the disk before it is reported: an agent that is started again goes on from there. */
async function conclude(test: HardwareTest, end: TestEnd, isAdopted: boolean): Promise<Verdict> {
  const { lines, isOver, ...verdict } = await judge(test, end, isAdopted);
  if (isOver) test.record({ phase: "ended", verdict, lines });
  for (const line of lines) await test.tell("worker", `sp-runner: ${line}`);
  return verdict;
}

function showJob({ job, isAdopted }: TakenTest): string {
  const name = job.slice(0, longestSetting);
  return isAdopted ? `its board works on ${name}, which is taken for this job` : `it runs as ${name}`;
}

/** The job may choose it by its task's environment. */
function setting({ tasks, testbed }: HardwareTest, name: "SP_TEST_TYPE" | "SP_BASELINE"): string {
  const chosen = tasks.find(({ env }) => env[name] !== undefined)?.env[name];
  return chosen ?? (name === "SP_BASELINE" ? testbed.baseline : testbed.test_type);
}

function isPlain(value: string): boolean {
  return value !== "" && value.length <= longestSetting && !/\p{Cc}/u.test(value);
}
