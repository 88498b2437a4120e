/** `config`: one key is changed, or nothing. */
import { afterAll, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testWith } from "../lab/needs.ts";

const program = [process.execPath, join(import.meta.dir, "../../factory.ts"), "config"];
const directory = mkdtempSync(join(tmpdir(), "config-"));
const path = join(directory, "config.toml");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const text = `[general]
baseurl = "https://buildomat.example.com"
[factory]
token = "a-token-that-nobody-may-see"
[testbed.gimlet-1] # left of the door
sp_type = "gimlet"
targets = ["sp-gimlet"]
[target.sp-gimlet]
id = "01M850P0K099E9F8GHWJ7VBZWM"
`;
beforeEach(() => {
  rmSync(path, { force: true });
  writeFileSync(path, text, { mode: 0o600 });
});

function config(...words: string[]): { code: number; said: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...program, ...words, "--base-dir", directory], {
    env: { PATH: process.env["PATH"] ?? "", HOME: directory, USER: "lab" },
  });
  return { code: exitCode, said: `${stdout.toString()}${stderr.toString()}` };
}
const written = (): string => readFileSync(path, "utf8");

test("set changes one key, and says what it was, what it is, and where", () => {
  expect(config("set", "testbed.gimlet-1.enabled", "false")).toEqual({
    code: 0,
    said: `${path}: testbed.gimlet-1.enabled: not set -> false (line 8)\n`,
  });
  expect(written()).toBe(text.replace(`["sp-gimlet"]\n`, `["sp-gimlet"]\nenabled = false\n`));
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(config("get", "testbed.gimlet-1.enabled").said).toBe("testbed.gimlet-1.enabled = false\n");
  expect(config("unset", "testbed.gimlet-1.enabled").said).toContain("false -> not set");
  expect(written()).toBe(text);
});

test("a value is read as the key wants it", () => {
  expect(config("set", "testbed.gimlet-1.note", "5").code).toBe(0);
  expect(written()).toContain(`note = "5"`);
  expect(config("set", "testbed.gimlet-1.job_timeout", "2h").code).toBe(0);
  expect(written()).toContain(`job_timeout = "2h"`);
});

test("what would not be a configuration changes nothing, and says why", () => {
  const refused = config("set", "testbed.gimlet-1.sp_type", "toaster");
  expect(refused.code).toBe(2);
  expect(refused.said).toContain("sp_type");
  expect(refused.said).toContain("Nothing was changed");
  expect(config("unset", "general.baseurl").said).toContain("Nothing was changed");
  expect(written()).toBe(text);
});

test("a key that is not there, with the one that was meant", () => {
  expect(config("set", "testbed.gimlet-2.enabled", "false").said).toContain("did you mean gimlet-1?");
  expect(config("set", "testbed.gimlet-1.enabeld", "false").said).toContain("did you mean enabled?");
  expect(config("set", "genral.baseurl", "x").said).toContain("did you mean general?");
  expect(config("set", "enabled", "x").said).toContain("is not a key");
  expect(config("put", "general.baseurl").said).toContain("get, set or unset");
  expect(config("set", "general.baseurl").said).toContain("needs a value");
  expect(config("get", "testbed.gimlet-1.note")).toEqual({
    code: 1,
    said: "testbed.gimlet-1.note is not set\n",
  });
});

test("a token is never shown, and never taken from a command line", () => {
  expect(config("get", "factory.token").said).toBe("factory.token = ***\n");
  const refused = config("set", "factory.token", "another-token-for-the-lab");
  expect(refused.code).toBe(2);
  expect(refused.said).not.toContain("another-token");
  expect(config("set", "general.agent_environment", `{ HTTP_PROXY = "http://u:secret@p" }`).said).toMatch(
    /not set -> \*\*\*/,
  );
});

test("a link stays one: the file that it leads to is changed", () => {
  const real = join(directory, "real.toml");
  writeFileSync(real, text, { mode: 0o600 });
  rmSync(path);
  symlinkSync("real.toml", path);
  expect(config("set", "testbed.gimlet-1.enabled", "false").code).toBe(0);
  expect(lstatSync(path).isSymbolicLink()).toBe(true);
  expect(readFileSync(real, "utf8")).toContain("enabled = false");
});

testWith("root")("who may read the file stays as it was", () => {
  chownSync(path, 0, 65_534);
  chmodSync(path, 0o640);
  expect(config("set", "testbed.gimlet-1.enabled", "false").code).toBe(0);
  const { mode, gid } = statSync(path);
  expect([(mode & 0o777).toString(8), gid]).toEqual(["640", 65_534]);
});

testWith("root")("another user's file stays that user's", () => {
  chownSync(path, 65_534, 65_534);
  const refused = config("set", "testbed.gimlet-1.enabled", "false");
  expect(refused.code).toBe(2);
  expect(refused.said).toContain("belongs to another user (uid 65534)");
  expect(written()).toBe(text);
});

test("a file that is not TOML is named with its line and without its token, and nothing is changed", () => {
  const broken = text.replace(`may-see"`, "may-see");
  writeFileSync(path, broken);
  for (const words of [
    ["get", "general.baseurl"],
    ["set", "testbed.gimlet-1.enabled", "false"],
    ["unset", "general.agent"],
  ]) {
    const { code, said } = config(...words);
    expect(code).toBe(2);
    expect(said).toStartWith(`Cannot read ${path}:4: `);
    expect(said).not.toContain("may-see");
  }
  expect(written()).toBe(broken);
});

test("a section alone is not a key, and its keys are named", () => {
  expect(config("get", "factory").said).toStartWith(
    `"factory" is a section, not a key: its keys are token, token_file`,
  );
  expect(config("get", "testbed").said).toStartWith(`"testbed" is a section, not a key`);
  expect(config("get", "factry.token").said).toContain("did you mean factory?");
});
