import { expect, test } from "bun:test";
import { parse } from "smol-toml";
import { locateToml, type TomlPath } from "../../lib/config/toml-lines.ts";

const text = `# [general] is not here
[general]            # line 2
baseurl = "x # y"
keep = { days = 1,
  size = "2" }
keep2.days = 3
"quoted \\u0041" = 'it''
[testbed."a.b"]
targets = [
  "x", # "]"
  "y]", ["deep",
  { z = 1 }],
]
note = """
[testbed.no]
no = 1 \\""" still
""""
raw = '''
also = "no"
'''
after = true
[ testbed . c ]
sub.sub.key = 1
[[list]]
x = 1
[[list]]
y = 1
[]
broken = = [[[ {{
[last]
z = 2020-01-01T00:00:00Z`;

const cases: [path: TomlPath, line: number][] = [
  [["general"], 2],
  [["general", "baseurl"], 3],
  [["general", "keep"], 4],
  [["general", "keep", "days"], 4],
  [["general", "keep", "size"], 5],
  [["general", "keep2"], 6],
  [["general", "keep2", "days"], 6],
  [["general", "quoted A"], 7],
  [["testbed"], 8],
  [["testbed", "a.b"], 8],
  [["testbed", "a.b", "targets"], 9],
  [["testbed", "a.b", "targets", 0], 10],
  [["testbed", "a.b", "targets", 1], 11],
  [["testbed", "a.b", "targets", 2, 0], 11],
  [["testbed", "a.b", "targets", 2, 1, "z"], 12],
  [["testbed", "a.b", "note"], 14],
  [["testbed", "a.b", "no"], 8],
  [["testbed", "a.b", "raw"], 18],
  [["testbed", "a.b", "also"], 8],
  [["testbed", "a.b", "after"], 21],
  [["testbed", "c"], 22],
  [["testbed", "c", "sub", "sub", "key"], 23],
  [["testbed", "c", "sub", "sub", "other"], 23],
  [["list"], 24],
  [["list", "x"], 25],
  [["list", "y"], 27],
  [["last", "z"], 31],
  [["last", "none"], 30],
  [["none", "none"], 1],
];

test.each(cases)("locateToml() finds the line of %j, or of its nearest parent", (path, line) => {
  expect(locateToml(text)(path)).toBe(line);
});

test("locateToml() finds every key that smol-toml reads, also after a byte order mark and with CRLF", () => {
  const good = `\ufeff${text.slice(0, text.indexOf("[]")).replace("'it''", "'it'")}`.replaceAll("\n", "\r\n");
  const lineOf = locateToml(good);
  const walk = (value: unknown, path: TomlPath): TomlPath[] =>
    typeof value === "object" && value !== null
      ? Object.entries(value).flatMap(([key, inner]) =>
          walk(inner, [...path, Array.isArray(value) ? Number(key) : key]),
        )
      : [path];
  const leaves = walk(parse(good), []);
  expect(leaves).toHaveLength(15);
  const lines = good.split("\r\n");
  for (const path of leaves) {
    const name = String(path.findLast((part) => typeof part === "string"));
    const isElement = typeof path.at(-1) === "number" || path[0] === "list";
    if (!isElement) expect(lines[lineOf(path) - 1]).toContain(name.replace("A", "\\u0041"));
  }
});

test("locateToml() finds the keys after a nested value", () => {
  const lineOf = locateToml(`a = [
  [1, [2, { b = [3], c = { d = 4 } },
    5],
  ],
  6, ]
e = { f = { g = 1 },
  h = [ { i = 1 },
    2 ],
  j = 3 }
"k" .l = 4`);
  expect(lineOf(["a", 0, 1, 2])).toBe(3);
  expect(lineOf(["a", 0, 1, 1, "c", "d"])).toBe(2);
  expect(lineOf(["a", 1])).toBe(5);
  expect(lineOf(["e", "h"])).toBe(7);
  expect(lineOf(["e", "h", 1])).toBe(8);
  expect(lineOf(["e", "j"])).toBe(9);
  expect(lineOf(["k", "l"])).toBe(10);
});

test("locateToml() gives a value that is nested too deep the line of its parent, and goes on after it", () => {
  const lineOf = locateToml(
    `a = ${"[".repeat(60)} 1 ${"]".repeat(60)}\nb = ${"{x=".repeat(60)}1${"}".repeat(60)}\nc = 1`,
  );
  expect(lineOf(["a", ...Array.from({ length: 60 }, () => 0)])).toBe(1);
  expect(lineOf(["b"])).toBe(2);
  expect(lineOf(["c"])).toBe(3);
});

test("locateToml() reads a megabyte of any text without an exception", () => {
  for (const piece of [
    "[",
    "{",
    "a={",
    "a=[",
    '"',
    '"""',
    "'''\\",
    "a.",
    "[[a.",
    "\n[",
    "=",
    'a="\\"',
    "\0",
  ]) {
    const lineOf = locateToml(piece.repeat(1_000_000 / piece.length));
    expect(lineOf(["a", "b"])).toBeGreaterThan(0);
  }
  expect(locateToml(`a = """${'x"\\"'.repeat(300_000)}"""\nb = 1`)(["b"])).toBe(2);
});
