/** Asks a person, again until the answer can be used. It must not know what the questions are about. */
import type { Parsed } from "../../config/values.ts";
import type { Terminal } from "../../doors/terminal.ts";

export interface Questions {
  /** `usual` is taken for an empty answer; without it an answer is required. */
  value<T>(
    question: string,
    read: (answer: string) => Parsed<T>,
    options?: { usual?: string; hidden?: boolean },
  ): Promise<T>;
  /** `hidden`: where a person may paste a secret too soon. */
  isWanted(question: string, usual: boolean, options?: { hidden?: boolean }): Promise<boolean>;
}

export function openQuestions(terminal: Terminal, print: (line: string) => void): Questions {
  return {
    value: async (question, read, { usual, hidden = false } = {}) => {
      const shown = usual === undefined || usual === "" ? "" : ` [${usual}]`;
      for (;;) {
        const answer = (await terminal.ask(`${question}${shown}: `, { hidden })) || usual;
        if (answer === undefined) continue;
        const parsed = read(answer);
        if ("value" in parsed) return parsed.value;
        print(`  ${parsed.wrong}\n  ${parsed.fix}`);
      }
    },
    isWanted: async (question, usual, options) => {
      const prompt = `${question} ${usual ? "[Y/n]" : "[y/N]"} `;
      for (;;) {
        const answer = (await terminal.ask(prompt, options)).toLowerCase();
        if (answer === "") return usual;
        if (["y", "yes"].includes(answer)) return true;
        if (["n", "no"].includes(answer)) return false;
      }
    },
  };
}
