/**
 * The words after a bmat command, read as the real bmat reads them: flags come first, and from the first other word on all
 * words are arguments, whatever they begin with (`bmat store put offset -5`). Pure.
 */

/** The arguments are wrong: usage and message, exit 1. */
export class UsageError extends Error {
  readonly command: string[];

  constructor(command: string[], message: string) {
    super(message);
    this.command = command;
  }
}

/** A flag's letter, and whether a value follows it: in the same word, or the next one. */
export type Flags = Record<string, "alone" | "takes a value">;

export interface Options {
  /** By letter; empty for a flag without a value. */
  flags: Map<string, string>;
  args: string[];
  wantsHelp: boolean;
}

/** Throws UsageError. `command` are the words before. */
export function readOptions(words: string[], known: Flags, command: string[]): Options {
  const options: Options = { flags: new Map(), args: [], wantsHelp: false };
  const fail = (message: string): never => {
    throw new UsageError(command, message);
  };
  let at = 0;
  for (; at < words.length; at += 1) {
    const word = words[at] as string;
    if (word === "--") {
      at += 1;
      break;
    }
    if (!word.startsWith("-") || word === "-") break;
    if (word === "--help") options.wantsHelp = true;
    else if (word.startsWith("--")) fail(`Unrecognized option: '${word.slice(2)}'`);
    else at += readLetters(word.slice(1), words[at + 1]);
  }
  options.args = words.slice(at);
  return options;

  /** Several letters in one word. How many words more were taken. */
  function readLetters(letters: string, next: string | undefined): 0 | 1 {
    for (const [index, letter] of letters.split("").entries()) {
      const kind = Object.hasOwn(known, letter) ? known[letter] : fail(`Unrecognized option: '${letter}'`);
      if (options.flags.has(letter)) fail(`Option '${letter}' given more than once`);
      const rest = letters.slice(index + 1);
      const value = kind === "alone" ? "" : rest === "" ? next : rest;
      if (value === undefined) return fail(`Argument to option '${letter}' missing`);
      options.flags.set(letter, value);
      if (kind === "takes a value") return rest === "" ? 1 : 0;
    }
    return 0;
  }
}
