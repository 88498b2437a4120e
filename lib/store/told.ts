/** Conditions of the lab that somebody was told of and that last, by their names. */
import type { Database } from "bun:sqlite";

export function readTold(database: Database): Set<string> {
  const rows = database.query<{ name: string }, []>("SELECT name FROM factory_told").all();
  return new Set(rows.map(({ name }) => name));
}

export function writeTold(database: Database, names: ReadonlySet<string>): void {
  database.transaction(() => {
    database.run("DELETE FROM factory_told");
    for (const name of names) database.query("INSERT INTO factory_told (name) VALUES (?)").run(name);
  })();
}
