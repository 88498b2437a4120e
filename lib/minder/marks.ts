/**
 * Marks around an answer: whatever a login prints before or after it does not matter. Each call has a mark of its own, so that
 * nothing can be taken for its answer.
 */
import type { RunResult } from "../doors/processes.ts";
import type { Random } from "../doors/random.ts";

/** Lines of the answer; `reason` is for people. */
export type Reply = { ok: true; lines: string[] } | { ok: false; reason: string };

export function newMark(random: Random): string {
  return Buffer.from(random.bytes(12)).toString("hex");
}

/** What a command printed between `MARK begin` and `MARK end`. Without both it gave no answer. */
export function between(result: RunResult, mark: string): Reply {
  if (!result.ok) return result;
  const { stdout, stderr, exitCode } = result;
  const begin = stdout.indexOf(`${mark} begin\n`);
  const end = stdout.lastIndexOf(`${mark} end`);
  if (begin === -1 || end === -1) {
    const said = stderr.trim().split("\n").at(-1) ?? "";
    return { ok: false, reason: said.slice(0, 500) || `no answer, exit code ${exitCode}` };
  }
  const text = stdout.slice(begin + mark.length + " begin\n".length, end);
  return { ok: true, lines: text.split("\n").slice(0, -1) };
}
