/** The script between the supervisor and the program, in each shell that may be the sh of a lab host. */
import { afterAll, describe, expect } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import script from "../../lib/service/boot.sh" with { type: "text" };
import { needOfShell, testWith } from "../lab/needs.ts";

const product = "buildomat-factory-sp-test";
const root = mkdtempSync(join(tmpdir(), "boot-"));
afterAll(() => rmSync(root, { recursive: true }));

interface Prefix {
  /** What it printed and its exit code. */
  start(env?: Record<string, string>): { said: string; code: number };
  marks(): string[];
  links(): string[];
  /** Writes the file with a version's hash, as an installation does. */
  hash(...versions: string[]): void;
  directory: string;
}

/** Two versions, the second one current, which a script of each plays. */
function openPrefix(shell: string, marks: string[], bodies: Record<string, string | null> = {}): Prefix {
  const directory = join(mkdtempSync(join(root, "p-")), "a prefix");
  for (const name of ["bin", "boot", "libexec"]) mkdirSync(join(directory, name), { recursive: true });
  for (const [version, body] of Object.entries({ "1.0.0": "", "1.1.0": "", ...bodies })) {
    mkdirSync(join(directory, "versions", version), { recursive: true });
    if (body === null) continue;
    const path = join(directory, "versions", version, product);
    writeFileSync(path, `#!/bin/sh\necho "${version}|$*|\${BUN_OPTIONS-}|\${BUN_BE_BUN-}"\n${body}`);
    chmodSync(path, 0o755);
  }
  symlinkSync(`../versions/1.1.0/${product}`, join(directory, "bin", product));
  symlinkSync(`../versions/1.0.0/${product}`, join(directory, "bin", `${product}.prev`));
  for (const mark of marks) writeFileSync(join(directory, "boot", mark), "");
  writeFileSync(join(directory, "libexec", "boot"), script);
  return {
    directory,
    hash: (...versions) => {
      for (const version of versions) {
        const at = join(directory, "versions", version);
        const sum = new Bun.CryptoHasher("sha256").update(readFileSync(join(at, product))).digest("hex");
        writeFileSync(join(at, "sha256"), `${sum}  ${product}\n`);
      }
    },
    start: (env = {}) => {
      const argv = [...shell.split(" "), join(directory, "libexec", "boot"), "run", "--base-dir", "a  b"];
      const run = Bun.spawnSync(argv, { env: { PATH: "/usr/bin:/bin", ...env }, cwd: "/" });
      return { said: run.stdout.toString().trim(), code: run.exitCode };
    },
    marks: () => readdirSync(join(directory, "boot")).toSorted(),
    links: () =>
      readdirSync(join(directory, "bin")).map(
        (name) => readlinkSync(join(directory, "bin", name)).split("/")[2] ?? "",
      ),
  };
}

describe.each(["sh", "dash", "bash", "busybox sh"])("boot under %s", (shell) => {
  const test = testWith(...needOfShell(shell.split(" ")[0] ?? ""));

  test("starts the current version with its words and without what makes it a plain Bun", () => {
    const prefix = openPrefix(shell, ["1.1.0.good"], { "1.1.0": 'echo "$FACTORY_BOOT"; exit 7' });
    expect(prefix.start({ BUN_OPTIONS: "--preload=/evil.ts", BUN_BE_BUN: "1" })).toEqual({
      said: `1.1.0|run --base-dir a  b||\n${prefix.directory}`,
      code: 7,
    });
    expect(prefix.marks()).toEqual(["1.1.0.good"]);
    expect(prefix.links()).toEqual(["1.1.0", "1.0.0"]);
  });

  test("F101 gives a new version three starts, and then goes back to the one before, once and for all", () => {
    const prefix = openPrefix(shell, ["1.0.0.good", "1.1.0+3"]);
    const started = [1, 2, 3, 4, 5].map(
      () => `${prefix.start().said.split("|")[0]} ${prefix.marks().join(" ")}`,
    );
    expect(started).toEqual([
      "1.1.0 1.0.0.good 1.1.0+2",
      "1.1.0 1.0.0.good 1.1.0+1",
      "1.1.0 1.0.0.good 1.1.0+0",
      "1.0.0 1.0.0.good 1.1.0.bad",
      "1.0.0 1.0.0.good 1.1.0.bad",
    ]);
    expect(prefix.links()).toEqual(["1.0.0"]);
  });

  test("counts the starts of the current version only, whatever its name begins with", () => {
    const prefix = openPrefix(shell, ["1.0.0+0", "1.1.0-rc.1+0", "1.1.0.good", "1.1.0+3"]);
    expect(prefix.start().said).toStartWith("1.1.0|");
    expect(prefix.marks()).toEqual(["1.0.0+0", "1.1.0+2", "1.1.0-rc.1+0", "1.1.0.good"]);
  });

  test("starts the version before if the current one is missing", () => {
    const prefix = openPrefix(shell, [], { "1.1.0": null });
    expect(prefix.start().said).toStartWith("1.0.0|");
  });

  test("keeps a version on trial if the one before is gone from the disk", () => {
    const prefix = openPrefix(shell, ["1.1.0+0"], { "1.0.0": null });
    expect(prefix.start().said).toStartWith("1.1.0|");
    expect(prefix.marks()).toEqual(["1.1.0+0"]);
  });

  test("keeps a version on trial if there is no version to go back to", () => {
    const prefix = openPrefix(shell, ["1.1.0+0"]);
    rmSync(join(prefix.directory, "bin", `${product}.prev`));
    expect(prefix.start().said).toStartWith("1.1.0|");
    expect(prefix.marks()).toEqual(["1.1.0+0"]);
  });

  test("an executable that cannot be run is a failed start, which counts", () => {
    const prefix = openPrefix(shell, ["1.1.0+1"]);
    writeFileSync(join(prefix.directory, "versions/1.1.0", product), "\x7fELF truncated");
    expect(prefix.start().code).toBeGreaterThan(0);
    expect(prefix.marks()).toEqual(["1.1.0+0"]);
    expect(prefix.start().said).toStartWith("1.0.0|");
  });

  test("F110 a confirmed version that is damaged on the disk is left for the one before at its second start", () => {
    const prefix = openPrefix(shell, ["1.0.0.good", "1.1.0.good"]);
    prefix.hash("1.0.0", "1.1.0");
    writeFileSync(join(prefix.directory, "versions/1.1.0", product), "\x7fELF truncated");
    // Its last start was ten minutes ago.
    const then = Date.now() / 1000 - 600;
    utimesSync(join(prefix.directory, "boot/1.1.0.good"), then, then);
    expect(prefix.start().code).toBeGreaterThan(0);
    expect(prefix.start().said).toStartWith("1.0.0|");
    expect(prefix.links()).toEqual(["1.0.0"]);
    expect(prefix.start().said).toStartWith("1.0.0|");
    expect(prefix.marks()).toEqual(["1.0.0.good", "1.1.0.good"]);
  });

  test("a confirmed version that fails again and again stays if its bytes are right, or if those of the one before are not", () => {
    const prefix = openPrefix(shell, ["1.1.0.good"], { "1.1.0": "exit 2" });
    prefix.hash("1.0.0", "1.1.0");
    const start = (): string => prefix.start().said.split("|")[0] ?? "";
    expect([start(), start(), start()]).toEqual(["1.1.0", "1.1.0", "1.1.0"]);
    for (const version of ["1.0.0", "1.1.0"]) {
      appendFileSync(join(prefix.directory, "versions", version, product), "# damaged");
    }
    expect([start(), start()]).toEqual(["1.1.0", "1.1.0"]);
  });
});
