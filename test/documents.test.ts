/** What code, tests and documents cite is in this repository: documents, their headings, files, and the numbers of faults. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

const root = join(import.meta.dir, "..");
const files = [...new Bun.Glob("**/*").scanSync({ cwd: root, dot: true })]
  .filter((path) => !/^(?:\.git|node_modules|dist|coverage|test\/wire)\//.test(path))
  .filter((path) => /\.(?:ts|sh|c|md|toml|json)$|^\.ci\//.test(path))
  .toSorted();
const documents = files.filter((path) => path.endsWith(".md"));
const readText = (path: string): string => readFileSync(join(root, path), "utf8");
/** On one line, so that a citation may be broken where a comment's line ends. */
const readFlat = (path: string): string => readText(path).replaceAll(/\n\s*(?:\*|\/\/|#)?\s*/g, " ");

const headings = (document: string): string[] =>
  [...readText(document).matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) => heading);

/** A path and a `"Heading"`; several headings may follow, as in `"One", "Two"` or `"One" to "Two"`. */
const cited = /(?<![\w.*-])([\w./-]*\w\.md)\b`?((?:(?:,| to| and)? "[^"]+")*)/g;

function brokenCitations(path: string): string[] {
  return [...readFlat(path).matchAll(cited)].flatMap(([whole, name = "", quoted = ""]) => {
    // Of one name several may exist: in a document it is the one beside it.
    const beside = normalize(join(dirname(path), name));
    const document = path.endsWith(".md") && documents.includes(beside) ? beside : name;
    if (!documents.includes(document)) return [`${path}: ${name}`];
    const known = headings(document);
    const named = [...quoted.matchAll(/"([^"]+)"/g)].map(([, heading = ""]) => heading);
    return named.every((heading) => known.includes(heading)) ? [] : [`${path}: ${whole}`];
  });
}

test("every document that a file cites is in the repository, and has the heading that is cited", () => {
  expect(files.flatMap(brokenCitations)).toEqual([]);
});

test("no citation is by a section's number: it would name another section when one is added", () => {
  expect(files.filter((path) => readText(path).includes("\u00a7"))).toEqual([]);
});

test("every heading that a document cites of its own is there", () => {
  const broken = documents.flatMap((path) => {
    const known = headings(path);
    const own = [...readFlat(path).matchAll(/\b(?:see|under) "([^"]+)"/g)].map(([, heading = ""]) => heading);
    return own.filter((heading) => !known.includes(heading)).map((heading) => `${path}: ${heading}`);
  });
  expect(broken).toEqual([]);
});

test("every source that a document names is in the repository", () => {
  const isThere = (name: string): boolean => files.some((path) => path === name || path.endsWith(`/${name}`));
  const broken = documents.flatMap((path) =>
    [...readText(path).matchAll(/`([\w./-]+\.(?:ts|sh|c))`/g)]
      .map(([, name = ""]) => name)
      .filter((name) => !isThere(name))
      .map((name) => `${path}: ${name}`),
  );
  expect(broken).toEqual([]);
});

test("a folder's README opens with what the folder must not know, which file to open first, and where facts come from", () => {
  const readmes = documents.filter((path) => /^lib\/(?:.+\/)?README\.md$/.test(path));
  const opening = (path: string): string => readText(path).split("\n## ")[0] ?? "";
  const isComplete = (path: string): boolean =>
    /\bmust not know\b|\bmust know no\b/.test(opening(path)) &&
    /^- Open first: /m.test(opening(path)) &&
    /^- Facts\b/m.test(opening(path));
  expect(readmes).not.toEqual([]);
  expect(readmes.filter((path) => !isComplete(path))).toEqual([]);
});

const faultNumber = /\bF\d{2,3}\b/g;
/** By number: the tests of its row. */
const faults = new Map<string, string[]>(
  [...readText("test/FAULTS.md").matchAll(/^\| (F\d+) \|.*\|([^|]*)\|$/gm)].map(([, id = "", tests = ""]) => [
    id,
    [...tests.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name),
  ]),
);
const cites = (path: string): readonly string[] => readText(path).match(faultNumber) ?? [];
const testFiles = files.filter((path) => path.startsWith("test/") && path.endsWith(".ts"));

test("every fault's number leads to its row in test/FAULTS.md, from the program by that name", () => {
  const unknown = files.flatMap((path) =>
    cites(path).flatMap((id) => (faults.has(id) || path === "test/FAULTS.md" ? [] : [`${path}: ${id}`])),
  );
  expect(unknown).toEqual([]);
  const outside = files.filter((path) => !path.startsWith("test/"));
  const named = /\btest\/FAULTS\.md`? F\d{2,3}\b/g;
  expect(outside.filter((path) => cites(path).length !== (readFlat(path).match(named) ?? []).length)).toEqual(
    [],
  );
});

test("every fault's row names the tests that have its number, and no others", () => {
  const rows = [...faults].map(([id, tests]) => [id, tests.toSorted()]);
  const found = [...faults.keys()].map((id) => [
    id,
    testFiles
      .filter((path) => cites(path).includes(id))
      .map((path) => path.slice("test/".length))
      .toSorted(),
  ]);
  expect(rows).toEqual(found);
  expect(rows.filter(([, tests]) => tests?.length === 0)).toEqual([]);
});
