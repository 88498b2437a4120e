/** What real shells offer when somebody presses Tab, and the manual page. */
import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { verbs } from "../../lib/commands/verbs.ts";
import { testWith } from "../lab/needs.ts";

const name = "buildomat-factory-sp-test";
const directory = mkdtempSync(join(tmpdir(), "complete-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const factory = join(import.meta.dir, "../../factory.ts");
const program = join(directory, name);
writeFileSync(program, `#!/bin/sh\nexec ${process.execPath} ${factory} "$@"\n`);
chmodSync(program, 0o755);
writeFileSync(
  join(directory, "config.toml"),
  `[testbed.gimlet-1]\nsp_type = "gimlet"\n[testbed."psc.2"]\nsp_type = "psc"\n`,
);
const env = {
  PATH: `${directory}:${process.env["PATH"]}`,
  HOME: directory,
  FACTORY_BASE: directory,
  TERM: "dumb",
};

function run(argv: string[]): string {
  const { stdout } = Bun.spawnSync(argv, { cwd: directory, env });
  return stdout.toString();
}
for (const shell of ["bash", "zsh", "fish"])
  writeFileSync(join(directory, `script.${shell}`), run([program, "complete", shell]));

/** How each shell is asked what it would offer behind a line. */
const offersIn: Record<string, (words: string[]) => string[]> = {
  bash: (words) => {
    const line = `set -u; . ./script.bash; . ./script.bash
      COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _buildomat_factory_sp_test; printf '%s\\n' "\${COMPREPLY[@]:-}"`;
    return run(["bash", "-c", line, "bash", name, ...words])
      .trim()
      .split("\n");
  },
  fish: (words) => {
    const line = `source script.fish; complete -C (string join " " -- $argv)`;
    return run(["fish", "--no-config", "-c", line, name, ...words])
      .trim()
      .split("\n")
      .map((offer) => offer.split("\t")[0] ?? "");
  },
  zsh: (words) => {
    // compadd's own work is shown instead of done: there is no line editor here.
    const line = `compdef() { :; }; . ./script.zsh
      _describe() { print -l -- "\${(@)\${(P)2}%%:*}"; }
      words=("$@"); CURRENT=$#; _buildomat_factory_sp_test`;
    return run(["zsh", "-fc", line, "zsh", name, ...words])
      .trim()
      .split("\n");
  },
};

for (const shell of ["bash", "fish", "zsh"] as const) {
  testWith(shell)(`${shell} offers verbs, flags and the names of testbeds`, () => {
    const offers = offersIn[shell] ?? (() => []);
    const visible = Object.keys(verbs).filter((verb) => verbs[verb]?.isHidden !== true);
    expect(offers([""])).toEqual(expect.arrayContaining(visible));
    expect(offers(["stat"])).toEqual(["status"]);
    expect(offers(["logs", ""])).toEqual(expect.arrayContaining(["gimlet-1", "psc.2"]));
    expect(offers(["logs", "ps"])).toEqual(["psc.2"]);
    expect(offers(["status", "--j"])).toEqual(["--json"]);
  });

  testWith(shell)(`${shell} runs nothing of what was typed`, () => {
    (offersIn[shell] ?? (() => []))(["logs", "'$(touch typed)'", ""]);
    expect(run(["ls"])).not.toContain("typed");
  });
}

test("a shell that is not known is refused", () => {
  const { exitCode, stderr } = Bun.spawnSync([program, "complete", "csh"], { env });
  expect(exitCode).toBe(2);
  expect(stderr.toString()).toContain("complete needs a shell: bash, zsh, fish");
});

testWith("man")(
  "the manual page has each verb, flag and example, and man finds nothing wrong with it",
  () => {
    const page = join(directory, "page.1");
    writeFileSync(page, run([program, "man"]));
    const { stdout, stderr } = Bun.spawnSync(["man", "--warnings", "-l", page], {
      env: { ...env, MANWIDTH: "200", LC_ALL: "C.UTF-8", MAN_KEEP_FORMATTING: "" },
    });
    expect(stderr.toString()).toBe("");
    const shown = stdout.toString().replaceAll(/.[\b]/g, "").replaceAll(/\s+/g, " ");
    for (const [verb, { description, isHidden, args = {}, examples = [] }] of Object.entries(verbs)) {
      expect(shown.includes(`${description}.`)).toBe(isHidden !== true);
      if (isHidden === true) continue;
      for (const [flag, { type, description: text }] of Object.entries(args))
        if (type !== "positional" && text !== undefined) expect(shown).toContain(`--${flag}`);
      for (const [line] of examples) expect(shown).toContain(`${name} ${line} `);
      expect(shown).toContain(verb);
    }
  },
);
