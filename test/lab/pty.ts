/** A program at a real terminal, for tests: what it shows, and what a person types. */
import { dlopen } from "bun:ffi";
import { closeSync } from "node:fs";
import { until } from "./until.ts";

/** A terminal that nobody's session has yet, as a serial adapter is; `unplug` closes its other end. */
export function openSerialPort(): { path: string; unplug(): void } {
  const { symbols } = dlopen(process.platform === "darwin" ? "libSystem.B.dylib" : "libc.so.6", {
    posix_openpt: { args: ["i32"], returns: "i32" },
    grantpt: { args: ["i32"], returns: "i32" },
    unlockpt: { args: ["i32"], returns: "i32" },
    ptsname: { args: ["i32"], returns: "cstring" },
  });
  const readWriteNoControl = 0o402;
  const master = symbols.posix_openpt(readWriteNoControl);
  symbols.grantpt(master);
  symbols.unlockpt(master);
  return { path: String(symbols.ptsname(master)), unplug: () => closeSync(master) };
}

export interface Session {
  /** All that was shown, as plain text. */
  shown(): string;
  /** The same with its colours. */
  raw(): string;
  type(text: string): void;
  /** Types an answer when the question is there. Each question is looked for behind the last one. */
  answer(question: string, text: string): Promise<void>;
  exited: Promise<number>;
  kill(signal: NodeJS.Signals): void;
}

export function openSession(
  argv: string[],
  options: { cwd: string; env: Record<string, string>; columns?: number },
): Session {
  const pieces: Uint8Array[] = [];
  const raw = (): string => Buffer.concat(pieces).toString();
  const shown = (): string => Bun.stripANSI(raw()).replace(/\r+\n/g, "\n");
  let answered = 0;
  const child = Bun.spawn(argv, {
    ...options,
    terminal: {
      cols: options.columns ?? 200,
      rows: 40,
      data: (_, piece) => void pieces.push(Uint8Array.from(piece)),
    },
  });
  return {
    shown,
    raw,
    type: (text) => void child.terminal?.write(text),
    answer: async (question, text) => {
      const at = await until(
        `"${question}" is asked; shown: ${shown()}`,
        () => {
          const found = shown().indexOf(question, answered);
          return found < 0 ? null : { end: found + question.length };
        },
        10_000,
      );
      answered = at.end;
      child.terminal?.write(text);
    },
    exited: child.exited.finally(() => child.terminal?.close()),
    kill: (signal) => child.kill(signal),
  };
}
