/**
 * A board that an sp-runner service works on: whether it can take a job, and whether it is idle again. The service knows
 * nothing of our jobs' ends but what it says of the board.
 */
import { z } from "zod";
import type { Testbed } from "../config/config.ts";
import type { Instance, OwnInstance } from "../words/domain.ts";
import { errorText } from "../words/failure.ts";
import { limits } from "../policy/times-and-limits.ts";
import {
  askForBoard,
  confirmMs,
  cutOffMs,
  isAtWork,
  lastedMs,
  lookAtBoard,
  seenIdle,
  silenceMs,
  whyNotSeen,
} from "../runner/idle-board.ts";
import { isActive, isOthers, isTerminal, type SpRunnerApi } from "../runner/sp-runner.ts";
import { done, failed, type Outcome, waiting } from "./outcome.ts";
import type { Store } from "../store/store.ts";
import type { InstanceMemory } from "./instance-memory.ts";
import { logFor, type Parts } from "./memory.ts";
import { testbedMemory, type TestbedRecords } from "./testbed-memory.ts";

type BoardReached = { ok: true } | { ok: false; reason: string; is?: "in use" | "unavailable" };
type Recovering = Pick<Parts, "clock" | "log" | "openRunner"> & {
  known: TestbedRecords;
  store: Pick<Store, "setTrouble">;
};

/** Whether the board can take a job; one that has failed is told to recover. */
export async function reachBoard(parts: Recovering, { name }: Testbed, url: string): Promise<BoardReached> {
  const asked = await askForBoard(parts.openRunner(url), url, name);
  if (!asked.ok) return asked;
  const { board } = asked;
  if (isAtWork(board) && board.status !== "busy") {
    const reason = `sp-runner ${url} says that its board is ${board.status}, with a job on it`;
    return { ok: false, reason, is: "in use" };
  }
  if (board.status === "available") {
    testbedMemory(parts.known, name).recoveringSinceMs = Number.NEGATIVE_INFINITY;
    return { ok: true };
  }
  if (board.status === "failed-needs-recovery") return await recoverBoard(parts, name, url);
  const is = board.status === "busy" ? "in use" : "unavailable";
  return { ok: false, reason: `sp-runner ${url} says that its board is ${board.status}`, is };
}

async function recoverBoard(
  { known, store, clock, log, openRunner }: Recovering,
  name: string,
  url: string,
): Promise<BoardReached> {
  const what = `sp-runner ${url} says that its board failed`;
  const record = testbedMemory(known, name);
  const recovering: BoardReached = { ok: false, reason: `${what}: it is recovering`, is: "unavailable" };
  if (clock.uptimeMs() - record.recoveringSinceMs < limits.boardRecoveryMs) return recovering;
  const before = record.trouble ?? { reason: what, sinceMs: clock.wallMs(), recoveries: 0 };
  const { recoveries } = before;
  if (recoveries >= limits.boardRecoveries) {
    const vain = `recovering it did not help ${recoveries} times: it needs a person`;
    return { ok: false, reason: `${what}, and ${vain}`, is: "unavailable" };
  }
  const trouble = { ...before, recoveries: recoveries + 1 };
  store.setTrouble(name, trouble);
  record.trouble = trouble;
  const answer = await openRunner(url).recover(name);
  // Only now: the service may answer when it is done.
  record.recoveringSinceMs = clock.uptimeMs();
  const said = answer.ok ? `${answer.value.status}: ${answer.value.message ?? ""}` : answer.message;
  log.warn(`told sp-runner to recover the board: ${said}`, { testbed: name });
  return recovering;
}

const recordSchema = z.object({
  phase: z.string(),
  job: z.string().optional().catch(undefined),
  isAdopted: z.boolean().optional().catch(undefined),
});
type BoardRecord = z.infer<typeof recordSchema>;

/**
 * Whether the service is done with the board, after the agent's end. Only the agent's own record can tell: the job's end was
 * seen, or the agent is done and nothing was submitted. Else the board must be idle twice, 10 s apart, and the job be neither
 * waiting in the service nor just on its way there.
 */
