/**
 * A job that an sp-runner service runs on the board, in place of its tasks' scripts (lib/runner/README.md "The sp-runner
 * service"): submitted once, followed until its true end. A submission whose answer is lost is never repeated; the board
 * tells what became of it.
 */
import { elapsedMs } from "../../words/domain.ts";
import { confirmMs, cutOffMs } from "../../runner/idle-board.ts";
import type { Task } from "../../server/worker-side.ts";
import { idleMs, jobOn, pause, stateOf, throwIfOver, watchBoard } from "./board-watch.ts";
import { followJob, saidBy } from "./follow-job.ts";
import type { RunnerRecord, Verdict } from "./record.ts";
import { findReport } from "./test-files.ts";
import { type End, judge, type JudgeOptions, placeOf } from "./verdict.ts";

export interface HardwareTest extends JudgeOptions {
  tasks: Task[];
  /** How far an agent before this one came with it; null: nothing was submitted. */
  before: RunnerRecord | null;
  record(state: RunnerRecord): void;
  /** Resolves once the server has taken what was told: the job still runs. */
  taken(): Promise<void>;
}

interface Taken {
  is: "taken";
  job: string;
  isAdopted: boolean;
}

/** The service may refuse a board that it said is available: so often it is asked. */
const mostRefusals = 3;
/** A board that is neither free nor at work wants a person, or the factory to recover it. */
const unfreeMs = 300_000;
const longestSetting = 200;

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
  throwIfOver(test);
  if (before?.phase !== "submitted") await test.tell("worker", `sp-runner: ${showJob(taken)}`);
  return await conclude(test, await followJob(test, job), isAdopted);
}

async function begin(test: HardwareTest, settings: Settings): Promise<Taken | End> {
  const { before } = test;
  if (before?.phase === "submitted") return { ...before, is: "taken" };
  // That submission was cut off, and may be at work in the service yet.
  if (before?.phase === "submitting") {
    const now = { bootId: test.clock.bootId, uptimeMs: test.clock.uptimeMs() };
    // An agent that is killed again and again does not begin anew each time.
    const cutOffAt = before.cutOffAt?.bootId === now.bootId ? before.cutOffAt : now;
    test.record({ phase: "submitting", cutOffAt });
    return await settle(test, Math.max(confirmMs, cutOffMs - (elapsedMs(cutOffAt, now) ?? 0)));
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

interface Settings {
  test_type: string;
  baseline: string;
}

async function submit(test: HardwareTest, settings: Settings): Promise<Taken | End> {
  const { clock } = test;
  const { testbed, input_dir, output_dir, disable_watchdog } = test.testbed;
  let refusals = 0;
  for (;;) {
    const unfree = await awaitFreeBoard(test);
    if (unfree !== null) return { is: "refused", why: `the board takes no job: ${unfree}` };
    test.record({ phase: "submitting" });
    const sentMs = clock.uptimeMs();
    const answer = await test.runner.submit({
      testbed,
      input_dir,
      output_dir,
      ...settings,
      disable_watchdog,
    });
    // Its name is written down, also where the job is over meanwhile: the service has it all the same.
    if (answer.ok) return { is: "taken", job: answer.value, isAdopted: false };
    throwIfOver(test);
    if (answer.isUnsent === true) {
      test.record({ phase: "refused" });
      await pause(test);
      continue;
    }
    if (answer.refusal === "no answer") {
      await test.tell("worker", `sp-runner: the answer to the submission was lost: ${saidBy(answer)}`);
      // What was slow before the answer was lost may be as slow after it.
      return await settle(test, clamp(clock.uptimeMs() - sentMs, confirmMs, cutOffMs));
    }
    const why = `sp-runner does not take the job: ${answer.message}`;
    if (answer.status !== 409) return { is: "refused", why };
    test.record({ phase: "refused" });
    await test.tell("worker", `sp-runner: ${why}; waiting until its board is idle`);
    if (await hasRunAllTheSame(test)) return ranAllTheSame;
    refusals += 1;
    if (refusals === mostRefusals) return { is: "refused", why };
  }
}

const ranAllTheSame: End = { is: "lost", why: "sp-runner refused the job, and ran it", isOver: true };

/** Another's job is on the board; or ours is, and the refusal was the answer to something between that sent it again. */
async function hasRunAllTheSame(test: HardwareTest): Promise<boolean> {
  await awaitIdleBoard(test);
  return (await findReport(placeOf(test))) !== null;
}

/**
 * Resolves with null once it would take a job. A service that does not answer and a board that another's job is on are waited
 * for, any other board for a while: why not.
 */
async function awaitFreeBoard(test: HardwareTest): Promise<string | null> {
  const { clock } = test;
  const look = watchBoard(test);
  let sinceMs = clock.uptimeMs();
  for (let isTold = false; ; isTold = true) {
    const board = await look();
    if (board.is === "idle" && board.board.status === "available") return null;
    if (!isTold) await test.tell("worker", `sp-runner: waiting for the board: ${stateOf(board)}`);
    if (board.is === "at work" || board.is === "no answer") sinceMs = clock.uptimeMs();
    else if (clock.uptimeMs() - sinceMs >= unfreeMs) return stateOf(board);
    await pause(test);
  }
}

async function awaitIdleBoard(test: HardwareTest): Promise<void> {
  const look = watchBoard(test);
  for (;;) {
    if ((idleMs(await look()) ?? 0) >= confirmMs) return;
    await pause(test);
  }
}

/** What became of a job that the service gave no name for. One that the board works on is taken for ours, until its end. */
async function settle(test: HardwareTest, idleForMs: number): Promise<Taken | End> {
  const look = watchBoard(test);
  for (;;) {
    const board = await look();
    const job = jobOn(board);
    if (job !== null) return { is: "taken", job, isAdopted: true };
    if ((idleMs(board) ?? 0) >= idleForMs) {
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

function showJob({ job, isAdopted }: Taken): string {
  const name = job.slice(0, longestSetting);
  return isAdopted ? `its board works on ${name}, which is taken for this job` : `it runs as ${name}`;
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}

/** The job may choose it by its task's environment. */
function setting({ tasks, testbed }: HardwareTest, name: "SP_TEST_TYPE" | "SP_BASELINE"): string {
  const chosen = tasks.find(({ env }) => env[name] !== undefined)?.env[name];
  return chosen ?? (name === "SP_BASELINE" ? testbed.baseline : testbed.test_type);
}

function isPlain(value: string): boolean {
  return value !== "" && value.length <= longestSetting && !/\p{Cc}/u.test(value);
}
