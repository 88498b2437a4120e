/**
 * Changes one key in the text of config.toml, or adds a section at its end. Comments, order and spaces stay as they were. Pure: the
 * caller judges and writes the new text.
 */
import { isDeepStrictEqual } from "node:util";
import { patch } from "@decimalturn/toml-patch";
import { parse, stringify } from "smol-toml";
import { FactoryError } from "../words/failure.ts";
import { keyText } from "./problems.ts";
import { isTable, type Table } from "./section-reader.ts";
import { locateToml } from "./toml-lines.ts";

/** `testbed.gimlet-1.enabled` as its parts. Only the names of testbeds and targets may have dots. Null: it names no key. */
export function readKey(text: string): string[] | null {
  const [section = "", ...rest] = text.replaceAll(/["']/g, "").split(".");
  const isNamed = section === "testbed" || section === "target";
  const key = isNamed ? [rest.slice(0, -1).join("."), ...rest.slice(-1)] : rest;
  return key.length === 0 || [section, ...key].includes("") ? null : [section, ...key];
}

/** A value as a person types it: TOML, or else a text without quotes. The readings to try, the likeliest first. */
export function readingsOf(typed: string): unknown[] {
  try {
    const { value, ...more } = parse(`value = ${typed}`);
    if (Object.keys(more).length > 0) return [typed];
    return typeof value === "string" ? [value] : [value, typed];
  } catch {
    return [typed];
  }
}

export function isToml(text: string): boolean {
  try {
    parse(text);
    return true;
  } catch {
    return false;
  }
}

export function valueAt(root: Table, path: string[]): unknown {
  return path.reduce<unknown>((table, key) => (isTable(table) ? table[key] : undefined), root);
}

/** `undefined` removes the key. Throws a FactoryError if the text does not allow so small a change. */
export function withValue(text: string, path: string[], value: unknown): string {
  const wanted = parse(text) as Table;
  const tables = path.slice(0, -1);
  const table = tables.reduce<Table>((parent, key) => {
    const child = isTable(parent[key]) ? parent[key] : {};
    parent[key] = child;
    return child;
  }, wanted);
  const key = path.at(-1) ?? "";
  if (value === undefined) delete table[key];
  else table[key] = value;
  return checked(text, wanted, () => patch(text, wanted, { trailingComma: false }));
}

/** Adds `[a.b]` with these keys at the end. There is none of that name yet. */
export function withSection(text: string, path: [string, string], keys: Table): string {
  const [group, name] = path;
  const wanted = parse(text) as Table;
  wanted[group] = { ...(isTable(wanted[group]) ? wanted[group] : {}), [name]: keys };
  const newLine = text.includes("\r\n") ? "\r\n" : "\n";
  const section = `\n[${keyText(path)}]\n${stringify(keys)}`.replaceAll("\n", newLine);
  return checked(text, wanted, () => `${text.trimEnd()}${newLine}${section}`);
}

/** What is written must say what is wanted, and no comment may be lost. */
function checked(before: string, wanted: Table, edit: () => string): string {
  try {
    const after = edit();
    const kept = new Set(linesOf(after));
    const isKept = linesOf(before).every((line) => !line.startsWith("#") || kept.has(line));
    if (isKept && isDeepStrictEqual(plain(parse(after)), plain(wanted))) return after;
  } catch {
    // What the editor cannot do, a person can.
  }
  throw new FactoryError("Cannot change this key without changing more of the file", {
    hint: "Edit the file by hand",
  });
}

/** smol-toml's tables have no prototype. */
const plain = (table: Table): Table => structuredClone(table);
const linesOf = (text: string): string[] => text.split("\n").map((line) => line.trim());

/** For a message: where the key is in the text. */
export function lineOfKey(text: string, path: string[]): number {
  return locateToml(text)(path);
}
