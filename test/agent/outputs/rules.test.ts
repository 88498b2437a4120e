import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type OutputScan, scanOutputs } from "../../../lib/agent/outputs/rules.ts";
import type { OutputRule } from "../../../lib/server/worker-side.ts";
import { testAsMortal } from "../../lab/mortal.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "rules-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function write(...paths: string[]): void {
  for (const path of paths) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), path);
  }
}

/** As a user writes it, `/` being the test's directory: `=%/x`, `!/x`. */
function rule(text: string): OutputRule {
  const [, marks = "", path = ""] = /^([!=%]*)(.*)$/.exec(text) ?? [];
  return {
    rule: `${root}${path}`,
    ignore: marks.includes("!"),
    require_match: marks.includes("="),
    size_change_ok: marks.includes("%"),
  };
}

async function scan(...rules: string[]): Promise<{ paths: string[]; errors: string[]; scan: OutputScan }> {
  const errors: string[] = [];
  const found = await scanOutputs(rules.map(rule), async (error) => void errors.push(short(error)));
  return { paths: found.files.map(({ path }) => short(path)), errors, scan: found };
}

const short = (text: string): string => text.replaceAll(root, "");

describe("scanOutputs() finds", () => {
  test.each<[what: string, rules: string[], paths: string[]]>([
    ["a file by its name", ["/w/b.log"], ["/w/b.log"]],
    ["nothing where there is nothing", ["/w/none", "/none/*"], []],
    ["names in order of their bytes", ["/w/*"], ["/w/.h", "/w/B.log", "/w/a.log", "/w/b.log", "/w/é"]],
    ["files at any depth, each directory before the names after it", ["/w/**/*.log"], deepLogs()],
    ["files at depth zero too", ["/**/a.log"], ["/w/a.log", "/w/d/a.log"]],
    ["nothing by a trailing **", ["/w/**"], []],
    ["nothing by a trailing slash", ["/w/", "/w/a.log/"], []],
    ["hidden files", ["/w/**/*h"], ["/w/.h", "/w/d/.h"]],
    [
      "a file once, at its first rule's place",
      ["/w/b.log", "/w/*.log"],
      ["/w/b.log", "/w/B.log", "/w/a.log"],
    ],
    ["other ways to a file as other files", ["/w/a.log", "/w/./a.log", "/w/d/../a.log"], threeWays()],
    ["the same through doubled slashes", ["/w//a.log", "/w/a.log"], ["/w/a.log"]],
    ["what a class names", ["/w/[ab].log"], ["/w/a.log", "/w/b.log"]],
    [
      "what is not ignored, wherever * of the ignore rule is",
      ["/w/**/*", "!/w/*.log"],
      ["/w/.h", "/w/d/.h", "/w/é"],
    ],
    ["nothing of an ignore rule alone", ["!/w/*"], []],
    [
      "the special directory only for a pattern with its own dot",
      ["/w/d/.*/b.log"],
      ["/w/d/../b.log", "/w/d/./b.log"],
    ],
  ])("%s", async (_, rules, paths) => {
    write("w/b.log", "w/a.log", "w/B.log", "w/.h", "w/é", "w/d/a.log", "w/d/b.log", "w/d/.h");
    expect(await scan(...rules)).toMatchObject({ paths, errors: [] });
  });

  function deepLogs(): string[] {
    return ["/w/B.log", "/w/a.log", "/w/b.log", "/w/d/a.log", "/w/d/b.log"];
  }
  function threeWays(): string[] {
    return ["/w/a.log", "/w/./a.log", "/w/d/../a.log"];
  }

  test("files through linked directories, and ends where a link leads back", async () => {
    write("w/d/f", "else/g");
    symlinkSync(join(root, "else"), join(root, "w/link"));
    symlinkSync("..", join(root, "w/d/back"));
    expect(await scan("/w/**/*")).toMatchObject({ paths: ["/w/d/f", "/w/link/g"], errors: [] });
  });

  test("linked files, by the link's name and the file's size", async () => {
    write("else/long-name", "w/x");
    symlinkSync("../else/long-name", join(root, "w/link"));
    const { scan: found } = await scan("/w/*");
    expect(found.files.map(({ sizeBytes }) => sizeBytes)).toEqual([14, 3]);
  });

  test("neither directories nor pipes", async () => {
    write("w/d/f");
    Bun.spawnSync(["mkfifo", join(root, "w/pipe")]);
    expect(await scan("/w/*")).toMatchObject({ paths: [], errors: [] });
  });

  test("no names that are not UTF-8", async () => {
    write("w/x");
    Bun.spawnSync([
      "/bin/bash",
      "-c",
      `: > ${root}/w/$'a\\xff'; mkdir ${root}/w/$'d\\xff'; : > ${root}/w/$'d\\xff'/f`,
    ]);
    write("w/\ufffd");
    expect(await scan("/w/**/*")).toMatchObject({ paths: ["/w/x", "/w/\ufffd"], errors: [] });
  });
});

