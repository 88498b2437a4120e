/**
 * Calls minder.sh: puts its file where it is to run, once, and takes from its output only what stands between the marks of
 * this call (a login shell may print anything). It knows no verb.
 */
import { createHash } from "node:crypto";
import type { RunResult } from "../doors/processes.ts";
import type { Random } from "../doors/random.ts";
import { minderScript } from "./minder-script.ts";

export type Reply = { ok: true; lines: string[] } | { ok: false; reason: string };

export interface Script {
  call(verb: string, words: string[], stdin: string, timeoutMs: number): Promise<Reply>;
}

export interface ScriptOptions {
  transport: (argv: string[], stdin: string, timeoutMs: number) => Promise<RunResult>;
  random: Random;
  directory: string;
  shell: string;
}

/** Named by its content, so that running minders keep the one that they were started from; in place at once or not at all. */
const placing = 'umask 077 && mkdir -p "$1" && cat >"$2.$$" && chmod 700 "$2.$$" && mv "$2.$$" "$2"';

export function openScript({ transport, random, directory, shell }: ScriptOptions): Script {
  const hash = createHash("sha256").update(minderScript).digest("hex").slice(0, 16);
  const path = `${directory}/.minder-${hash}.sh`;

  async function place(): Promise<RunResult> {
    return await transport([shell, "-c", placing, shell, directory, path], minderScript, 20_000);
  }

  async function call(verb: string, words: string[], stdin: string, timeoutMs: number): Promise<Reply> {
    const nonce = Buffer.from(random.bytes(12)).toString("hex");
    const argv = [shell, path, verb, nonce, ...words];
    let result = await transport(argv, stdin, timeoutMs);
    // What a shell says of a script that is not there. Without the first mark the script did nothing, so it may be repeated.
    if (result.ok && (result.exitCode === 2 || result.exitCode === 127) && !result.stdout.includes(nonce)) {
      const placed = await place();
      if (!placed.ok) return placed;
      if (placed.exitCode !== 0) return { ok: false, reason: firstLine(placed.stderr) };
      result = await transport(argv, stdin, timeoutMs);
    }
    if (!result.ok) return result;
    return between(result, nonce);
  }

  return { call };
}

function between({ exitCode, stdout, stderr }: RunResult & { ok: true }, nonce: string): Reply {
  const begin = stdout.indexOf(`${nonce} begin\n`);
  const end = stdout.lastIndexOf(`${nonce} end`);
  if (begin === -1 || end === -1) {
    return { ok: false, reason: firstLine(stderr) || `no answer, exit code ${exitCode}` };
  }
  const text = stdout.slice(begin + nonce.length + " begin\n".length, end);
  return { ok: true, lines: text.split("\n").slice(0, -1) };
}

function firstLine(text: string): string {
  return (text.split("\n")[0] ?? "").slice(0, 500);
}
