/** Numbers that steer behaviour stand in one file, each with its reason. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { limits } from "../../lib/policy/times-and-limits.ts";

const root = join(import.meta.dir, "../..");
const readText = (path: string): string => readFileSync(join(root, path), "utf8");
const file = "lib/policy/times-and-limits.ts";
const sources = [...new Bun.Glob("lib/**/*.ts").scanSync({ cwd: root })].filter((path) => path !== file);

/** Numbers of a file's own: a constant, or one too large to be a unit (`/ 1000`) or a place in a text. */
function ownNumbers(text: string): string[] {
  const code = text
    .replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/[^\n]*/g, "")
    .replace(/`(?:\\.|[^`\\])*`|"[^"\n]*"/g, '""');
  const constants = code.match(/\bconst \w+(?:: \w+)? = \d[\d_.* ]*;/g) ?? [];
  const inPlace = code.match(/(?<![\w.])\d[\d_]{3,}\b/g) ?? [];
  const settings = code.match(/\b\w+(?:Ms|Seconds|Bytes): [1-9][\d_]*/g) ?? [];
  return [...constants, ...inPlace.filter((each) => each !== "1000"), ...settings];
}

test("no other file of policy/ and daemon/ has a number of its own", () => {
  const found = sources
    .filter((path) => /^lib\/(?:policy|daemon)\//.test(path))
    .flatMap((path) => ownNumbers(readText(path)).map((each) => `${path}: ${each}`));
  expect(found).toEqual([]);
});

test.each([
  "const strikes = 3;",
  "const heldMs = 3_000;",
  "export const expirySeconds = 120;",
  "  const dayMs: number = 24 * 3_600_000;",
  "return waiting(5000);",
  "await minder.stop(place, { cookie, graceMs: 500 });",
])("a planted number is found: %s", (text) => {
  expect(ownNumbers(text)).not.toEqual([]);
});

test("every limit has its reason before it, and is used", () => {
  const text = readText(file);
  const used = sources.map(readText).join("\n");
  for (const name of Object.keys(limits)) {
    expect(text).toMatch(new RegExp(`\\*/\\n  ${name}: `));
    expect(used).toMatch(new RegExp(`\\blimits\\.${name}\\b`));
  }
});