export async function proveBoardIdle(
  parts: Pick<Parts, "clock" | "files" | "log" | "openRunner">,
  instance: OwnInstance,
  memory: Pick<InstanceMemory, "board">,
): Promise<Outcome> {
  const { clock } = parts;
  const { place } = instance;
  // Without a worker no agent was ever told to go; the row's own word for that may have been lost in a crash.
  if (place.way !== "sp-runner" || instance.worker === null) return done;
  const { spRunnerUrl: url } = place;
  const cannotTell = (reason: string): Outcome =>
    failed(`cannot tell whether the board is idle: ${reason}; the testbed stays reserved`);
  const read = await readRecord(parts, instance);
  if ("unreadable" in read) return cannotTell(read.unreadable);
  const { record, isDone } = read;
  if (record === null ? isDone : record.phase === "ended") return done;
  const runner = parts.openRunner(url);
  const before = memory.board ?? { idle: null, absent: null, isAtWork: false };
  // Newer than the last look, which was after the agent's end; another board may have asked for it.
  const sinceMs = before.idle === null ? clock.uptimeMs() : before.idle.seenMs + 1;
  const look = await lookAtBoard({ runner, clock }, instance.testbed, before.idle, sinceMs);
  // It proves nothing: what was seen before stays.
  if (look.is === "no answer" || look.is === "not there") {
    return cannotTell(whyNotSeen(look, url, instance.testbed));
  }
  // Some job is on it, ours or not.
  const job: JobThere = look.is === "at work" ? { is: "there" } : await findJob(runner, record, instance);
  if (job.is === "there") {
    if (!before.isAtWork) {
      logFor(parts, instance).info("sp-runner still works on the board: the testbed stays reserved");
    }
    memory.board = { idle: null, absent: null, isAtWork: true };
    return waiting(limits.boardLookMs);
  }
  if (look.is !== "idle") {
    memory.board = null;
    return cannotTell(`sp-runner ${url} says that its board is ${look.board.status}`);
  }
  const { idle } = look;
  // One odd answer hides no job.
  const absent = job.is === "untold" ? before.absent : seenIdle(before.absent, clock.uptimeMs());
  memory.board = { idle, absent, isAtWork: false };
  if (job.is === "untold") return lastedMs(idle) >= silenceMs ? done : cannotTell(job.reason);
  return Math.min(lastedMs(idle), lastedMs(absent)) >= idleForMs(record) ? done : waiting(limits.boardLookMs);
}

/** A submission that was cut off or whose answer was lost, and a record that is not understood: it may begin yet. */
function idleForMs(record: BoardRecord | null): number {
  const isTaken = record?.phase === "submitted" && record.isAdopted !== true;
  const isSettled = record === null || isTaken || record.phase === "refused";
  return isSettled ? confirmMs : cutOffMs;
}

type JobThere = { is: "there" | "not there" } | { is: "untold"; reason: string };

/** A service that has a queue shows the board of a job that waits there as available. */
async function findJob(
  runner: SpRunnerApi,
  record: BoardRecord | null,
  { testbed }: Instance,
): Promise<JobThere> {
  if (record?.phase !== "submitted" || record.job === undefined) return { is: "not there" };
  const status = await runner.status(record.job);
  if (!status.ok) {
    if (status.refusal !== "no answer") return { is: "not there" };
    return { is: "untold", reason: `sp-runner does not tell of its job: ${status.message}` };
  }
  if (isOthers(status.value, testbed) || isTerminal(status.value)) return { is: "not there" };
  if (isActive(status.value)) return { is: "there" };
  // It has a result only of a job that is over, whatever word it has for that.
  if ((await runner.result(record.job)).ok) return { is: "not there" };
  return { is: "untold", reason: `sp-runner says that its job is ${status.value.status}` };
}

/** The absence of a record where the agent is not done proves nothing. */
async function readRecord(
  { files }: Pick<Parts, "files">,
  { place }: Instance,
): Promise<{ record: BoardRecord | null; isDone: boolean } | { unreadable: string }> {
  const directory = `${place.directory}/opt/etc`;
  try {
    const text = await files.readText(`${directory}/sp-runner.json`);
    const isDone = await files.isThere(`${directory}/job-done.json`);
    return { record: text === null ? null : parseRecord(text), isDone };
  } catch (error) {
    return { unreadable: `the agent's record cannot be read (${errorText(error)})` };
  }
}

function parseRecord(text: string): BoardRecord {
  const unknown = { phase: "unknown" };
  try {
    return recordSchema.safeParse(JSON.parse(text)).data ?? unknown;
  } catch {
    return unknown;
  }
}
