/** A whole update from a static server with a fault: it ends on the version before, keeps nothing that could be started, and works afterwards. */
import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { manifestText, type Manifest } from "../../lib/update/manifest.ts";
import { signManifest } from "../../lib/update/signature.ts";
import { FactoryError } from "../../lib/words/failure.ts";
import { version as own } from "../../lib/words/version.ts";
import { hostTarget } from "../../scripts/build.ts";
import { openDice } from "../lab/dice.ts";
import { testWith } from "../lab/needs.ts";
import { type MirrorFault, openStaticMirror, type StaticMirror } from "../lab/static-mirror.ts";
import { openUpdateLab, saying, signing, started, type UpdateLab } from "../lab/update-lab.ts";

setDefaultTimeout(60_000);
const newest = { wanted: null, allowDowngrade: false, retry: false };
let lab: UpdateLab;
let mirror: StaticMirror;
beforeEach(async () => {
  lab = await openUpdateLab();
  mirror = await openStaticMirror(lab.mirror);
  await lab.release("1.1.0");
});
afterEach(async () => {
  await mirror[Symbol.asyncDispose]();
  rmSync(lab.directory, { recursive: true, force: true });
});

const archive = "1.1.0/buildomat-factory-sp-test-1.1.0-linux-x64.gz";
const files = ["manifest.json", "manifest.sig", archive];

async function complaint(): Promise<string> {
  const error: unknown = await lab
    .updater({ url: mirror.url })
    .install(newest)
    .then(
      () => null,
      (thrown: unknown) => thrown,
    );
  if (!(error instanceof FactoryError)) throw new Error(`not for people: ${String(error)}`);
  expect(started(lab)).toBe(saying("1.0.0"));
  expect(existsSync(lab.places.executableOf("1.1.0"))).toBe(false);
  expect(await lab.places.mark("1.1.0")).toBeNull();
  return error.message;
}

async function expectWorks(): Promise<void> {
  mirror.setFault(() => null);
  expect(await lab.updater({ url: mirror.url }).install(newest)).toBe("1.1.0");
  expect(started(lab)).toBe(saying("1.1.0"));
}

const faults: [string, MirrorFault, string][] = [
  ["is not there", { kind: "status", status: 404 }, "the answer is 404"],
  ["fails in the server", { kind: "status", status: 500 }, "the answer is 500"],
  ["is empty", { kind: "length", bytes: 0 }, ""],
  ["never ends", { kind: "endless" }, ""],
  ["is longer than it was", { kind: "length", bytes: 1_000_000 }, ""],
  ["has other bytes", { kind: "garbage" }, ""],
  ["leads to a file of this host", { kind: "redirect", to: "file:///etc/passwd" }, "leads to"],
];

test.each(faults.flatMap(([what, fault, why]) => files.map((path) => [path, what, fault, why] as const)))(
  "F113 %s that %s is refused",
  async (path, _, fault, why) => {
    mirror.setFault((asked) => (asked === path ? fault : null));
    expect(await complaint()).toContain(why);
    await expectWorks();
  },
);

test("F113 a mirror that breaks off at random bytes of any file is survived", async () => {
  const dice = openDice(15);
  for (let round = 0; round < 40; round += 1) {
    const path = files[round % files.length] ?? "";
    const size = statSync(join(lab.mirror, path)).size;
    const afterBytes = Math.floor(dice() * size);
    // Else what the round before has left could complete it.
    rmSync(join(lab.prefix, "staging"), { recursive: true });
    mkdirSync(join(lab.prefix, "staging"));
    mirror.setFault((asked) => (asked === path ? { kind: "cut", afterBytes } : null));
    expect([path, afterBytes, await complaint()]).toEqual([path, afterBytes, expect.any(String)]);
  }
  await expectWorks();
});

test("a slow mirror is waited for as long as something comes", async () => {
  await lab.release("1.2.0", `${saying("1.2.0")}# ${"slow ".repeat(200)}\n`);
  mirror.setFault(() => ({ kind: "slow", bytesEach: 50, everyMs: 5 }));
  expect(await lab.updater({ url: mirror.url }).install(newest)).toBe("1.2.0");
});

