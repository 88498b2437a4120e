import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import manifest from "../package.json" with { type: "json" };
import { buildExecutable } from "../scripts/build.ts";
import { openAgentLab } from "./lab/agent-lab.ts";
import { testWith } from "./lab/needs.ts";

const testAsRoot = testWith("root");
const directory = mkdtempSync(join(tmpdir(), "executable-"));
const executable = join(directory, "dist", "built");
const probe = join(directory, "dist", "probe");
const hostile = join(directory, "hostile");
const marker = join(directory, "marker");
let built: { commit: string; target: string };

beforeAll(async () => {
  const entry = join(directory, "probe.ts");
  writeFileSync(entry, "console.log(JSON.stringify(process.env)); export {};");
  built = await buildExecutable({ entry: join(import.meta.dir, "..", "factory.ts"), executable });
  await buildExecutable({ entry, executable: probe });

  mkdirSync(hostile);
  writeFileSync(join(hostile, "bunfig.toml"), 'preload = ["./preload.ts"]\n');
  writeFileSync(join(hostile, "preload.ts"), `await Bun.write(${JSON.stringify(marker)}, "preloaded");`);
  for (const name of [".env", ".env.local", ".env.production", ".env.development"]) {
    writeFileSync(join(hostile, name), "HOSTILE=1\nFACTORY_BASE=/nowhere\n");
  }
  writeFileSync(join(hostile, "package.json"), "{ this is no JSON");
  writeFileSync(join(hostile, "tsconfig.json"), "{ nor is this");
}, 60_000);

afterAll(() => rmSync(directory, { recursive: true, force: true }));

function start(...argv: string[]): { stdout: string; stderr: string; exitCode: number } {
  const run = Bun.spawnSync(argv, { cwd: hostile, env: { PATH: "/usr/bin:/bin", HOME: hostile } });
  return { stdout: run.stdout.toString(), stderr: run.stderr.toString(), exitCode: run.exitCode };
}

test("the traps of this test are such that Bun itself falls into them", () => {
  const { stdout } = start(process.execPath, join(directory, "probe.ts"));
  expect(JSON.parse(stdout)).toMatchObject({ HOSTILE: "1" });
  expect(existsSync(marker)).toBe(true);
  rmSync(marker);
});

test("the executable loads no bunfig.toml and no .env from where it is started", () => {
  const { stdout, stderr, exitCode } = start(probe);
  expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
  expect(JSON.parse(stdout)).not.toContainKeys(["HOSTILE"]);
  expect(JSON.parse(stdout)).not.toContainKeys(["FACTORY_BASE"]);
  expect(start(executable, "--version").stderr).toBe("");
  expect(existsSync(marker)).toBe(false);
});

test.each([
  ["a checkout", () => [process.execPath, join(import.meta.dir, "..", "factory.ts")]],
  ["the executable", () => [executable]],
])("bmat of %s obeys nothing that a job has there for a Bun of its own", async (_, program) => {
  const lab = await openAgentLab();
  try {
    const options = `--preload=${join(hostile, "preload.ts")}`;
    const job = await lab.submit([
      `cd ${hostile}; export BUN_BE_BUN=1 BUN_OPTIONS=${options}; bmat store put a value; bmat store get a
       bmat process start x sh -c 'echo "$BUN_BE_BUN $BUN_OPTIONS [$HOSTILE]"; touch ${directory}/printed'
       until [ -e ${directory}/printed ]; do sleep 0.01; done; rm ${directory}/printed`,
    ]);
    const agent = await lab.start(job, { prefix: ["sh", "-c", `exec ${program().join(" ")} agent run`] });
    expect(await lab.ended(job)).toMatchObject({ state: "completed" });
    expect(await lab.said(job, "stderr")).toEqual([]);
    expect(await lab.said(job, "stdout")).toEqual(["value"]);
    expect(await lab.said(job, "bg.x.stdout")).toEqual([`1 ${options} []`]);
    expect(existsSync(marker)).toBe(false);
    await agent.stop();
  } finally {
    await lab.close();
  }
});

test("the executable's --version is product, version, commit and target on one line", () => {
  const { stdout, exitCode } = start(executable, "--version");
  expect(stdout).toBe(`${manifest.name} ${manifest.version} (${built.commit}, ${built.target})\n`);
  expect(built.commit).toMatch(/^(?:unknown|[0-9a-f]{12}(?:-dirty)?)$/);
  expect(built.target).toMatch(/^(?:linux|darwin)-(?:x64|arm64)(?:-musl)?$/);
  expect(exitCode).toBe(0);
});

test("the executable may be run by everybody and written by its owner alone", () => {
  expect(statSync(executable).mode & 0o777).toBe(0o755);
});

testAsRoot("it starts for a user without a name and without HOME, as a job may call bmat", () => {
  chmodSync(directory, 0o755);
  const bare = ["setpriv", "--reuid=54321", "--clear-groups", "env", "-i"];
  const { stdout, exitCode } = start(...bare, executable, "bmat", "--help");
  expect({ exitCode, isHelp: stdout.includes("usage: bmat factory name") }).toEqual({
    exitCode: 0,
    isHelp: true,
  });
});
