/** The files of daemon/ are read in one direction: a step of an instance knows no step that follows it. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const folder = join(import.meta.dir, "../../lib/daemon");
/** In the order of an instance's life. */
const steps = ["prepare", "testbed-check", "worker-request", "start", "resume", "wind-down"];

function importsOf(name: string): string[] {
  const text = readFileSync(join(folder, `${name}.ts`), "utf8");
  return [...text.matchAll(/from "\.\/([a-z-]+)\.ts"/g)].map(([, imported = ""]) => imported);
}

function laterThan(name: string): string[] {
  const later = steps.slice(steps.indexOf(name) + 1);
  return importsOf(name).filter((each) => later.includes(each));
}

test("a step imports no later step, and nothing that takes its outcome in", () => {
  for (const name of steps) {
    expect({ name, later: laterThan(name) }).toEqual({ name, later: [] });
    expect(importsOf(name)).not.toContain("consequences");
  }
  expect(importsOf("server-wide")).not.toContain("findings");
});

test("the files of daemon/ import each other in no circle", () => {
  const files = [...new Bun.Glob("*.ts").scanSync(folder)].map((path) => path.replace(/\.ts$/, ""));
  const circles: string[] = [];
  const visit = (name: string, path: string[]): void => {
    if (path.includes(name)) circles.push([...path.slice(path.indexOf(name)), name].join(" > "));
    else for (const each of importsOf(name)) visit(each, [...path, name]);
  };
  for (const name of files) visit(name, []);
  expect(circles).toEqual([]);
});
