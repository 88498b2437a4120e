/**
 * What tests left behind. It is judged after the last test (bunfig.toml preloads this), because an error while a lab is
 * given up would hide the one that the test failed with.
 */
import { afterAll, expect } from "bun:test";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { skippedLines } from "./needs.ts";
import { until } from "./until.ts";

const leavings: string[] = [];

afterAll(() => {
  for (const line of skippedLines()) console.log(line);
  expect(leavings).toEqual([]);
});

/** Waits until no process names `mark`; what stays anyway is killed, and reported after the last test. */
export async function endLeavings(mark: string, withinMs = 5000): Promise<void> {
  await until(`nothing names ${mark}`, () => processesNaming(mark).length === 0, withinMs).catch(() => {
    for (const pid of processesNaming(mark)) {
      leavings.push(`${mark}: ${pid} ${read(pid, "cmdline").replaceAll("\0", " ")}`);
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It has ended at last.
      }
    }
  });
}

/** Pids of processes whose arguments, environment or working directory hold `mark`. */
export function processesNaming(mark: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter(
      (pid) =>
        pid !== process.pid &&
        (["cmdline", "environ"].some((file) => read(pid, file).includes(mark)) ||
          whereIs(pid).includes(mark)),
    );
}

function whereIs(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return "";
  }
}

/** Empty for one that is gone. A zombie has neither: it is gone but for its parent's notice. */
function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1");
  } catch {
    return "";
  }
}
