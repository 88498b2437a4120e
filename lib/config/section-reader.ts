/** Reads one section by its schema: reports each problem with its fix, and goes on with the correct keys. */
import type { z } from "zod";
import type { TomlPath } from "./toml-lines.ts";
import { keyText, kindOf, nearestWord, showValue, type Complain } from "./problems.ts";
import { keys } from "./keys.ts";
import { keepKeys, sectionKeys } from "./schema.ts";

export type Table = Record<string, unknown>;

/** Reports keys and sections at the top of the file that are not known. */
export function checkRoot(root: Table, complain: Complain): void {
  const known = `The sections are ${Object.keys(sectionKeys)
    .map(headerOf)
    .join(", ")
    .replace(/, ([^,]+)$/, " and $1")}`;
  for (const [name, value] of Object.entries(root)) {
    if (Object.hasOwn(sectionKeys, name)) continue;
    const near = nearestWord(name, Object.keys(sectionKeys));
    const fix = near === null ? known : `Did you mean ${near}? ${known}`;
    if (isTable(value)) complain([name], "unknown section", fix);
    else complain([name], "unknown key", belongsElsewhere(name) ?? fix);
  }
}

/**
 * Returns the correct keys of a section, so that the caller can check them against each other. It reports every wrong
 * key; if it reports none, the returned section is complete.
 */
export function readSection<S extends z.ZodObject>(
  schema: S,
  value: unknown,
  at: TomlPath,
  complain: Complain,
): Partial<z.output<S>> {
  if (!isTable(value)) {
    const header = `[${keyText(at)}]`;
    const isMissing = value === undefined;
    const wrong = isMissing ? "the section is missing" : `must be a section, not ${kindOf(value)}`;
    complain(at, wrong, isMissing ? `Add ${header} with ${requiredKeys(schema)}` : `Begin it with ${header}`);
    return {};
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const wrong = new Set<unknown>();
  const unknown = result.error.issues.flatMap((issue) =>
    issue.code === "unrecognized_keys" ? issue.keys : [],
  );
  const misspelt = new Set(unknown.map((name) => nearestWord(name, keysOf(at))));
  for (const issue of result.error.issues) {
    const [name] = issue.path;
    const isMisspelt = typeof name === "string" && !(name in value) && misspelt.has(name);
    if (!isMisspelt) complainOf(issue, value, at, complain);
    if (issue.path.length > 0) wrong.add(issue.path[0]);
    else if (issue.code === "unrecognized_keys") for (const name of issue.keys) wrong.add(name);
  }
  const right = Object.fromEntries(Object.entries(value).filter(([name]) => !wrong.has(name)));
  return (schema.partial().safeParse(right).data ?? {}) as Partial<z.output<S>>;
}

function requiredKeys(schema: z.ZodObject): string {
  const required = Object.entries(schema.shape).filter(
    ([, field]) => !(field as z.ZodType).safeParse(undefined).success,
  );
  return required.map(([name]) => `${name} = ${keys[name]?.[1]}`).join(", ") || "its keys";
}

function complainOf(issue: z.core.$ZodIssue, section: Table, at: TomlPath, complain: Complain): void {
  const path = issue.path as TomlPath;
  if (issue.code === "unrecognized_keys") {
    for (const name of issue.keys) {
      complain([...at, ...path, name], "unknown key", fixUnknownKey(name, [...at, ...path]));
    }
    return;
  }
  const value = path.reduce<unknown>((inside, part) => (inside as Table)[part], section);
  const name = String(path.findLast((part) => typeof part === "string"));
  const example = `${name} = ${keys[name]?.[1]}`;
  const [wrong, fix] =
    value === undefined
      ? ["it is missing", `Add ${example} to [${keyText(at)}]`]
      : wordIssue(issue, value, `Write it as in ${example}`);
  complain([...at, ...path], wrong, fix);
}

const typeNames: Record<string, string> = {
  string: "a string",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "an array",
  object: "a table",
};

/** What is wrong and how to fix it. It does not show a value of the wrong type, which may be a token. */
function wordIssue(issue: z.core.$ZodIssue, value: unknown, rewrite: string): [string, string] {
  switch (issue.code) {
    case "custom":
      return [issue.message, String(issue.params?.["fix"])];
    case "too_small":
      if (Array.isArray(value)) return ["it is empty", rewrite];
      return [`${showValue(value)} is too small`, `Write at least ${issue.minimum}`];
    case "too_big":
      return [`${showValue(value)} is too large`, `Write at most ${issue.maximum}`];
    case "invalid_type": {
      // For a fraction, nan or inf, the type alone ("a number") would not explain the problem.
      const isNumber = typeof value === "number" && /^(?:int|number)$/.test(issue.expected);
      const given = isNumber ? showValue(value) : kindOf(value);
      return [`must be ${typeNames[issue.expected] ?? issue.expected}, not ${given}`, rewrite];
    }
    default:
      return [issue.message, rewrite];
  }
}

function keysOf(section: TomlPath): readonly string[] {
  const isInner = section.at(-1) === "keep" && section.length === 2 && section[0] === "general";
  return isInner ? keepKeys : (sectionKeys[String(section[0])] ?? []);
}

function fixUnknownKey(name: string, section: TomlPath): string {
  const known = keysOf(section);
  const near = nearestWord(name, known);
  if (near !== null) return `Did you mean ${near}?`;
  return belongsElsewhere(name) ?? `Known here: ${known.join(", ")}`;
}

function belongsElsewhere(name: string): string | null {
  const homes = Object.keys(sectionKeys).filter((section) => sectionKeys[section]?.includes(name));
  return homes.length === 0 ? null : `It belongs under ${homes.map(headerOf).join(" or ")}`;
}

const headerOf = (section: string): string =>
  section === "testbed" || section === "target" ? `[${section}.NAME]` : `[${section}]`;

/** The sections below a common name, such as `target`. If the value is not a table, it reports that and returns none. */
export function entriesOf(value: unknown, section: string, complain: Complain): [string, unknown][] {
  if (isTable(value)) return Object.entries(value);
  if (value !== undefined) {
    complain([section], `must be sections, not ${kindOf(value)}`, `Begin each with [${section}.NAME]`);
  }
  return [];
}

export function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}
