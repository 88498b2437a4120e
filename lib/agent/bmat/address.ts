/**
 * `bmat address`: the lab's IP addresses for a job. This factory gives a job none, so there are never any to list: only
 * the header, in the real bmat's columns.
 */
import { type BmatCommand, noArguments } from "./command.ts";
import { type Options, UsageError } from "./options.ts";
import { debugText } from "../os-error.ts";

/** Each with its width. */
const columns: Record<string, number> = {
  name: 16,
  cidr: 18,
  first: 15,
  last: 15,
  count: 5,
  family: 6,
  network: 15,
  mask: 15,
  routed: 6,
  gateway: 15,
};
const usualColumns = "name,cidr,first,last,count";

export const addressCommands: Record<string, BmatCommand> = {
  list: {
    usage: "[-f NAME] [-o COLUMNS] [-s COLUMNS] [-S COLUMNS] [-H] [-p]",
    alias: "ls",
    flags: {
      f: "takes a value",
      o: "takes a value",
      s: "takes a value",
      S: "takes a value",
      H: "alone",
      p: "alone",
    },
    takes: noArguments,
    run: listAddresses,
  },
};

/** Hidden, for those who work on buildomat itself. */
export const engineeringCommands: Record<string, BmatCommand> = {
  metadata: {
    usage: null,
    flags: {},
    takes: noArguments,
    run: async () => void (await Bun.write(Bun.stdout, "addrs = []\n")),
  },
};

async function listAddresses({ flags }: Options): Promise<void> {
  const named = (list: string | undefined): string[] =>
    list === undefined ? [] : list.split(",").map((name) => name.trim().toLowerCase());
  const shown = named(flags.get("o") ?? usualColumns);
  const unknown = [...shown, ...named(flags.get("s")), ...named(flags.get("S"))].filter(
    (name) => !Object.hasOwn(columns, name),
  );
  if (unknown.length > 0) {
    throw new UsageError(["address", "list"], `invalid column names: ${unknown.join(", ")}`);
  }
  const wanted = flags.get("f");
  if (wanted !== undefined) throw new Error(`IP address range ${debugText(wanted)} not found`);
  if (flags.has("H")) return;
  const header = shown.map((name) => name.toUpperCase().padEnd(columns[name] ?? 0)).join(" ");
  await Bun.write(Bun.stdout, `${header.trimEnd()}\n`);
}
