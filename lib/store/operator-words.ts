/**
 * What an operator says of a testbed while a factory runs: left in the database by the command `clear`, and answered by the
 * factory. The only rows that a second process writes.
 */
import { Database } from "bun:sqlite";
import { FactoryError } from "../words/failure.ts";
import { cannotOpen, hasTable } from "./file.ts";

/** "Nothing of this instance is left running, because ..." */
export interface OperatorWord {
  testbed: string;
  /** 0: no instance was open; only what the lab has against the testbed is to be forgotten. */
  seq: number;
  because: string;
}

export interface WordAnswer {
  isObeyed: boolean;
  /** For people. */
  text: string;
}

/** Those that are not answered yet. */
export function readWords(database: Database): OperatorWord[] {
  return database
    .query<OperatorWord, []>(
      "SELECT testbed_name AS testbed, seq, because FROM factory_word WHERE answer IS NULL ORDER BY testbed_name, seq",
    )
    .all();
}

export function answerWord(database: Database, { testbed, seq }: OperatorWord, answer: WordAnswer): void {
  database
    .query("UPDATE factory_word SET is_obeyed = ?, answer = ? WHERE testbed_name = ? AND seq = ?")
    .run(Number(answer.isObeyed), answer.text, testbed, seq);
}

export interface WordWriter {
  /** Commits what is said of one testbed, and forgets what was said of it before. */
  leave(words: OperatorWord[]): void;
  /** The answers, once all are there; they are forgotten then. */
  takeAnswers(testbed: string): WordAnswer[] | null;
  close(): void;
}

/** Writes beside a factory that runs. Throws FactoryError where that cannot be. */
export function openWordWriter(path: string): WordWriter {
  const database = orFail(path, () => new Database(path, { readwrite: true, strict: true }));
  const attempt = <T>(action: () => T): T => orFail(path, action);
  attempt(() => database.run("PRAGMA busy_timeout = 5000"));
  if (!attempt(() => hasTable(database, "factory_word"))) {
    database.close();
    throw new FactoryError("Cannot tell the running factory: it is an older version of this program", {
      hint: "Stop it first (job agents run on), then say this again",
    });
  }
  const forget = (testbed: string): void => {
    database.query("DELETE FROM factory_word WHERE testbed_name = ?").run(testbed);
  };
  return {
    leave: (words) =>
      attempt(() =>
        database.transaction(() => {
          for (const { testbed } of words) forget(testbed);
          const add = "INSERT INTO factory_word (testbed_name, seq, because) VALUES (?, ?, ?)";
          for (const { testbed, seq, because } of words) database.query(add).run(testbed, seq, because);
        })(),
      ),
    takeAnswers: (testbed) =>
      attempt(() => {
        const rows = database
          .query<{ is_obeyed: number; answer: string | null }, [string]>(
            "SELECT is_obeyed, answer FROM factory_word WHERE testbed_name = ? ORDER BY seq",
          )
          .all(testbed);
        if (rows.some(({ answer }) => answer === null)) return null;
        forget(testbed);
        return rows.map(({ is_obeyed, answer }) => ({ isObeyed: is_obeyed === 1, text: answer ?? "" }));
      }),
    close: () => database.close(),
  };
}

function orFail<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw cannotOpen(path, error);
  }
}
