/** A testbed's own `check` command: it runs on this host and succeeds if the testbed is ready. */
import type { Testbed } from "../config/config.ts";
import type { Processes } from "../doors/processes.ts";

const deadlineMs = 60_000;
const longestReason = 500;

export interface BoardCheck {
  isPassed: boolean;
  /** The command, its exit and its last output, for people. */
  said: string;
}

/** Null: the testbed has no check. `path` and `user` are those of jobs on this host. */
export async function runBoardCheck(
  processes: Processes,
  { name, spType, check: command }: Testbed,
  { path, user }: { path: string; user: { name: string; home: string } },
): Promise<BoardCheck | null> {
  if (command === null) return null;
  const result = await processes.run({
    argv: ["/bin/sh", "-c", command],
    // A check that hangs is killed with everything that it started.
    isDetached: true,
    env: { PATH: path, HOME: user.home, USER: user.name, SP_TESTBED: name, SP_TYPE: spType },
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
