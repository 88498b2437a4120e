/**
 * Marks around an answer, so that a login's output before or after it is ignored. Each call has its own mark, so that no other
 * text can look like its answer.
 */
import type { RunResult } from "../../doors/processes.ts";
import type { Random } from "../../doors/random.ts";

/** The answer's lines; `reason` is for people. */
export type Reply = { ok: true; lines: string[] } | { ok: false; reason: string };

export function newMark(random: Random): string {
  return Buffer.from(random.bytes(12)).toString("hex");
}

/** The lines between `MARK begin` and `MARK end`. If one of them is missing, there is no answer. */
export function between(result: RunResult, mark: string): Reply {
  if (!result.ok) return result;
  const { stdout, stderr, exitCode } = result;
  const begin = stdout.indexOf(`${mark} begin\n`);
  const end = stdout.lastIndexOf(`${mark} end`);
  if (begin === -1 || end === -1) {
    const said = lastLine(stderr);
    if (said !== "") return { ok: false, reason: said };
    // Our script did not start, for example because the account is closed: show what was printed instead.
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
