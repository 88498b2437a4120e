/**
 * An operator's statements about a testbed: the command `clear` writes them to the database while a factory runs, and the
 * factory answers them there. A second process writes only these rows.
 */
import { Database } from "bun:sqlite";
import { FactoryError } from "../words/failure.ts";
import { cannotOpen, hasTable } from "./file.ts";

/** "Nothing of this instance is left running, because ..." */
export interface OperatorWord {
  testbed: string;
  /** 0: no instance was open; the statement only clears the testbed's failures. */
  seq: number;
  because: string;
}

export interface WordAnswer {
  isObeyed: boolean;
  /** For people. */
  text: string;
}

/** The statements without an answer. */
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
  /** Commits statements and deletes older ones about the same testbeds. */
  leave(words: OperatorWord[]): void;
  /** The answers, once all statements have one; null before. Deletes what it returns. */
  takeAnswers(testbed: string): WordAnswer[] | null;
  close(): void;
}

/** For writing while a factory runs. Throws FactoryError if that is impossible. */
export function openWordWriter(path: string): WordWriter {
  const database = orFail(path, () => new Database(path, { readwrite: true, strict: true }));
  const attempt = <T>(action: () => T): T => orFail(path, action);
  attempt(() => database.run("PRAGMA busy_timeout = 5000"));
  if (!attempt(() => hasTable(database, "factory_word"))) {
    database.close();
    throw new FactoryError("Cannot reach the running factory: it is an older version of this program", {
      hint: "Stop it first (job agents keep running), then repeat this command",
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
