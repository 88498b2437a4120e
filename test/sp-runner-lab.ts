/** A lab whose testbed `bed-1` is worked on by a simulated sp-runner service, which the test can have misbehave. */
import { startRunner, type Runner } from "../lib/devserver/sp-runner.ts";
import { openClock } from "../lib/doors/clock.ts";
import { openRandom } from "../lib/doors/random.ts";
import { type Lab, type LabOptions, openLab } from "./lab.ts";

export interface RunnerLab extends Lab {
  runner: Runner;
}

export async function openRunnerLab(
  lines: string[] = [],
  options: LabOptions & { runMs?: number; boards?: string[] } = {},
): Promise<RunnerLab> {
  const boards = options.boards ?? ["bed-1"];
  const runner = startRunner({
    clock: openClock(),
    random: openRandom(),
    boards,
    runMs: options.runMs ?? 300,
  });
  const beds = boards.map((board): [string, string[]] => [
    board,
    [`sp_runner_url = "${runner.url}"`, ...lines],
  ]);
  const lab = await openLab({ agent: "builtin", testbeds: Object.fromEntries(beds), ...options });
  return {
    ...lab,
    runner,
    [Symbol.asyncDispose]: async () => {
      await lab[Symbol.asyncDispose]();
      await runner.stop();
    },
  };
}
