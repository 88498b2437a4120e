/**
 * Finds the line of each key in a TOML text, because smol-toml gives positions only for what it cannot parse.
 * It does not validate: for a text that is not TOML the lines may be wrong, but it never throws.
 */

export type TomlPath = (string | number)[];

/** Deeper than any real configuration. Anything nested deeper gets the line of the value that contains it. */
const maxDepth = 32;

/**
 * Returns a function from a key's path (array elements by index) to its line, counted from 1. If the key is not in the
 * text, it returns the line of the nearest parent, or else 1.
 */
export function locateToml(text: string): (path: TomlPath) => number {
  const lines = new Map<string, number>();
  let at = text.charCodeAt(0) === 0xfeff ? 1 : 0;
  let line = 1;
  let counted = 0;
  /** The value is nested deeper than `maxDepth`: skip the rest of its line. */
  let isTooDeep = false;

  const peek = (): string => text[at] ?? "";
  const isNext = (word: string): boolean => text.startsWith(word, at);

  function record(path: TomlPath, position: number): void {
    for (; counted < position; counted++) if (text[counted] === "\n") line++;
    for (let length = path.length; length > 0; length--) {
      const name = JSON.stringify(path.slice(0, length));
      if (lines.has(name)) break;
      lines.set(name, line);
    }
  }

  function skip(pattern: RegExp): string {
    pattern.lastIndex = at;
    const [found] = pattern.exec(text) ?? [""];
    at += found.length;
    return found;
  }
  /** Like `skip`, for a text with an end mark. Without the mark, it reaches to the end of the file. */
  const skipPast = (pattern: RegExp): void => {
    if (skip(pattern) === "") at = text.length;
  };
  const skipBlank = (): string => skip(/(?:\s|#[^\n]*)*/y);
  const skipSpace = (): string => skip(/[ \t]*/y);

  /** A bare, quoted or dotted key; empty if there is none. */
  function readKey(): string[] {
    const parts: string[] = [];
    do {
      if (parts.length > 0) at++;
      skipSpace();
      const quoted = skip(/"(?:[^"\\\n]|\\.)*"|'[^'\n]*'/y);
      const part = quoted === "" ? skip(/[A-Za-z0-9_-]+/y) : unquote(quoted);
      if (quoted === "" && part === "") break;
      parts.push(part);
      skipSpace();
    } while (peek() === ".");
    return parts;
  }

  function readValue(path: TomlPath, depth: number): void {
    if (depth > maxDepth) {
      isTooDeep = true;
      skip(/[^\n]*/y);
    }
    if (isTooDeep) return;
    if (peek() === "{") readTable(path, depth);
    else if (peek() === "[") readArray(path, depth);
    else if (isNext('"""')) skipPast(/"""(?:[^"\\]|\\[\s\S]|"(?!""))*"{3,5}/y);
    else if (isNext("'''")) skipPast(/'''(?:[^']|'(?!''))*'{3,5}/y);
    else skip(/"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s,\]}#]+/y);
  }

  function readTable(path: TomlPath, depth: number): void {
    at++;
    while (at < text.length) {
      skipBlank();
      if (peek() === "}" || peek() === "") break;
      readPair(path, depth + 1);
      if (isTooDeep) return;
      skipBlank();
      if (peek() !== ",") break;
      at++;
    }
    if (peek() === "}") at++;
  }

  function readArray(path: TomlPath, depth: number): void {
    at++;
    for (let index = 0; at < text.length; index++) {
      skipBlank();
      if (peek() === "]" || peek() === "") break;
      record([...path, index], at);
      readValue([...path, index], depth + 1);
      if (isTooDeep) return;
      skipBlank();
      if (peek() !== ",") break;
      at++;
    }
    if (peek() === "]") at++;
  }

  function readPair(table: TomlPath, depth: number): void {
    const start = at;
    const key = readKey();
    if (key.length > 0 && key.length <= maxDepth) record([...table, ...key], start);
    if (peek() === "=") {
      at++;
      skipSpace();
      readValue([...table, ...key], depth);
    }
  }

  let table: TomlPath = [];
  while (skipBlank() !== "" || at < text.length) {
    if (peek() === "[") {
      const start = at;
      at += isNext("[[") ? 2 : 1;
      table = readKey().slice(0, maxDepth);
      record(table, start);
    } else {
      readPair(table, 0);
    }
    skip(/[^\n]*/y);
    isTooDeep = false;
  }

  return (path) => {
    for (let length = path.length; length > 0; length--) {
      const found = lines.get(JSON.stringify(path.slice(0, length)));
      if (found !== undefined) return found;
    }
    return 1;
  };
}

function unquote(quoted: string): string {
  if (quoted.startsWith("'")) return quoted.slice(1, -1);
  try {
    return String(JSON.parse(quoted));
  } catch {
    return quoted.slice(1, -1);
  }
}
