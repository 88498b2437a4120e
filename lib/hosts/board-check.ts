/** A testbed's own `check` command: it runs on this host and succeeds if the testbed is ready. */
import type { Testbed } from "../config/config.ts";
import { expandHomes } from "../config/home-paths.ts";
import type { Processes } from "../doors/processes.ts";

const deadlineMs = 60_000;
const longestReason = 500;

export interface BoardCheck {
  isPassed: boolean;
  /** The command, its exit and its last output, for people. */
  said: string;
}

/** The job that the testbed is checked for. */
export interface LeasedJob {
  job: string | null;
  /** The target's name. */
  target: string;
}

/** Null: the testbed has no check. `path` and `user` are those of jobs on this host. */
export async function runBoardCheck(
  processes: Processes,
  testbed: Testbed,
  { path, user }: { path: string; user: { name: string; home: string } },
  leased: LeasedJob | null,
): Promise<BoardCheck | null> {
  const { check: command } = testbed;
  if (command === null) return null;
  const result = await processes.run({
    argv: ["/bin/sh", "-c", command],
    // A check that hangs is killed with everything that it started.
    isDetached: true,
    env: { PATH: path, HOME: user.home, USER: user.name, ...factsOf(testbed, user.home, leased) },
    timeoutMs: deadlineMs,
    maxBytes: 4096,
  });
  const printed = result.ok ? `${result.stdout}${result.stderr}`.trim().slice(-longestReason) : "";
  const code = result.ok ? `exit code ${result.exitCode}` : result.reason;
  return {
    isPassed: result.ok && result.exitCode === 0,
    said: `${command}: ${code}${printed === "" ? "" : `, ${printed}`}`,
  };
}

/** What jobs know of their testbed, by the same names, and what only the factory knows. Each is there: a script may use `set -u`. */
function factsOf(testbed: Testbed, home: string, leased: LeasedJob | null): Record<string, string> {
  const { name, spType, targets, host, spRunnerUrl, baseline, note } = testbed;
  // On another host `~` is another directory.
  const expand = (text: string): string => (host === null ? expandHomes(text, home) : text);
  return {
    SP_TESTBED: name,
    SP_TYPE: spType,
    SP_TARGETS: targets.join(" "),
    SP_HOST: host ?? "",
    SP_RUNNER: expand(testbed.spRunnerPath),
    SP_RUNNER_CONFIG: expand(testbed.spRunnerConfig),
    SP_RUNNER_URL: spRunnerUrl ?? "",
    SP_BASELINE: baseline,
    SP_NOTE: note,
    SP_JOB: leased?.job ?? "",
    SP_TARGET: leased?.target ?? "",
  };
}
