/** A folder of lib/ is a layer: it imports only what its row in lib/README.md names. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

const readme = "README.md";
const root = join(import.meta.dir, "..");
const files = [...new Bun.Glob("lib/**/*").scanSync({ cwd: root, dot: true })].toSorted();
const sources = files.filter((path) => path.endsWith(".ts"));
const readText = (path: string): string => readFileSync(join(root, path), "utf8");
const folderOf = (path: string): string => path.split("/")[1] ?? "";

/** By folder: the folders that it may import from. */
const layers = new Map<string, string[]>(
  [...readText("lib/README.md").matchAll(/^\| ([a-z]+) \| [^|]+ \|([^|]*)\|$/gm)]
    .filter(([, folder]) => folder !== "folder")
    .map(([, folder = "", knows = ""]) => [
      folder,
      knows
        .split(",")
        .map((each) => each.trim())
        .filter((each) => each !== ""),
    ]),
);

/** The imports of a file that its folder may not have. Types of doors are everybody's; the lint forbids their values. */
function breaches(path: string, text: string): string[] {
  const imports = [...text.matchAll(/\b(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map(([, name = ""]) => name);
  const knows = layers.get(folderOf(path)) ?? [];
  return imports
    .map((name) => normalize(join(dirname(path), name)))
    .filter((target) => target.startsWith("lib/") || target === "factory.ts")
    .map((target) => (target === "factory.ts" ? target : folderOf(target)))
    .filter((folder) => folder !== folderOf(path) && folder !== "doors" && !knows.includes(folder))
    .map((folder) => `${path}: ${folder}`);
}

test("nothing lies loose in lib/, each of its folders has a README.md, and each has a row in lib/README.md", () => {
  expect(files.filter((path) => path.split("/").length === 2)).toEqual(["lib/README.md"]);
  const folders = [...new Set(files.map(folderOf))].filter((name) => name !== readme);
  expect(folders.filter((folder) => !files.includes(join("lib", folder, readme)))).toEqual([]);
  expect([...layers.keys()].toSorted()).toEqual(folders.toSorted());
});

test("a folder knows only folders that stand above it", () => {
  const order = [...layers.keys()];
  for (const [folder, knows] of layers) {
    const below = knows.filter((each) => !(order.indexOf(each) < order.indexOf(folder) && layers.has(each)));
    expect({ folder, below }).toEqual({ folder, below: [] });
  }
});

test("a file imports only from the folders that its own may know", () => {
  expect(sources.flatMap((path) => breaches(path, readText(path)))).toEqual([]);
});

test("the agent plays a job without knowing of what kind it is", () => {
  const kinds = /from "\.\/(?:hardware-test\/|task\/(?!output-sign\.ts))/;
  expect(readText("lib/agent/job.ts")).not.toMatch(kinds);
  expect(readText("lib/agent/current-job.ts")).toMatch(kinds);
});

test("no folder may know one that none of its files imports", () => {
  const unused = [...layers].flatMap(([folder, knows]) => {
    const text = sources
      .filter((path) => folderOf(path) === folder)
      .map(readText)
      .join("");
    return knows.filter((each) => !text.includes(`/${each}/`)).map((each) => `${folder}: ${each}`);
  });
  expect(unused).toEqual([]);
});

test.each([...layers.keys()])("a planted import of what %s may not know is found, in each form", (folder) => {
  const knows = layers.get(folder) ?? [];
  const forbidden = [...layers.keys()].filter(
    (each) => each !== folder && each !== "doors" && !knows.includes(each),
  );
  for (const each of [...forbidden, "factory.ts"]) {
    const target = each === "factory.ts" ? "../../factory.ts" : `../${each}/some.ts`;
    const forms = [
      `import { a } from "${target}";`,
      `import type { A } from "${target}";`,
      `export * from "${target}";`,
      `const b = await import("${target}");`,
    ];
    for (const text of forms) {
      expect(breaches(`lib/${folder}/new.ts`, text)).toEqual([`lib/${folder}/new.ts: ${each}`]);
    }
    expect(breaches(`lib/${folder}/deep/new.ts`, `import "../${target}";`)).toHaveLength(1);
  }
});
