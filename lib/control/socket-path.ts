/** Where the control socket of a database is: factories with one directory and several databases have one each. Pure. */
import { basename, dirname } from "node:path";

export function controlDirectoryOf(database: string): string {
  return `${dirname(database)}/control`;
}

export function controlSocketOf(database: string): string {
  const name = basename(database);
  return `${controlDirectoryOf(database)}/${name === "data.sqlite3" ? "control" : name}.sock`;
}
