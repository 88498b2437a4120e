/** install.sh as a connection that breaks would leave it: every beginning of it, in each shell that may be a host's sh. */
import { afterAll, beforeAll, expect } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { needOfShell, testWith } from "../lab/needs.ts";

const text = readFileSync(join(import.meta.dir, "../../scripts/install.sh"));
const end = text.lastIndexOf("}");
const directory = mkdtempSync(join(tmpdir(), "cuts-"));
const home = join(directory, "home");
const stubs = join(directory, "bin");
const called = join(directory, "called");

beforeAll(() => {
  for (const path of [home, stubs]) mkdirSync(path);
  // Whatever it calls, it is noted.
  for (const name of [
    "id",
    "uname",
    "mkdir",
    "dirname",
    "curl",
    "wget",
    "sed",
    "grep",
    "getconf",
    "cat",
    "rm",
  ]) {
    writeFileSync(join(stubs, name), `#!/bin/sh\necho "${name}" >>'${called}'\n`, { mode: 0o755 });
  }
  for (let length = 0; length <= end; length += 1) {
    writeFileSync(join(directory, `${length}`), text.subarray(0, length));
  }
  writeFileSync(join(directory, "whole"), text);
});
afterAll(() => rmSync(directory, { recursive: true }));

for (const shell of ["dash", "bash", "busybox"]) {
  testWith(...needOfShell(shell))(
    `F102 install.sh that was cut short at any byte does nothing under ${shell}`,
    () => {
      const sh = [Bun.which(shell) ?? shell, ...(shell === "busybox" ? ["sh"] : [])];
      const run = (words: string): { stdout: Buffer; stderr: Buffer } =>
        Bun.spawnSync([...sh, "-c", words], { cwd: home, env: { PATH: stubs, HOME: home }, stdin: "ignore" });
      const loop = `i=0; while [ $i -le ${end} ]; do ( . '${directory}/'$i ); i=$((i + 1)); done; echo all`;
      expect(run(`set -- --uninstall --user; ${loop}`).stdout.toString()).toBe("all\n");
      expect(existsSync(called)).toBe(false);
      expect(readdirSync(home)).toEqual([]);
      // With its last byte it does something.
      expect(run(`set -- --uninstall --user; . '${directory}/whole'`).stderr.toString()).toContain(
        "install.sh: ",
      );
      rmSync(called, { force: true });
    },
  );
}
