/**
 * The patterns of output rules, as the real agent reads them (lib/agent/README.md "Output rules"; it uses Rust's glob
 * library). Pure: texts in, verdicts out. Walking directories is outputs/rules.ts's part.
 */

type Token =
  | { is: "character"; character: string }
  | { is: "any character" }
  | { is: "any run" }
  /** `**` with the slash after it: nothing, or a run that ends in a slash. */
  | { is: "any directories" }
  | { is: "class"; isNegated: boolean; ranges: [from: number, to: number][] };

export interface Pattern {
  ok: true;
  text: string;
  tokens: Token[];
  /** The pattern holds `**`: a component that is that alone stands for any number of directories. */
  isRecursive: boolean;
  /** Without one it names a single file, and no directory has to be read for it. */
  hasWildcard: boolean;
}

/** `position` counts characters from 0, as the real agent reports it. */
export interface PatternError {
  ok: false;
  position: number;
  message: string;
}

const wildcardMessage = "wildcards are either regular `*` or recursive `**`";
const recursiveMessage = "recursive wildcards must form a single path component";
const rangeMessage = "invalid range pattern";

export function parsePattern(text: string): Pattern | PatternError {
  const characters = Array.from(text);
  const pattern: Pattern = { ok: true, text, tokens: [], isRecursive: false, hasWildcard: false };
  let at = 0;
  while (at < characters.length) {
    const character = characters[at] as string;
    if (character === "?") {
      pattern.tokens.push({ is: "any character" });
      at += 1;
    } else if (character === "*") {
      const step = parseStars(characters, at);
      if (!step.ok) return step;
      // `**` after `**` says nothing new, except right at the start, where the real agent keeps both.
      const isRepeated = pattern.tokens.length > 1 && pattern.tokens.at(-1)?.is === "any directories";
      if (!(step.token.is === "any directories" && isRepeated)) pattern.tokens.push(step.token);
      pattern.isRecursive ||= step.token.is === "any directories";
      at = step.next;
    } else if (character === "[") {
      const step = parseClass(characters, at);
      if (!step.ok) return step;
      pattern.tokens.push(step.token);
      at = step.next;
    } else {
      pattern.tokens.push({ is: "character", character });
      at += 1;
    }
    pattern.hasWildcard ||= "?*[".includes(character);
  }
  return pattern;
}

type TokenRead = { ok: true; token: Token; next: number } | PatternError;

function parseStars(characters: string[], start: number): TokenRead {
  let next = start;
  while (characters[next] === "*") next += 1;
  const count = next - start;
  if (count > 2) return { ok: false, position: start + 2, message: wildcardMessage };
  if (count === 1) return { ok: true, token: { is: "any run" }, next };
  if (start > 0 && characters[start - 1] !== "/") {
    return { ok: false, position: start - 1, message: recursiveMessage };
  }
  if (next < characters.length && characters[next] !== "/") {
    return { ok: false, position: next, message: recursiveMessage };
  }
  return { ok: true, token: { is: "any directories" }, next: next + (next < characters.length ? 1 : 0) };
}

/** `[abc]`, `[a-z]`, `[!a]`; a `]` that comes first stands for itself. */
function parseClass(characters: string[], start: number): TokenRead {
  const isNegated = characters[start + 1] === "!";
  const first = start + (isNegated ? 2 : 1);
  const end = characters.indexOf("]", first + 1);
  if (end === -1) return { ok: false, position: start, message: rangeMessage };
  const members = characters.slice(first, end).map((member) => member.codePointAt(0) as number);
  const ranges: [number, number][] = [];
  let at = 0;
  while (at < members.length) {
    const isRange = at + 3 <= members.length && members[at + 1] === 0x2d;
    ranges.push([members[at] as number, members[at + (isRange ? 2 : 0)] as number]);
    at += isRange ? 3 : 1;
  }
  return { ok: true, token: { is: "class", isNegated, ranges }, next: end + 1 };
}

/**
 * Whether the pattern matches the whole text. `*`, `?` and classes match `/` and leading dots too: the ignore, required
 * and size rules are tested so against full paths. All ways are followed at once, so the time is the product of both
 * lengths whatever the pattern.
 */
export function matchesText(pattern: Pattern, text: string): boolean {
  const { tokens } = pattern;
  // A place is twice the index of the token to match next, plus one inside the run of an "any directories".
  let places = new Set<number>();
  enter(tokens, 0, places);
  for (const character of text) {
    const next = new Set<number>();
    for (const place of places) advance(tokens, place, character, next);
    if (next.size === 0) return false;
    places = next;
  }
  // A run of directories needs no last slash at the text's end: `/a/**` matches `/a/b`, though no walk finds that file by it.
  const ends = new Set<number>();
  for (const place of places) enter(tokens, place >> 1, ends);
  return ends.has(2 * tokens.length);
}

/** Adds a place and those that are reached from it without a character. */
function enter(tokens: Token[], index: number, places: Set<number>): void {
  places.add(2 * index);
  const token = tokens[index];
  if (token?.is === "any directories") places.add(2 * index + 1);
  if (token?.is === "any directories" || token?.is === "any run") enter(tokens, index + 1, places);
}

function advance(tokens: Token[], place: number, character: string, next: Set<number>): void {
  const index = place >> 1;
  const token = tokens[index];
  if (token === undefined) return;
  switch (token.is) {
    case "any run":
      return enter(tokens, index, next);
    case "any directories":
      if (place % 2 === 0) return;
      next.add(place);
      if (character === "/") enter(tokens, index + 1, next);
      return;
    case "any character":
      return enter(tokens, index + 1, next);
    case "character":
      if (token.character === character) enter(tokens, index + 1, next);
      return;
    case "class": {
      const code = character.codePointAt(0) as number;
      const isMember = token.ranges.some(([from, to]) => code >= from && code <= to);
      if (isMember !== token.isNegated) enter(tokens, index + 1, next);
    }
  }
}
