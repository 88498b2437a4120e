/** A lab whose testbed `bed-1` is worked on by a simulated sp-runner service, which the test can have misbehave. */
import { readFileSync } from "node:fs";
import { type MoodyRunner, startMoodyRunner } from "./moody-runner.ts";
import { openClock } from "../../lib/doors/clock.ts";
import { openRandom } from "../../lib/doors/random.ts";
import { type Lab, type LabOptions, openLab } from "./lab.ts";

export interface RunnerLab extends Lab {
  runner: MoodyRunner;
}

export async function openRunnerLab(
  lines: string[] = [],
  options: LabOptions & { runMs?: number; boards?: string[] } = {},
): Promise<RunnerLab> {
  const boards = options.boards ?? ["bed-1"];
  const runner = startMoodyRunner({
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

/** Kills what runs of an instance: all of it, as where its host restarts, or the agent alone. */
export function killInstance(
  lab: RunnerLab,
  name: string,
  what: "all of it" | "the agent alone" = "all of it",
): number {
  let killed = 0;
  for (const pid of lab.processes(`${lab.base}/work/${name}`)) {
    try {
      const argv = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      // The factory names its base alone; a call of the minder is not the instance's.
      const isAgent = argv.includes("agent");
      const isHolder = argv.includes("mind") || argv.includes("first");
      if (isAgent || (isHolder && what === "all of it")) {
        process.kill(pid, "SIGKILL");
        killed += 1;
      }
    } catch {
      // It ended with another one.
    }
  }
  return killed;
}
