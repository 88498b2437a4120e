/** Runs a small script on a host behind ssh, and returns its output between the marks of this call. */
import type { Run } from "../../doors/processes.ts";
import type { Random } from "../../doors/random.ts";
import { between, newMark, type Reply } from "../minder/marks.ts";
import type { Connection } from "./connection.ts";

export interface Question {
  /** For a POSIX shell. If the script calls `exit`, there is no answer, and its last line on stderr is the reason. */
  script: string;
  /** `$1` and so on in the script. */
  words: string[];
  stdin?: NonNullable<Run["stdin"]>;
  timeoutMs?: number;
}

export async function ask({ run }: Connection, random: Random, question: Question): Promise<Reply> {
  const { script, words, stdin = "", timeoutMs = 30_000 } = question;
  const mark = newMark(random);
  const marked = `mark=$1; shift; printf '%s\\n' "$mark begin"\n${script}\nprintf '%s\\n' "$mark end"`;
  return between(await run(["sh", "-c", marked, "sh", mark, ...words], stdin, timeoutMs), mark);
}
