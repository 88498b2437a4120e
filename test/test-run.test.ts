/** `bun run test` itself: what it prints, skips, leaves and fails for. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
let directory = "";
let temporary = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "run-"));
  temporary = join(directory, "tmp");
  mkdirSync(temporary);
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Runs these tests on a machine without any program. */
async function run(
  text: string,
  env: Record<string, string> = {},
): Promise<{ output: string; code: number }> {
  const file = join(directory, "planted.test.ts");
  writeFileSync(
    file,
    `import { expect, test } from "bun:test";
    import { writeFileSync } from "node:fs";
    import { tmpdir } from "node:os";
    import { testWith } from "${root}/test/lab/needs.ts";
    test("is good", () => {});
    ${text}`,
  );
  const child = Bun.spawn([process.execPath, join(root, "scripts/test.ts"), file], {
    cwd: root,
    env: { PATH: directory, HOME: directory, TMPDIR: temporary, ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { output: `${out}${err}`, code: await child.exited };
}

const needsSudo = `
  testWith("sudo")("becomes root", () => {});
  testWith("root", "sudo").each([1, 2])("becomes root %i times", () => {});`;

test("what needs a missing program is skipped and counted, with what to install; no passed test is named", async () => {
  const { output, code } = await run(needsSudo);
  expect(output).toMatch(/^skipped: [13] tests? needs? sudo \(apt-get install sudo\)$/m);
  expect(output).toMatch(/^ *1 pass$/m);
  expect(output).toMatch(/^ *3 skip$/m);
  expect(output).not.toContain("is good");
  expect(code).toBe(0);
});

test("in CI what needs a missing program fails", async () => {
  const { output, code } = await run(needsSudo, { CI: "true" });
  expect(output).toMatch(/^\(fail\) becomes root/m);
  expect(output).toContain("this test needs sudo: apt-get install sudo");
  expect(output).toMatch(/^ *3 fail$/m);
  expect(output).not.toContain("skipped:");
  expect(code).toBe(1);
});

test("a file that a test leaves fails the run, and is removed", async () => {
  const { output, code } = await run('test("x", () => writeFileSync(`${tmpdir()}/stray`, ""))');
  expect(output).toContain("left behind by the tests: $TMPDIR/stray");
  expect(code).toBe(1);
  expect(readdirSync(temporary)).toEqual([]);
});

test("in CI a file left outside the run's own directory fails the run", async () => {
  const { output, code } = await run(`test("x", () => writeFileSync("${temporary}/stray-Ab3dEf", ""))`, {
    CI: "true",
  });
  expect(output).toContain(`left behind by the tests: ${temporary}/stray-Ab3dEf`);
  expect(code).toBe(1);
});

test("in CI a file of another program's is not taken for one that a test left", async () => {
  const { output } = await run(`test("x", () => writeFileSync("${temporary}/systemd.private", ""))`, {
    CI: "true",
  });
  // Its end is not asked for: other tests may be at work in /tmp.
  expect(output).toMatch(/^ *2 pass$/m);
  expect(output).not.toContain("systemd.private");
});

test("a run leaves nothing, also when it fails", async () => {
  const { output, code } = await run('test("is bad", () => expect(1).toBe(2))');
  expect(output).toMatch(/^\(fail\) is bad/m);
  expect(output).toMatch(/^ *1 fail$/m);
  expect(code).toBe(1);
  expect(readdirSync(temporary)).toEqual([]);
});
