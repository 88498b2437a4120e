/** Executables of several versions of this tree, each with its own change, built in copies of it. */
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildExecutable } from "../../scripts/build.ts";

const root = join(import.meta.dir, "../..");

/** A file of the tree, what stands there, and what stands there instead. */
export type Change = [path: string, from: string, to: string];

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
