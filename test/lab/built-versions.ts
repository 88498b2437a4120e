/** Executables of several versions of this tree, each with its own change, built in copies of it. */
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { signing } from "./update-lab.ts";
import { buildExecutable } from "../../scripts/build.ts";

const root = join(import.meta.dir, "../..");

/** A file of the tree, what stands there, and what stands there instead. */
export type Change = [path: string, from: string, to: string];

/** What takes minutes takes seconds; the key of these tests is trusted. */
export const common: Change[] = [
  ["lib/update/trusted-keys.json", "[]", JSON.stringify([signing.public])],
  ["lib/update/trial.ts", "trialMs = 120_000", "trialMs = 3_000"],
  ["lib/update/trial.ts", "longestTrialMs = 600_000", "longestTrialMs = 9_000"],
  ["lib/update/schedule.ts", "{ least: 120_000, most: 420_000 }", "{ least: 500, most: 1_000 }"],
  [
    "lib/update/schedule.ts",
    "{ least: 5 * 3_600_000, most: 7 * 3_600_000 }",
    "{ least: 1_000, most: 2_000 }",
  ],
  ["lib/update/schedule.ts", "tickMs = 2_000", "tickMs = 200"],
];

/** The beginning of `run`, in lib/commands/run.ts. */
export const atStart = "  here.setUmask(0o077);\n";

/** Builds `DIRECTORY/built-VERSION`; a change that finds nothing to change is an error. */
export async function buildVersion(
  directory: string,
  version: string,
  changes: Change[],
): Promise<{ commit: string }> {
  const tree = join(directory, `tree-${version}`);
  mkdirSync(tree, { recursive: true });
  for (const name of ["lib", "factory.ts", "package.json", "tsconfig.json"]) {
    cpSync(join(root, name), join(tree, name), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(tree, "node_modules"));
  for (const [path, from, to] of changes) {
    const text = readFileSync(join(tree, path), "utf8");
    if (!text.includes(from)) throw new Error(`${path} has no ${from}`);
    writeFileSync(
      join(tree, path),
      text.replace(from, () => to),
    );
  }
  const executable = join(directory, `built-${version}`);
  return await buildExecutable({ entry: join(tree, "factory.ts"), executable, version });
}
