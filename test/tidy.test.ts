import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";

/** This repository keeps its own rules: those of .oxlintrc.json by planted breaches, the others by reading every file. */
const root = join(import.meta.dir, "..");
const maxLines = 300;
/** Longer than the limit for a reason; the number is how long each may be. */
const longFiles: Record<string, number> = {};

const files = [...new Bun.Glob("**/*").scanSync({ cwd: root, dot: true })]
  .filter((path) => !/^(?:\.git|node_modules|dist|coverage)\//.test(path))
  .toSorted();
const sources = files.filter((path) => path.endsWith(".ts"));
const libSources = sources.filter((path) => path.startsWith("lib/"));
const readSource = (path: string): string => readFileSync(join(root, path), "utf8");

/** The text without its comments. */
const withoutComments = (text: string): string =>
  text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|[^:"'`\\])\/\/[^\n]*/g, "$1");

function breaches(paths: string[], isBreach: (text: string, path: string) => boolean): string[] {
  return paths.filter((path) => isBreach(readSource(path), path));
}

test("no file is named for nothing in particular", () => {
  const empty = /^(?:utils?|helpers?|common|types?|index|managers?|services?|handlers?|misc|shared)\b/;
  expect(sources.filter((path) => empty.test(basename(path)))).toEqual([]);
  expect(sources.filter((path) => !/^[a-z0-9-]+(?:\.test|\.d)?\.ts$/.test(basename(path)))).toEqual([]);
});

test("every file of the program opens with what it is for", () => {
  expect(
    breaches([...libSources, "scripts/build.ts"], (text) => !/^(?:#![^\n]*\n)?\/\*\*/.test(text)),
  ).toEqual([]);
});

test("no file of the program is too long to be read at one sitting", () => {
  const isLong = (text: string, path: string): boolean =>
    text.split("\n").length > (longFiles[path] ?? maxLines) + 1;
  expect(breaches(libSources, isLong)).toEqual([]);
});

test("no two exported types of the program have one name", () => {
  const declared = /^export (?:declare )?(?:abstract )?(?:interface|type|class|enum) (\w+)/gm;
  const filesOf = new Map<string, Set<string>>();
  for (const path of libSources) {
    for (const [, name = ""] of readSource(path).matchAll(declared)) {
      filesOf.set(name, (filesOf.get(name) ?? new Set()).add(path));
    }
  }
  const shared = [...filesOf].filter(([, paths]) => paths.size > 1);
  expect(shared.map(([name, paths]) => `${name}: ${[...paths].join(", ")}`)).toEqual([]);
});

test("relative imports name their file with its extension", () => {
  const bare = /\bfrom "\.[^"]*(?<!\.(?:ts|sh|c|json|yml|css|js))"|\bimport\("\.[^"]*(?<!\.ts)"\)/;
  expect(breaches(sources, (text) => bare.test(withoutComments(text)))).toEqual([]);
});

test("only the clock asks what time it is", () => {
  const asks = /\bnew Date\(\s*\)|(?<!new )\bDate\(\s*\)|\bTemporal\.Now\b/;
  const paths = [...libSources, "factory.ts"].filter((path) => path !== "lib/doors/clock.ts");
  expect(breaches(paths, (text) => asks.test(withoutComments(text)))).toEqual([]);
});

test("process.exit is factory.ts's", () => {
  const exits = /\bprocess\.(?:exit|exitCode|abort)\b/;
  expect(breaches(libSources, (text) => exits.test(withoutComments(text)))).toEqual([]);
});

test("a command uses the process that it is given, but the demo, which starts programs of its own", () => {
  const uses = /(?<![-\w])process\.|from "node:process"/;
  const commands = libSources.filter((path) => /^lib\/commands\/(?!demo\/)/.test(path));
  expect(breaches(commands, (text) => uses.test(withoutComments(text)))).toEqual([]);
});

test("factory.ts only wires", () => {
  expect(readSource("factory.ts").split("\n").length).toBeLessThan(130);
});

test("no source switches a rule off for itself without saying why", () => {
  const isBare = /(?:oxlint|eslint)-disable(?![^\n]* -- \S)|@ts-(?:ignore|nocheck|expect-error)(?![^\n]* \w)/;
  expect(breaches(sources, (text, path) => path !== "test/tidy.test.ts" && isBare.test(text))).toEqual([]);
});

test("no file names a place or a tool of the people who write it", () => {
  const isText = (path: string): boolean => !/\.(?:png|lock|jsonl|sqlite3)$/.test(path);
  // Each with a class of one letter, so that this line does not break the rule itself.
  const named = /\.\.\/share[d]\b|\/wor[k]\/(?:main|shared)\b|farm-studi[o]/i;
  expect(breaches(files.filter(isText), (text) => named.test(text))).toEqual([]);
});

test("every test file lies in the folder that mirrors its source's, or is a suite of the whole program", () => {
  const suites = [
    "documents",
    "executable",
    "layers",
    "preflight",
    "private-network",
    "readme",
    "readme-tables",
    "takeover",
    "test-run",
    "reload",
  ];
  const own = [...suites, "tidy", "factory"].map((name) => `test/${name}.test.ts`);
  const folders = new Set(libSources.map((path) => dirname(path).replace(/^lib/, "test")));
  const tests = sources.filter((path) => path.startsWith("test/") && path.endsWith(".test.ts"));
  expect(tests.filter((path) => !own.includes(path) && !folders.has(dirname(path)))).toEqual([]);
});

test("scripts that people start may be executed", () => {
  const scripts = files.filter((path) => path === ".ci/run" || /^scripts\/.*\.sh$/.test(path));
  expect(scripts.filter((path) => (statSync(join(root, path)).mode & 0o111) !== 0o111)).toEqual([]);
});

/** What must not be written where: the file, the breach, and the rule that must find it. */
const planted: [path: string, breach: string, rule: string][] = [
  ["lib/config/toml-lines.ts", 'export { readFileSync } from "node:fs";', "no-restricted-imports"],
  ["lib/status/testbed-states.ts", 'export { openClock } from "../doors/clock.ts";', "no-restricted-imports"],
  ["lib/store/store.ts", 'export { readFileSync } from "node:fs";', "no-restricted-imports"],
  ["lib/store/store.ts", 'export { openClock } from "../doors/clock.ts";', "no-restricted-imports"],
  ["lib/server/factory-side.ts", 'export { Database } from "bun:sqlite";', "no-restricted-imports"],
  ["lib/daemon/daemon.ts", 'export { openClock } from "../doors/clock.ts";', "no-restricted-imports"],
  ["lib/daemon/daemon.ts", 'export { readFileSync } from "node:fs";', "no-restricted-imports"],
  ["lib/daemon/daemon.ts", 'export { main } from "../../factory.ts";', "no-restricted-imports"],
  ["lib/agent/task/task.ts", 'export { Database } from "bun:sqlite";', "no-restricted-imports"],
  ["lib/agent/task/task.ts", 'export { openClock } from "../../doors/clock.ts";', "no-restricted-imports"],
  ["lib/devserver/server.ts", 'export { readFileSync } from "node:fs";', "no-restricted-imports"],
  ["lib/commands/steer/clear.ts", 'export { Database } from "bun:sqlite";', "no-restricted-imports"],
  [
    "lib/commands/check/check.ts",
    'export { openClock } from "../../doors/clock.ts";',
    "no-restricted-imports",
  ],
  ["lib/new-file.ts", 'export { spawn } from "node:child_process";', "no-restricted-imports"],
  ["lib/new-file.ts", 'export { sleep } from "bun";', "no-restricted-imports"],
  ["lib/new-file.ts", "export const now = Date.now();", "no-restricted-properties"],
  ["lib/new-file.ts", "export const chance = Math.random();", "no-restricted-properties"],
  ["lib/new-file.ts", 'export const child = Bun.spawn(["true"]);', "no-restricted-properties"],
  ["lib/new-file.ts", "export const home = process.env;", "no-restricted-properties"],
  ["lib/agent/task/task.ts", "export const now = Date.now();", "no-restricted-properties"],
  ["lib/new-file.ts", "export const timer = setTimeout(() => undefined, 1);", "no-restricted-globals"],
  [
    "lib/new-file.ts",
    "export const timer = globalThis.setInterval(() => undefined, 1);",
    "no-restricted-globals",
  ],
  ["lib/agent/task/task.ts", 'export const reply = await fetch("http://h");', "no-restricted-globals"],
  ["lib/new-file.ts", 'console.log("x");', "no-console"],
  ["lib/new-file.ts", "export default 1;", "no-default-export"],
  ["lib/new-file.ts", "export const value: any = 1;", "no-explicit-any"],
  ["lib/new-file.ts", "Promise.resolve(1);", "no-floating-promises"],
  ["lib/new-file.ts", "export const run = async (): Promise<number> => await 1;", "await-thenable"],
  ["lib/new-file.ts", "export const is = (a: number | null): boolean => a == 1;", "eqeqeq"],
  [
    "lib/new-file.ts",
    'export function f(a: "x" | "y"): number { switch (a) { case "x": return 1; } return 2; }',
    "switch-exhaustiveness-check",
  ],
  ["test/new.test.ts", "Promise.resolve(1);", "no-floating-promises"],
];
/** What is right, though it looks like a breach. */
const allowed: [path: string, text: string][] = [
  ["lib/words/domain.ts", 'export type { Clock } from "../doors/clock.ts";'],
  [
    "lib/policy/plan.ts",
    'export { parseUlid } from "./ulid.ts";\nexport { parseConfig } from "./config.ts";',
  ],
  ["lib/store/store.ts", 'export { Database } from "bun:sqlite";'],
  ["lib/doors/clock.ts", "export const now = Date.now();"],
  ["lib/agent/task/task.ts", 'export { readFileSync } from "node:fs";'],
  ["factory.ts", 'export { openClock } from "./lib/doors/clock.ts";'],
];

const plantation = mkdtempSync(join(tmpdir(), "tidy-"));
let found: { path: string; rule: string }[] = [];

/** Each breach is a tree of its own, so that one run of the linter can judge them all. */
beforeAll(() => {
  const all = [...planted.map(([path, text]) => [path, text] as const), ...allowed];
  for (const [index, [path, text]] of all.entries()) {
    const file = join(plantation, String(index), path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `/** Planted. */\n${text}\n`);
  }
  const config = readSource(".oxlintrc.json").replaceAll(/"((?:lib|test|scripts)\/[^"]*)"/g, '"*/$1"');
  writeFileSync(join(plantation, ".oxlintrc.json"), config.replaceAll('"factory.ts"', '"*/factory.ts"'));
  const options = readSource("tsconfig.json").replace(/"include": \[[^\]]*\]/, '"include": ["*"]');
  writeFileSync(join(plantation, "tsconfig.json"), options);
  symlinkSync(join(root, "node_modules"), join(plantation, "node_modules"));
  // Named one by one: the linter would follow the link to all of node_modules.
  const trees = all.map((_, index) => String(index));
  const lint = Bun.spawnSync(
    [process.execPath, join(root, "node_modules/.bin/oxlint"), "--type-aware", "--format=unix", ...trees],
    { cwd: plantation },
  );
  const line = /^(.+?):\d+:\d+: .* \[Error\/(?:\w+\()?([\w-]+)\)?\]$/gm;
  found = [...lint.stdout.toString().matchAll(line)].map(([, path = "", rule = ""]) => ({
    path: path.replace(`${plantation}/`, ""),
    rule,
  }));
}, 30_000);

afterAll(() => rmSync(plantation, { recursive: true, force: true }));

test.each(planted.map((breach, index) => [index, ...breach] as const))(
  "lint: breach %i, in %s: %s",
  (index, path, _text, rule) => {
    expect(found).toContainEqual({ path: `${index}/${path}`, rule });
  },
);

test.each(allowed.map((each, index) => [index + planted.length, ...each] as const))(
  "lint: %i is allowed, in %s: %s",
  (index, path) => {
    expect(found.filter((each) => each.path === `${index}/${path}`)).toEqual([]);
  },
);
