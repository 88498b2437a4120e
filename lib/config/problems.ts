/** Problems of a configuration and the one message that lists them all. It does not know any key by name. */
import type { TomlPath } from "./toml-lines.ts";
import { FactoryError } from "../words/failure.ts";

export interface ConfigProblem {
  /** Counted from 1; null if the problem is in the environment, not in a file. */
  line: number | null;
  /** For example `general.baseurl`. */
  key: string;
  /** What is wrong, with the value unless it may be a secret. */
  wrong: string;
  /** What to do about it. */
  fix: string;
}

/** Adds a problem with the key at `path`. */
export type Complain = (path: TomlPath, wrong: string, fix: string) => void;

/** Keeps the message readable if a file has thousands of wrong lines. */
const maxShown = 100;

/** All problems of one configuration file. The message lists them for people. */
export class ConfigError extends FactoryError {
  override name = "ConfigError";
  readonly problems: ConfigProblem[];

  constructor(path: string, problems: ConfigProblem[]) {
    const sorted = problems.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0));
    super(describe(path, sorted));
    this.problems = sorted;
  }
}

function describe(path: string, problems: ConfigProblem[]): string {
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  const lines = problems.slice(0, maxShown).map(({ line, key, wrong, fix }) => {
    const place = line === null ? "environment" : `${path}:${line}`;
    return `  ${place}: ${key}: ${wrong}\n    ${fix}`;
  });
  if (problems.length > maxShown) lines.push(`  and ${problems.length - maxShown} more`);
  return `Cannot use ${path}: ${count}\n${lines.join("\n")}`;
}

/** A path as TOML writes it, for example `testbed.a.targets[0]`. */
export function keyText(path: TomlPath): string {
  const parts = path.map((part) => (typeof part === "number" ? `[${part}]` : `.${tomlKey(part)}`));
  return parts.join("").slice(1);
}

/** One part of a key, quoted if TOML requires it. */
export function tomlKey(name: string): string {
  return /^[A-Za-z0-9_-]+$/.test(name) ? name : quote(name);
}

/** A value as the user may have written it, cut short; control characters are escaped. */
export function showValue(value: unknown): string {
  if (typeof value === "number" || typeof value === "boolean" || typeof value === "bigint") return `${value}`;
  if (typeof value === "string") return quote(value.length > 80 ? `${value.slice(0, 80)}...` : value);
  return kindOf(value);
}

/** Quotes like JSON, and also escapes the control characters beyond ASCII that a terminal would act on. */
export function quote(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The TOML name of a parsed value's type, with its article. */
export function kindOf(value: unknown): string {
  if (Array.isArray(value)) return "an array";
  if (value instanceof Date) return "a date";
  if (typeof value === "object") return "a table";
  return `a ${typeof value}`;
}

/** Without a limit, comparing ten thousand misspelt words with ten thousand known ones would take minutes. */
const maxCompared = 200;

/** The known word nearest to a misspelt one; null if none is near enough. */
export function nearestWord(word: string, known: Iterable<string>): string | null {
  if (word.length > 64) return null;
  let nearest: string | null = null;
  let best = Math.floor(word.length / 3) + 1;
  let compared = 0;
  for (const candidate of known) {
    if (++compared > maxCompared) break;
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase(), best);
    if (distance < best) [nearest, best] = [candidate, distance];
  }
  return nearest;
}

/** The end of a message about a misspelt word: `; did you mean host?`, or nothing. */
export function didYouMean(word: string, known: Iterable<string>, prefix = ""): string {
  const near = nearestWord(word, known);
  return near === null ? "" : `; did you mean ${prefix}${near}?`;
}

/** Counts insertions, deletions, replacements and swaps of neighbours, up to `limit`. */
function editDistance(from: string, to: string, limit: number): number {
  if (Math.abs(from.length - to.length) >= limit) return limit;
  let older: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    for (let j = 1; j <= to.length; j++) {
      const isSame = from[i - 1] === to[j - 1];
      let cost = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (isSame ? 0 : 1));
      const isSwap = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1];
      if (isSwap) cost = Math.min(cost, (older[j - 2] ?? 0) + 1);
      row.push(cost);
    }
    if (Math.min(...row) >= limit) return limit;
    [older, last] = [last, row];
  }
  return Math.min(limit, last[to.length] ?? limit);
}
