/**
 * Marks around an answer: whatever a login prints before or after it does not matter. Each call has a mark of its own, so that
 * nothing can be taken for its answer.
 */
import type { RunResult } from "../../doors/processes.ts";
import type { Random } from "../../doors/random.ts";

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
    const said = lastLine(stderr);
    if (said !== "") return { ok: false, reason: said };
    // What no script of ours began, as of an account that is closed, is told by whatever came instead.
    const instead = stdout.includes(mark) ? "" : lastLine(stdout);
    const none = `no answer, exit code ${exitCode}`;
    return { ok: false, reason: instead === "" ? none : `${none}: ${instead}` };
  }
  const text = stdout.slice(begin + mark.length + " begin\n".length, end);
  return { ok: true, lines: text.split("\n").slice(0, -1) };
}

function lastLine(text: string): string {
  return (text.trim().split("\n").at(-1) ?? "").slice(0, 500);
}
