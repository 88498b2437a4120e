/** Runs the testbeds' own checks, unless a testbed may have a job. */
import type { Config, Testbed } from "../../config/config.ts";
import { type BoardCheck, runBoardCheck } from "../../hosts/board-check.ts";
import type { Facts } from "./facts.ts";
import type { Ground } from "./gather.ts";

/** A check may use the board, so that it is not run beside a job. */
export async function checkBoards(
  config: Config,
  { processes, searchPath, surroundings }: Pick<Ground, "processes" | "searchPath" | "surroundings">,
  isRunning: Facts["isFactoryRunning"],
  locks: Facts["locks"],
): Promise<Map<string, BoardCheck | { untried: string }>> {
  const checked = config.testbeds.filter(({ enabled, check }) => enabled && check !== null);
  const { user: name, home } = surroundings;
  const found = checked.map(async (testbed) => {
    const untried = whyBusy(testbed, isRunning, locks);
    const host = { path: searchPath, user: { name, home } };
    const result = untried === null ? await runBoardCheck(processes, testbed, host, null) : { untried };
    return result === null ? [] : [[testbed.name, result] as const];
  });
  return new Map((await Promise.all(found)).flat());
}

/** Why a testbed may have a job; null: it has none, as far as can be seen here. */
function whyBusy(
  { name, host }: Testbed,
  isRunning: Facts["isFactoryRunning"],
  locks: Facts["locks"],
): string | null {
  if (!isRunning.ok) return `cannot tell whether a factory is running: ${isRunning.reason}`;
  if (isRunning.value) return "the running factory runs it before each job";
  // The locks of other hosts are there.
  if (host !== null) return null;
  const seen = locks.ok ? locks.value : locks;
  if (!seen.ok) return `cannot tell whether the testbed is in use: ${seen.reason}`;
  const lock = seen.locks.find(({ testbed, owner }) => testbed === name && owner !== "dead");
  return lock === undefined ? null : `the testbed is in use by ${lock.instance}`;
}
