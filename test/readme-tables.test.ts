/** README's tables name what the program has: each key, variable, exit code, state and signal, and no other. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { sectionKeys } from "../lib/config/schema.ts";
import { testbedStates } from "../lib/status/snapshot.ts";

const root = join(import.meta.dir, "..");
const readText = (path: string): string => readFileSync(join(root, path), "utf8");
const program = [...new Bun.Glob("lib/**/*.ts").scanSync(root), "factory.ts"].map(readText).join("\n");

/** The names in backticks in the first column of each table whose head begins with this word. */
function firstColumn(head: string): string[] {
  const tables = [...readText("README.md").matchAll(/^\|(.+)\|\n\|[-| ]+\|\n((?:\|.+\|\n)+)/gm)];
  return tables
    .filter(([, heads = ""]) => heads.trim().startsWith(`${head} |`))
    .flatMap(([, , rows = ""]) => rows.trim().split("\n"))
    .flatMap((row) => [...(row.split(" | ")[0] ?? "").matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name));
}

function unique(names: string[]): string[] {
  return [...new Set(names)].toSorted();
}

test("its keys are those of config.toml", () => {
  let section = "";
  const shown = firstColumn("key").map((name) => {
    // `.name` is short for another key of the section that was named last.
    if (!name.startsWith(".")) section = name.slice(0, name.lastIndexOf("."));
    return name.startsWith(".") ? `${section}${name}` : name;
  });
  const keys = Object.entries(sectionKeys).flatMap(([name, names]) => {
    const prefix = name === "testbed" || name === "target" ? `${name}.<name>` : name;
    return names.map((key) => `${prefix}.${key}`);
  });
  expect(unique(shown)).toEqual(unique(keys));
});

test("its variables are those that the program reads", () => {
  // These are between this program and what it starts.
  const inner = ["FACTORY_BOOT", "FACTORY_COOKIE", "FACTORY_TASK_NAMES"];
  const read = [...program.matchAll(/\bFACTORY_[A-Z_]+\b|\bBUILDOMAT_(?:AGENT_PATH|WORK_DIR)\b/g)];
  const names = read.map(([name]) => name).filter((name) => !inner.includes(name));
  expect(unique(firstColumn("variable"))).toEqual(unique(names));
});

test("its exit codes are those that the program ends with", () => {
  const others = [
    ...program.matchAll(/\bexit(?:AlreadyRunning|Drained) = (\d+)|options\.exitCode \?\? (\d+)/g),
  ];
  const codes = ["0", "1", ...others.map(([, one, two]) => one ?? two ?? "")];
  expect(codes).toHaveLength(5);
  expect(unique(firstColumn("exit code"))).toEqual(unique(codes));
});

test("its states are those of a testbed", () => {
  expect(unique(firstColumn("state"))).toEqual(unique([...testbedStates]));
});

test("its signals are those that the factory listens for", () => {
  const signals = [...readText("lib/commands/run.ts").matchAll(/\.on\("SIG([A-Z0-9]+)"/g)];
  const [paragraph = ""] = /^`TERM`.*$/m.exec(readText("README.md")) ?? [];
  const named = [...paragraph.matchAll(/`([A-Z0-9]+)`/g)].map(([, name = ""]) => name);
  expect(unique(named)).toEqual(unique(signals.map(([, name = ""]) => name)));
});
