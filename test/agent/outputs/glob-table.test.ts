/**
 * What Rust's glob 0.3.4, which the real agent is built with, says of generated patterns, held against ours. In the table
 * (glob-table.json) are a tree, texts, and for each pattern the texts that it matches, or its error; for each rule the paths
 * that a walk gives, in their order. Links that lead back are not in it: there the real walk goes round forty times.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { matchesText, parsePattern } from "../../../lib/agent/outputs/glob.ts";
import { walkRule } from "../../../lib/agent/outputs/walk.ts";
import recorded from "./glob-table.json";

/** Of the texts or the paths, by index; or where and what the error is. */
type Row = [pattern: string, indexes: number[]] | [pattern: string, position: number, message: string];

const table = recorded as unknown as {
  dirs: string[];
  files: string[];
  links: [path: string, target: string][];
  texts: string[];
  matches: Row[];
  paths: string[];
  walks: Row[];
};

let top: string;
let root: string;
beforeAll(() => {
  top = mkdtempSync(join(tmpdir(), "glob-"));
  // As deep, and under the same names, as it was: some rules go up again.
  root = `${top}/1/2/3/4/5/r`;
  for (const path of table.dirs) mkdirSync(`${root}${path}`, { recursive: true });
  for (const path of table.files) writeFileSync(`${root}${path}`, "");
  for (const [path, target] of table.links) symlinkSync(target, `${root}${path}`);
});
afterAll(() => rmSync(top, { recursive: true, force: true }));

test("patterns mean what they mean to the real agent, in all of a table", () => {
  const rows = table.matches.map(([text]): Row => {
    const pattern = parsePattern(text);
    if (!pattern.ok) return [text, pattern.position, pattern.message];
    return [text, [...table.texts.keys()].filter((at) => matchesText(pattern, table.texts[at] as string))];
  });
  expect(rows.length).toBeGreaterThan(500);
  expect(rows).toEqual(table.matches);
});

test("rules find the files that they find for the real agent, in all of a table", async () => {
  const rows: Row[] = [];
  for (const [rule] of table.walks) {
    const walk = walkRule(`${root}${rule}`);
    if ("position" in walk) {
      // Of the whole rule, or of the component that is not valid by itself.
      const position = walk.position < root.length ? walk.position : walk.position - root.length;
      rows.push([rule, position, walk.message]);
      continue;
    }
    const found: number[] = [];
    for await (const each of walk) found.push(table.paths.indexOf(each.path.replace(root, "")));
    rows.push([rule, found]);
  }
  expect(rows.length).toBeGreaterThan(250);
  expect(rows).toEqual(table.walks);
});
