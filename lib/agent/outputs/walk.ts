/**
 * The files that an output rule names, in the real agent's order: names by bytes, depth first, a directory before what it
 * holds (lib/agent/README.md "Output rules"). It reads directories, and knows nothing of what becomes of the files.
 */
import { lstat, readdir, stat } from "node:fs/promises";
import { matchesText, parsePattern, type Pattern, type PatternError } from "./glob.ts";

export type FoundPath =
  | { ok: true; path: string }
  /** A directory that cannot be read; the real agent gives up the rule there. */
  | { ok: false; path: string; error: unknown };

interface Branch {
  path: string;
  isDirectory: boolean;
  /** Directories that a `**` went through to it, by inode: a link back to one is not followed, or the walk would not end. */
  above: string[];
}

/** The real place of the file that a rule names `path`. */
export type Locate = (path: string) => string;

interface Walk {
  locate: Locate;
  components: Pattern[];
  /** The rule ends in a slash. */
  wantsDirectory: boolean;
}

/** The walk of a rule, or what is wrong with the rule. Relative rules name nothing: the server takes none. */
export function walkRule(
  rule: string,
  locate: Locate = (path) => path,
): AsyncGenerator<FoundPath> | PatternError {
  const whole = parsePattern(rule);
  if (!whole.ok) return whole;
  const components: Pattern[] = [];
  // The last slash only ends the last component; of others, the one between two slashes is a component without a name.
  for (const component of rule.slice(1).replace(/\/$/, "").split("/")) {
    const parsed = parsePattern(component);
    if (!parsed.ok) return parsed;
    components.push(parsed);
  }
  const walk = { locate, components, wantsDirectory: rule.endsWith("/") };
  if (!rule.startsWith("/")) return nothing();
  return enter(walk, { path: "/", isDirectory: true, above: [] }, 0);
}

async function* nothing(): AsyncGenerator<FoundPath> {}

/** What is in `place` and matches from the component `index` on. */
async function* enter(walk: Walk, place: Branch, index: number): AsyncGenerator<FoundPath> {
  const component = walk.components[index] as Pattern;
  if (!component.hasWildcard) {
    yield* enterNamed(walk, place, index, component.text);
    return;
  }
  if (!place.isDirectory) return;
  const inside = component.isRecursive ? await goBelow(walk, place, index) : place;
  if (inside === null) return;
  const children = await listChildren(walk, inside);
  if (!Array.isArray(children)) {
    yield children;
    return;
  }
  // A pattern that begins with a dot of its own finds these too, last one first.
  for (const special of ["..", "."]) {
    const isMeant = component.text.startsWith(".") && matchesText(component, special);
    if (isMeant) yield* arrive(walk, await lookAt(walk, place, special), index);
  }
  for (const { name, child } of children) yield* match(walk, child, name, index);
}

async function* enterNamed(
  walk: Walk,
  place: Branch,
  index: number,
  name: string,
): AsyncGenerator<FoundPath> {
  const isSpecial = name === "." || name === "..";
  if (isSpecial && !place.isDirectory) return;
  const child = await lookAt(walk, place, name);
  // A dangling link is there; whether it can be uploaded is seen later.
  if (isSpecial || (await isThere(walk.locate(child.path)))) yield* arrive(walk, child, index);
}

/** `place` is known to match the component `index`. */
async function* arrive(walk: Walk, place: Branch, index: number): AsyncGenerator<FoundPath> {
  if (index + 1 < walk.components.length) yield* enter(walk, place, index + 1);
  else if (place.isDirectory || !walk.wantsDirectory) yield { ok: true, path: place.path };
}

async function* match(walk: Walk, place: Branch, name: string, index: number): AsyncGenerator<FoundPath> {
  const last = walk.components.length - 1;
  if (walk.components[index]?.isRecursive !== true) {
    if (matchesText(walk.components[index] as Pattern, name)) yield* arrive(walk, place, index);
    return;
  }
  let recursive = index;
  while (walk.components[recursive + 1]?.isRecursive === true) recursive += 1;
  if (recursive < last) {
    const next = walk.components[recursive + 1] as Pattern;
    if (matchesText(next, name)) yield* arrive(walk, place, recursive + 1);
  } else if (place.isDirectory) {
    yield { ok: true, path: place.path };
  }
  if (place.isDirectory) yield* enter(walk, place, recursive);
}

/** Nothing is made simpler: a path stays as its rule has it, and an empty name is a slash at its end. */
function join(directory: string, name: string): string {
  return directory.endsWith("/") ? `${directory}${name}` : `${directory}/${name}`;
}

async function lookAt({ locate }: Walk, place: Branch, name: string): Promise<Branch> {
  const path = join(place.path, name);
  return { path, isDirectory: await isDirectory(locate(path)), above: place.above };
}

async function listChildren(
  { locate }: Walk,
  place: Branch,
): Promise<{ name: string; child: Branch }[] | FoundPath> {
  const directory = place.path;
  try {
    const children: { name: string; bytes: Buffer; child: Branch }[] = [];
    for (const entry of await readdir(locate(directory), { withFileTypes: true })) {
      const path = join(directory, entry.name);
      // A name that is not UTF-8 is read with U+FFFD in it; there is no file of that name, so no rule can name it.
      if (entry.name.includes("\ufffd") && !(await isThere(locate(path)))) continue;
      const isKnown = entry.isFile() || entry.isDirectory();
      const isDir = isKnown ? entry.isDirectory() : await isDirectory(locate(path));
      const child = { path, isDirectory: isDir, above: place.above };
      children.push({ name: entry.name, bytes: Buffer.from(entry.name), child });
    }
    return children.toSorted((a, b) => Buffer.compare(a.bytes, b.bytes));
  } catch (error) {
    return { ok: false, path: directory, error };
  }
}

/** `place` with itself among those above what is found in it; null if it is there already. */
async function goBelow({ locate }: Walk, place: Branch, index: number): Promise<Branch | null> {
  try {
    const { dev, ino } = await stat(locate(place.path), { bigint: true });
    const identity = `${index}:${dev}:${ino}`;
    return place.above.includes(identity) ? null : { ...place, above: [...place.above, identity] };
  } catch {
    return place; // reading it says why
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

async function isThere(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  );
}
