/** The door to a person at a terminal: one question at a time, with line editing. What is asked is not its business. */
import { createInterface, type Interface } from "node:readline";
import { Writable } from "node:stream";
import { FactoryError } from "../words/failure.ts";

export interface Terminal {
  /** The answer without spaces around it. Throws a FactoryError with exit code 130 on Ctrl+C, Ctrl+D and hang-up. */
  ask(question: string, options?: { hidden?: boolean }): Promise<string>;
  /** Restores the terminal. */
  close(): void;
}

/** Null if there is nobody to ask. */
export function openTerminal(): Terminal | null {
  const { stdin, stdout } = process;
  if (!stdin.isTTY || !stdout.isTTY) return null;
  let isHidden = false;
  const screen = new Writable({
    write: (chunk: Uint8Array, _, done) => {
      if (!isHidden) stdout.write(chunk);
      done();
    },
  });
  // For lines longer than the terminal is wide.
  Object.defineProperty(screen, "columns", { get: () => stdout.columns });
  const typedAhead: string[] = [];
  let give: ((line: string | null) => void) | null = null;
  let isEnded = false;
  let reader: Interface | null = null;

  const openReader = (): Interface => {
    const opened = createInterface({ input: stdin, output: screen, terminal: true });
    opened.on("line", (line) => {
      if (give === null) typedAhead.push(line);
      else give(line);
    });
    opened.on("SIGINT", () => opened.close());
    opened.on("close", () => {
      if (reader !== opened) return;
      isEnded = true;
      give?.(null);
    });
    return opened;
  };

  const closeReader = (): void => {
    const closing = reader;
    reader = null;
    closing?.close();
  };

  return {
    ask: async (question, { hidden = false } = {}) => {
      if (!isEnded) {
        reader ??= openReader();
        reader.setPrompt(question);
        reader.prompt();
      }
      isHidden = hidden;
      const line =
        typedAhead.shift() ??
        (isEnded ? null : await new Promise<string | null>((resolve) => void (give = resolve)));
      give = null;
      isHidden = false;
      if (hidden) {
        stdout.write("\n");
        // A reader that has seen it would bring it back: by an arrow key, or yanked.
        closeReader();
      }
      if (line === null) {
        stdout.write("\n");
        throw new FactoryError("Cancelled: nothing was changed", { exitCode: 130 });
      }
      return line.trim();
    },
    close: closeReader,
  };
}
