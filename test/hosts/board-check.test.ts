/** What a testbed's own check command is told of its testbed. */
import { expect, test } from "bun:test";
import { openClock } from "../../lib/doors/clock.ts";
import { openProcesses } from "../../lib/doors/processes.ts";
import { type LeasedJob, runBoardCheck } from "../../lib/hosts/board-check.ts";
import type { Testbed } from "../../lib/config/config.ts";
import { testbedOf } from "../policy/scenes.ts";

const here = { path: process.env["PATH"] ?? "/bin", user: { name: "lab", home: "/home/lab" } };
const command = "echo facts:; env | grep ^SP_ | sort";

/** The variables that the command finds, by name. */
async function factsOf(
  over: Partial<Testbed>,
  leased: LeasedJob | null = null,
): Promise<Record<string, string>> {
  const processes = openProcesses({ clock: openClock() });
  const testbed = testbedOf({ check: command, ...over });
  const checked = await runBoardCheck(processes, testbed, here, leased);
  const lines = checked?.said.split("facts:\n")[1]?.split("\n") ?? [];
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );
}

test("a check finds each fact of its testbed in its environment, empty if there is none", async () => {
  expect(await factsOf({})).toEqual({
    SP_TESTBED: "a",
    SP_TYPE: "gimlet",
    SP_TARGETS: "sp-gimlet",
    SP_HOST: "",
    SP_RUNNER: "sp-runner",
    SP_RUNNER_CONFIG: "/home/lab/Oxide/ci/config.toml",
    SP_RUNNER_URL: "",
    SP_BASELINE: "v16",
    SP_NOTE: "",
    SP_JOB: "",
    SP_TARGET: "",
  });
});

test("with a job leased it finds that job and its target, too; the home of another host is not known here", async () => {
  const over = {
    host: "lab-2",
    targets: ["one", "two"],
    spRunnerPath: "~/bin/sp-runner --fast",
    note: "$(loud) fan",
  };
  expect(await factsOf(over, { job: "01J", target: "two" })).toMatchObject({
    SP_TARGETS: "one two",
    SP_HOST: "lab-2",
    SP_RUNNER: "~/bin/sp-runner --fast",
    SP_NOTE: "$(loud) fan",
    SP_JOB: "01J",
    SP_TARGET: "two",
  });
  expect(await factsOf({ spRunnerUrl: "http://h:1", spRunnerPath: "~/bin/r" })).toMatchObject({
    SP_RUNNER_URL: "http://h:1",
    SP_RUNNER: "/home/lab/bin/r",
  });
});