describe("scanOutputs() reports", () => {
  const debug = (path: string, ignore = false): string =>
    `WorkerPingOutputRule { ignore: ${ignore}, require_match: false, rule: "${path}", size_change_ok: false }`;

  test("an invalid pattern twice, an ignored one once, and goes on", async () => {
    write("w/x");
    const why = (position: number): string =>
      `PatternError { pos: ${position}, msg: "invalid range pattern" }`;
    const whole = root.length + 3;
    expect(await scan("/w/[", "!/y/[", "/w/x")).toMatchObject({
      paths: ["/w/x"],
      errors: [
        `glob "/w/[" error: ${why(whole)}`,
        `glob "/y/[" error: ${why(whole)}`,
        `glob ${debug("/w/[")} error: ${why(whole)}`,
      ],
    });
  });

  test("a dangling link, unless it is ignored", async () => {
    write("w/x");
    symlinkSync("nowhere", join(root, "w/link"));
    const error = `glob ${debug("/w/*")} stat error: Os { code: 2, kind: NotFound, message: "No such file or directory" }`;
    expect(await scan("/w/*")).toMatchObject({ paths: ["/w/x"], errors: [error] });
    expect(await scan("/w/link")).toMatchObject({ errors: [error.replace("/w/*", "/w/link")] });
    expect(await scan("/w/*", "!/w/l*")).toMatchObject({ paths: ["/w/x"], errors: [] });
  });

  testAsMortal(
    import.meta.path,
    "a directory that cannot be read, and the rest of its rule is lost",
    async () => {
      write("w/a/x", "w/b/x", "w/c/x");
      chmodSync(join(root, "w/b"), 0);
      const { paths, errors } = await scan("/w/*/*");
      chmodSync(join(root, "w/b"), 0o700);
      expect(paths).toEqual(["/w/a/x"]);
      expect(errors[0]).toContain('path error: GlobError { path: "/w/b", error: Os { code: 13');
    },
  );

  test("required rules that no uploaded file matched", async () => {
    write("w/d/a.log");
    const { scan: found } = await scan("=/w/*.log", "=%/w/none", "/w/**/*");
    expect(found.unused([]).map(short)).toEqual([
      'rule "/w/*.log" required a match, but was not used',
      'rule "/w/none" required a match, but was not used',
    ]);
    // The star goes across directories here.
    expect(found.unused([join(root, "w/d/a.log")]).map(short)).toEqual([
      'rule "/w/none" required a match, but was not used',
    ]);
  });

  test("which files may change", async () => {
    const { scan: found } = await scan("%/w/*.log", "/w/x");
    expect(found.mayChange(join(root, "w/d/a.log"))).toBe(true);
    expect(found.mayChange(join(root, "w/x"))).toBe(false);
  });
});

test("scanOutputs() names files as the rules do, also if they are elsewhere", async () => {
  write("own/work/a.log", "own/work/d/b.log", "own/work/d/skip.log", "work/strange.log");
  symlinkSync("..", join(root, "own/work/d/up"));
  const locate = (path: string): string =>
    path.startsWith(`${root}/work`) ? `${root}/own${path.slice(root.length)}` : path;
  const errors: string[] = [];
  const rules = ["/work/**/*.log", "!/work/**/skip*", "%/work/a.log", "=/work/strange.log"].map(rule);
  const found = await scanOutputs(rules, async (error) => void errors.push(error), locate);
  expect(errors).toEqual([]);
  const files = found.files.map(({ path, sizeBytes }) => [short(path), sizeBytes]);
  expect(files.filter(([path]) => !`${path}`.includes("/up/"))).toEqual([
    ["/work/a.log", 14],
    ["/work/d/b.log", 16],
  ]);
  expect(found.mayChange(`${root}/work/a.log`)).toBe(true);
  expect(found.unused(found.files.map(({ path }) => path)).map(short)).toEqual([
    'rule "/work/strange.log" required a match, but was not used',
  ]);
});
