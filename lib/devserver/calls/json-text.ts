/**
 * Reads JSON text for the places of its values. The runtime's own parser is faster but says neither where a value lies nor,
 * in the server's words, why a text is none; this one is asked only when a body is refused or has bytes after its value.
 */

export type Path = (string | number)[];

/** Why a text is not JSON, worded as the server's parser words it. */
export class JsonError extends Error {}

export interface Place {
  /** Offset of the value's first character. */
  start: number;
  /** Offset after its last one. */
  end: number;
}

/** `at line 1 column 7`: columns count bytes, and the character at `offset` is not yet among them. */
export function describePlace(text: string, offset: number): string {
  const lines = text.slice(0, offset).split("\n");
  return `at line ${lines.length} column ${Buffer.byteLength(lines.at(-1) ?? "")}`;
}

/** Where the text's first value lies and, below it, the value at `path`; what follows the first value is not read. */
export function locateJson(text: string, path: Path): { whole: Place; wanted: Place } {
  let offset = 0;
  let wanted: Place | null = null;

  const fail = (why: string, at: number): never => {
    throw new JsonError(`${why} ${describePlace(text, Math.min(at, text.length))}`);
  };
  const skipSpace = (): void => {
    while (" \t\r\n".includes(text[offset] ?? "x")) offset += 1;
  };
  /** The next character, or the error of a text that ends inside `what`. */
  const peek = (what: string): string => {
    skipSpace();
    return text[offset] ?? fail(`EOF while parsing ${what}`, offset);
  };

  function readValue(left: Path | null): void {
    const first = peek("a value");
    const start = offset;
    if (first === "{") readObject(left);
    else if (first === "[") readList(left);
    else if (first === '"') readText();
    else readWord(first);
    if (left?.length === 0) wanted = { start, end: offset };
  }

  function readObject(left: Path | null): void {
    offset += 1;
    if (peek("an object") === "}") return void (offset += 1);
    for (;;) {
      if (peek("an object") !== '"') fail("key must be a string", offset + 1);
      const start = offset;
      readText();
      const key: unknown = JSON.parse(text.slice(start, offset));
      if (peek("an object") !== ":") fail("expected `:`", offset + 1);
      offset += 1;
      readValue(left !== null && left[0] === key ? left.slice(1) : null);
      const next = peek("an object");
      offset += 1;
      if (next === "}") return;
      if (next !== ",") fail("expected `,` or `}`", offset);
      if (peek("a value") === "}") fail("trailing comma", offset + 1);
    }
  }

  function readList(left: Path | null): void {
    offset += 1;
    if (peek("a list") === "]") return void (offset += 1);
    for (let index = 0; ; index += 1) {
      readValue(left !== null && left[0] === index ? left.slice(1) : null);
      const next = peek("a list");
      offset += 1;
      if (next === "]") return;
      if (next !== ",") fail("expected `,` or `]`", offset);
      if (peek("a value") === "]") fail("trailing comma", offset + 1);
    }
  }

  function readText(): void {
    const start = offset;
    offset += 1;
    for (;;) {
      const next = text[offset] ?? fail("EOF while parsing a string", offset);
      offset += 1;
      if (next === '"') break;
      if (next === "\\") offset += 1;
      else if (next < " ") fail("control character (\\u0000-\\u001F) found while parsing a string", offset);
    }
    try {
      JSON.parse(text.slice(start, offset));
    } catch {
      fail("invalid escape", offset);
    }
  }

  function readWord(first: string): void {
    const word = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)/.exec(text.slice(offset));
    if (word === null) {
      if ("tfn".includes(first)) fail("expected ident", offset + 2);
      fail(/[-\d]/.test(first) ? "invalid number" : "expected value", offset + 1);
    } else offset += word[0].length;
  }

  skipSpace();
  const start = offset;
  readValue(path);
  const whole = { start, end: offset };
  return { whole, wanted: wanted ?? whole };
}
