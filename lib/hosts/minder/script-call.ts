/**
 * Calls minder.sh: installs its file once on the host, and reads only the output between the marks of this call, because a
 * login shell may print anything. It does not know the verbs.
 */
import { createHash } from "node:crypto";
import type { RunResult } from "../../doors/processes.ts";
import type { Random } from "../../doors/random.ts";
import { between, newMark, type Reply } from "./marks.ts";
import type { Transport } from "./transport.ts";
import { minderScript } from "./script-text.ts";

export interface MinderScript {
  /** `isLasting`: the started processes outlive the factory. */
  call(verb: string, words: string[], stdin: string, timeoutMs: number, isLasting?: boolean): Promise<Reply>;
}

export interface ScriptOptions {
  transport: Transport;
  /** Runs commands whose processes outlive the factory. If it cannot run a program, the other transport does. */
  lasting?: Transport | undefined;
  random: Random;
  directory: string;
  shell: string;
}

/**
 * The file's name comes from its content, so that running minders keep their own version. A rename puts it in place, and its
 * length shows whether it arrived completely. Words: directory, path, bytes.
 */
const placing = `
umask 077
mkdir -p "$1" && cat >"$2.$$" || exit
if [ "$(($(wc -c <"$2.$$")))" -eq "$3" ]; then chmod 700 "$2.$$" && mv "$2.$$" "$2"; else
  rm -f "$2.$$"
  echo "the minder's script was cut short" >&2
  exit 1
fi`;

export function openScript({ transport, lasting, random, directory, shell }: ScriptOptions): MinderScript {
  const hash = createHash("sha256").update(minderScript).digest("hex").slice(0, 16);
  const path = `${directory}/.minder-${hash}.sh`;

  async function place(): Promise<RunResult> {
    const bytes = String(Buffer.byteLength(minderScript));
    return await transport([shell, "-c", placing, shell, directory, path, bytes], minderScript, 20_000);
  }

  async function call(
    verb: string,
    words: string[],
    stdin: string,
    timeoutMs: number,
    isLasting = false,
  ): Promise<Reply> {
    const mark = newMark(random);
    const argv = [shell, path, verb, mark, ...words];
    // Without the first mark the script did nothing, so the call may be repeated.
    const didNothing = (result: RunResult): boolean => !result.ok || !result.stdout.includes(mark);
    const attempt = async (by: Transport): Promise<RunResult> => {
      const result = await by(argv, stdin, timeoutMs);
      if (!result.ok || !didNothing(result)) return result;
      // The script is missing or damaged there.
      const placed = await place();
      return placed.ok && placed.exitCode === 0 ? await by(argv, stdin, timeoutMs) : placed;
    };
    if (isLasting && lasting !== undefined) {
      const result = await attempt(lasting);
      if (!didNothing(result)) return between(result, mark);
    }
    return between(await attempt(transport), mark);
  }

  return { call };
}
