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
  /**
   * In a session of its own: neither it nor what it starts can ask on this program's terminal, and what it started is killed
   * with it.
   */
  isDetached?: boolean;
  signal?: AbortSignal;
}

export type RunResult =
  | { ok: true; exitCode: number; stdout: string; stderr: string }
  /** It could not be started, or did not end in time (then it was killed); what it did is unknown. */
  | { ok: false; reason: string; /** The system's word for why it could not be started. */ code?: string };

/** A program that is talked to, line by line, for as long as it runs. */
export interface Talk {
  /** Never throws: what a program that has ended does not read is lost. */
  say(text: string): void;
  /** Kills it. */
  end(): void;
  /** When it has ended; with the beginning of what it said on stderr. */
  readonly ended: Promise<{ said: string }>;
}

export interface TalkOptions extends Pick<Run, "argv" | "env" | "cwd" | "isDetached"> {
  /** Each line of stdout, without its end. Longer ones are cut: what is beyond `maxLineBytes` is thrown away. */
  onLine(line: string): void;
  maxLineBytes: number;
}

export interface Processes {
  run(run: Run): Promise<RunResult>;
  talk(options: TalkOptions): Talk;
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
        if (isDetached) killGroupAt(deadline.signal, child);
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
        const code = error instanceof Error && "code" in error ? { code: String(error.code) } : {};
        return { ok: false, reason: error instanceof Error ? error.message : String(error), ...code };
      } finally {
        deadline.release();
      }
    },
    talk: (options) => talk(options, clock),
  };
}

/** Only while the program itself has not ended: after that, the group's number may be another's. */
function killGroupAt(
  signal: AbortSignal,
  child: { pid: number; killed: boolean; exitCode: number | null },
): void {
  signal.addEventListener("abort", () => {
    if (child.exitCode !== null) return;
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // It has just ended.
    }
  });
}

/** For what a program said just before its end. */
const lastWordsMs = 1000;
const mostSaid = 65_536;

function talk({ argv, env, cwd, isDetached = false, onLine, maxLineBytes }: TalkOptions, clock: Clock): Talk {
  const stop = new AbortController();
  let child;
  try {
    child = Bun.spawn(argv, {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
      env,
      detached: isDetached,
      ...(cwd === undefined ? {} : { cwd }),
      signal: stop.signal,
      killSignal: "SIGKILL",
    });
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    return { say: () => undefined, end: () => undefined, ended: Promise.resolve({ said }) };
  }
  const { stdin, stdout, stderr, exited } = child;
  let said = "";
  const keep = (part: string): void => void (said = `${said}${part}`.slice(0, mostSaid));
  const read = Promise.all([readText(stderr, keep), readLines(stdout, maxLineBytes, onLine)]);
  const ended = exited.then(async () => {
    // A grandchild may hold its output open for ever.
    const isRead = new AbortController();
    const late = clock.sleep(lastWordsMs, AbortSignal.any([isRead.signal, stop.signal]));
    await Promise.race([read, late]);
    isRead.abort();
    return { said };
  });
  return {
    say: (text) => {
      try {
        void Promise.resolve(stdin.write(text)).catch(() => undefined);
        void Promise.resolve(stdin.flush()).catch(() => undefined);
      } catch {
        // It has ended, which `ended` tells.
      }
    },
    end: () => stop.abort(),
    ended,
  };
}

async function readLines(
  stream: ReadableStream<Uint8Array>,
  maxLineBytes: number,
  onLine: (line: string) => void,
): Promise<void> {
  let line = "";
  await readText(stream, (part) => {
    const [first = "", ...more] = part.split("\n");
    line = `${line}${first}`.slice(0, maxLineBytes);
    for (const next of more) {
      onLine(line);
      line = next.slice(0, maxLineBytes);
    }
  });
}

async function readText(stream: ReadableStream<Uint8Array>, onPart: (part: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  for await (const part of stream) onPart(decoder.decode(part, { stream: true }));
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