test("a mirror that keeps its files elsewhere serves a whole update", async () => {
  await using other = await openStaticMirror(lab.mirror);
  mirror.setFault((path) => ({ kind: "redirect", to: `${other.url}/${path}` }));
  expect(await lab.updater({ url: mirror.url }).install(newest)).toBe("1.1.0");
});

test("yesterday's mirror, whole, is refused once today's was seen", async () => {
  const yesterday = files.slice(0, 2).map((name) => [name, readFileSync(join(lab.mirror, name))] as const);
  await lab.release("1.2.0");
  await lab.updater({ url: mirror.url }).check(newest);
  for (const [name, bytes] of yesterday) writeFileSync(join(lab.mirror, name), bytes);
  expect(await complaint()).toContain("older than one that was seen before");
});

/** Signed by the trusted key: whoever has it may still have made a mistake. */
function sign(change: (manifest: Manifest) => Manifest, key = signing.private): void {
  const manifest = JSON.parse(readFileSync(join(lab.mirror, "manifest.json"), "utf8")) as Manifest;
  const bytes = Buffer.from(manifestText(change(manifest)));
  writeFileSync(join(lab.mirror, "manifest.json"), bytes);
  writeFileSync(join(lab.mirror, "manifest.sig"), signManifest(bytes, [key]));
}

test("a stale mirror, whose manifest has expired, is refused and says since when", async () => {
  sign((manifest) => ({ ...manifest, expires: "2026-01-01T00:00:00.000Z" }));
  expect(await complaint()).toContain("2026-01-01");
});

test("a manifest with the signature of the one before it is refused", async () => {
  const before = readFileSync(join(lab.mirror, "manifest.sig"));
  await lab.release("1.2.0");
  writeFileSync(join(lab.mirror, "manifest.sig"), before);
  expect(await complaint()).toContain("not signed by a key");
});

/** Not waited for in place: the mirror is served by this process. */
async function runInstaller(home: string): Promise<{ code: number; said: string }> {
  const words = ["--user", "--no-service", "--url", mirror.url, "--server-url", "https://b.example"];
  const child = Bun.spawn(["sh", join(lab.mirror, "install.sh"), ...words], {
    env: { PATH: "/usr/bin:/bin", HOME: home, FACTORY_TOKEN: "token" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { code: await child.exited, said: `${out}${err}` };
}

testWith("curl")(
  "F113 install.sh survives a mirror that breaks off, and follows one that leads elsewhere",
  async () => {
    const home = join(lab.directory, "home");
    mkdirSync(home);
    // It says what it is, and is not placed by itself.
    const line = `${own.product} 1.2.0 (0a1b2c3d4e5f, ${hostTarget()})`;
    await lab.release(
      "1.2.0",
      `#!/bin/sh\n[ "$1" != --version ] || echo '${line}'\necho "$1" >>"$HOME/called"\n`,
      { targets: [hostTarget()] },
    );
    const size = statSync(
      join(lab.mirror, archive.replaceAll("1.1.0", "1.2.0").replace("linux-x64", hostTarget())),
    ).size;
    const dice = openDice(16);
    for (let round = 0; round < 10; round += 1) {
      const afterBytes = Math.floor(dice() * size);
      // Else what the round before has left could complete it.
      rmSync(join(lab.prefix, "staging"), { recursive: true });
      mkdirSync(join(lab.prefix, "staging"));
      mirror.setFault(() => ({ kind: "cut", afterBytes }));
      expect(await runInstaller(home)).toMatchObject({
        code: 1,
        said: expect.stringContaining("cannot fetch") as string,
      });
      expect(
        readdirSync(home, { recursive: true }).filter((name) => String(name).includes("install.")),
      ).toEqual([]);
      expect(existsSync(join(home, "called"))).toBe(false);
    }
    await using other = await openStaticMirror(lab.mirror);
    mirror.setFault((path) => ({ kind: "redirect", to: `${other.url}/${path}` }));
    expect(await runInstaller(home)).toMatchObject({ code: 0 });
    expect(readFileSync(join(home, "called"), "utf8")).toContain("service\n");
  },
);
