/**
 * What became of a submission whose answer was lost, or that was refused and may have run all the same: the board tells, for a
 * submission is never repeated (lib/runner/README.md "The sp-runner service").
 */
import { confirmMs } from "../../runner/idle-board.ts";
import { idleMs, jobOn, pause, watchBoard } from "./board-watch.ts";
import { findReport } from "./test-files.ts";
import { type TestEnd, type JudgeOptions, placeOf } from "./verdict.ts";

/** The service has the job. */
export interface TakenTest {
  is: "taken";
  job: string;
  isAdopted: boolean;
}

/** What became of a job that the service gave no name for. One that the board works on is taken for ours, until its end. */
export async function settleLost(test: JudgeOptions, idleForMs: number): Promise<TakenTest | TestEnd> {
  const look = watchBoard(test);
  for (;;) {
    const board = await look();
    const job = jobOn(board);
    if (job !== null) return { is: "taken", job, isAdopted: true };
    if (idleMs(board) >= idleForMs) {
      const why = "the job was submitted and its answer lost, and its board is idle";
      return { is: "lost", why, isOver: true };
    }
    await pause(test);
  }
}

export const ranAllTheSame: TestEnd = {
  is: "lost",
  why: "sp-runner refused the job, and ran it",
  isOver: true,
};

/** Another's job is on the board; or ours is, and the refusal was the answer to something between that sent it again. */
export async function hasRunAllTheSame(test: JudgeOptions): Promise<boolean> {
  const look = watchBoard(test);
  while (idleMs(await look()) < confirmMs) await pause(test);
  return (await findReport(placeOf(test))) !== null;
}
