/** A hardware test's way into the service: once, when the board is free. Each step is recorded before it is taken. */
import { confirmMs, cutOffMs } from "../../runner/idle-board.ts";
import { pause, stateOf, throwIfOver, watchBoard } from "./board-watch.ts";
import { saidBy } from "./follow-job.ts";
import type { HardwareTest } from "./hardware-test.ts";
import { hasRunAllTheSame, ranAllTheSame, settleLost, type TakenTest } from "./lost-submission.ts";
import type { TestEnd } from "./verdict.ts";

/** The service may refuse a board that it said is available: so often it is asked. */
const mostRefusals = 3;
/** A board that is neither free nor at work wants a person, or the factory to recover it. */
const unfreeMs = 300_000;

export interface TestSettings {
  test_type: string;
  baseline: string;
}

export async function submit(test: HardwareTest, settings: TestSettings): Promise<TakenTest | TestEnd> {
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
    // Its name is recorded even if the job is over by now: the service has the job anyway.
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
      return await settleLost(test, Math.min(Math.max(clock.uptimeMs() - sentMs, confirmMs), cutOffMs));
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
