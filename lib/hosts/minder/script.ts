/**
 * Calls minder.sh: puts its file where it is to run, once, and takes from its output only what stands between the marks of
 * this call (a login shell may print anything). It knows no verb.
 */
import { createHash } from "node:crypto";
import type { RunResult } from "../../doors/processes.ts";
import type { Random } from "../../doors/random.ts";
import { between, newMark, type Reply } from "./marks.ts";
import { minderScript } from "./minder-script.ts";

export interface Script {
  call(verb: string, words: string[], stdin: string, timeoutMs: number): Promise<Reply>;
}

export interface ScriptOptions {
  transport: (argv: string[], stdin: string, timeoutMs: number) => Promise<RunResult>;
  random: Random;
  directory: string;
  shell: string;
}

/**
 * Named by its content, so that running minders keep the one that they were started from; in place at once or not at all. What
 * was cut on its way is shorter than it was sent. Words: directory, path, bytes.
 */
const placing = `
umask 077
mkdir -p "$1" && cat >"$2.$$" || exit
if [ "$(($(wc -c <"$2.$$")))" -eq "$3" ]; then chmod 700 "$2.$$" && mv "$2.$$" "$2"; else
  rm -f "$2.$$"
  echo "the minder's script was cut short on its way" >&2
  exit 1
fi`;

export function openScript({ transport, random, directory, shell }: ScriptOptions): Script {
  const hash = createHash("sha256").update(minderScript).digest("hex").slice(0, 16);
  const path = `${directory}/.minder-${hash}.sh`;

  async function place(): Promise<RunResult> {
    const bytes = String(Buffer.byteLength(minderScript));
    return await transport([shell, "-c", placing, shell, directory, path, bytes], minderScript, 20_000);
  }

  async function call(verb: string, words: string[], stdin: string, timeoutMs: number): Promise<Reply> {
    const mark = newMark(random);
    const argv = [shell, path, verb, mark, ...words];
    let result = await transport(argv, stdin, timeoutMs);
    // Without the first mark the script did nothing, so it may be repeated: it is not there, or was damaged there.
    if (result.ok && !result.stdout.includes(mark)) {
      const placed = await place();
      if (!placed.ok) return placed;
      if (placed.exitCode !== 0) return between(placed, mark);
      result = await transport(argv, stdin, timeoutMs);
    }
    return between(result, mark);
  }

  return { call };
}
