/** The schema that editors get says what the program says: judged by taplo, which their plug-ins use. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jsonSchema } from "../../lib/config/json-schema.ts";
import { keys } from "../../lib/config/keys.ts";
import { sectionKeys } from "../../lib/config/schema.ts";
import { schemaLine } from "../../lib/commands/schema.ts";

const directory = mkdtempSync(join(tmpdir(), "schema-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
writeFileSync(join(directory, "config.schema.json"), jsonSchema("x"));

async function taplo(text: string): Promise<{ code: number; said: string }> {
  const path = join(directory, "config.toml");
  writeFileSync(path, `${schemaLine}\n${text}`);
  const program = join(import.meta.dir, "../../node_modules/@taplo/cli/dist/cli.js");
  const child = Bun.spawn([process.execPath, program, "lint", path], {
    cwd: directory,
    env: { PATH: process.env["PATH"] ?? "", HOME: directory },
    stdout: "pipe",
    stderr: "pipe",
  });
  const said = `${await child.stdout.text()}${await child.stderr.text()}`;
  return { code: await child.exited, said };
}

const smallest = `[general]
baseurl = "https://buildomat.example.org"
[factory]
token = "a token"
`;
const every = (section: string): string =>
  (sectionKeys[section] ?? []).map((key) => `${key} = ${keys[key]?.[1]}\n`).join("");
const whole = `[general]\n${every("general")}[factory]\n${every("factory")}[update]\n${every("update")}[web]\n${every("web")}[notify]\n${every("notify")}[testbed."a.b"]\n${every("testbed")}[target.x]\n${every("target")}`;

test("a file with every key passes", async () => {
  expect(await taplo(smallest)).toMatchObject({ code: 0 });
  expect(await taplo(whole)).toMatchObject({ code: 0 });
}, 30_000);

test.each([
  ["a key that is not known", smallest.replace("baseurl", "base_url")],
  ["a section that is not known", `${smallest}[testbeds.a]\n`],
  ["a value of the wrong kind", whole.replace("enabled = true", "enabled = 3")],
  ["a type of board that is not known", whole.replace(`"gimlet"`, `"toaster"`)],
])(
  "it marks %s",
  async (_, text) => {
    const { code, said } = await taplo(text);
    expect(said).toMatch(/error/i);
    expect(code).not.toBe(0);
  },
  30_000,
);

test("each section and key has a meaning in one line, and no other", () => {
  const known = [...Object.keys(sectionKeys), ...Object.values(sectionKeys).flat(), "days", "size"];
  expect(Object.keys(keys).toSorted()).toEqual([...new Set(known)].toSorted());
});
