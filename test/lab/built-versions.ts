/** Executables of several versions of this tree, each with its own change, built in copies of it. */
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { signing } from "./update-lab.ts";
import { buildExecutable, hostTarget } from "../../scripts/build.ts";

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
  const tree = copyTree(directory, version, changes);
  const executable = join(directory, `built-${version}`);
  return await buildExecutable({ entry: join(tree, "factory.ts"), executable, version });
}

function copyTree(directory: string, version: string, changes: Change[]): string {
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
  return tree;
}

/** What an executable of this tree reads of itself, which a stand-in is given. */
const standsIn: Change[] = [
  ["factory.ts", 'import.meta.path.startsWith("/$bunfs/")', "true"],
  ["factory.ts", "executable: process.execPath", 'executable: process.env["STAND_IN"] ?? ""'],
];

/** `DIRECTORY/stand-in-VERSION`: as `buildVersion`, but a script of a line, which this Bun plays. It is copied and hashed in no time. */
export async function buildStandIn(directory: string, version: string, changes: Change[]): Promise<void> {
  const tree = copyTree(directory, version, [...changes, ...standsIn]);
  const played = join(directory, `played-${version}.js`);
  const built = await Bun.build({
    entrypoints: [join(tree, "factory.ts")],
    target: "bun",
    define: {
      BUILD_COMMIT: JSON.stringify("stand-in"),
      BUILD_TARGET: JSON.stringify(hostTarget()),
      BUILD_VERSION: JSON.stringify(version),
    },
  });
  await Bun.write(played, built.outputs[0] ?? "");
  const play = `exec '${process.execPath}' --no-env-file --config=/dev/null '${played}' "$@"`;
  await Bun.write(
    join(directory, `stand-in-${version}`),
    `#!/bin/sh\nSTAND_IN=$(readlink -f "$0") && export STAND_IN && ${play}\n`,
  );
}
