/** The door to other programs: the only file that starts them. It knows no program by name. */
import type { Clock } from "./clock.ts";

export interface Run {
  /** Program and arguments; never a shell string. */
  argv: string[];
  stdin?: string | Uint8Array | { file: string };
  /** The whole environment of the program; nothing is inherited. */
  env: Record<string, string>;
  cwd?: string;
  timeoutMs: number;
  /** Each of stdout and stderr is kept up to this; the rest is read and thrown away. */
  maxBytes: number;
  /** In a session of its own: neither it nor what it starts can ask on this program's terminal. */
  isDetached?: boolean;
  signal?: AbortSignal;
}

export type RunResult =
  | { ok: true; exitCode: number; stdout: string; stderr: string }
  /** It could not be started, or did not end in time (then it was killed); what it did is unknown. */
  | { ok: false; reason: string };

export interface Processes {
  run(run: Run): Promise<RunResult>;
}

export function openProcesses({ clock }: { clock: Clock }): Processes {
  return {
    run: async ({ argv, stdin, env, cwd, timeoutMs, maxBytes, isDetached = false, signal }) => {
      const deadline = clock.deadline(timeoutMs);
      try {
        const child = Bun.spawn(argv, {
          stdin: inputOf(stdin),
          stdout: "pipe",
          stderr: "pipe",
          env,
          detached: isDetached,
          ...(cwd === undefined ? {} : { cwd }),
          signal: AbortSignal.any([deadline.signal, ...(signal === undefined ? [] : [signal])]),
          killSignal: "SIGKILL",
        });
        const ended = Promise.all([
          readUpTo(child.stdout, maxBytes),
          readUpTo(child.stderr, maxBytes),
          child.exited,
        ]);
        // Killing the program does not end what it started: a grandchild may hold its output open for ever.
        const result = await Promise.race([ended, afterAbort(deadline.signal)]);
        if (result === null) {
          ended.catch(() => undefined);
          child.unref();
          return { ok: false, reason: `${argv[0]} did not end within ${timeoutMs / 1000} s` };
        }
        const [stdout, stderr, exitCode] = result;
        if (deadline.signal.aborted) {
          return { ok: false, reason: `${argv[0]} did not end within ${timeoutMs / 1000} s` };
        }
        if (signal?.aborted === true) return { ok: false, reason: "cancelled" };
        return { ok: true, exitCode, stdout, stderr };
      } catch (error) {
        return { ok: false, reason: error instanceof Error ? error.message : String(error) };
      } finally {
        deadline.release();
      }
    },
  };
}

function inputOf(stdin: Run["stdin"]): "ignore" | Blob {
  if (stdin === undefined) return "ignore";
  if (typeof stdin === "object" && "file" in stdin) return Bun.file(stdin.file);
  return new Blob([stdin]);
}

/** Resolves with null when the signal aborts. */
function afterAbort(signal: AbortSignal): Promise<null> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(null), { once: true });
  });
}

async function readUpTo(stream: ReadableStream<Uint8Array>, maxBytes: number): Promise<string> {
  const parts: Uint8Array[] = [];
  let kept = 0;
  for await (const part of stream) {
    const room = maxBytes - kept;
    if (room <= 0) continue;
    parts.push(part.subarray(0, room));
    kept += Math.min(part.byteLength, room);
  }
  return Buffer.concat(parts).toString("utf8");
}
