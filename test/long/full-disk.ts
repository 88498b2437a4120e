/** A disk that is really full, or read-only, under an update, a roll-back, the boot script and install.sh: a small tmpfs in a private mount namespace. */
import { afterAll, beforeAll, expect } from "bun:test";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { openDurableFiles } from "../../lib/doors/durable-files.ts";
import bootScript from "../../lib/service/boot.sh" with { type: "text" };
import { openPlaces, type Places } from "../../lib/update/places.ts";
import { hostTarget } from "../../scripts/build.ts";
import { testWith } from "../lab/needs.ts";
import { openUpdateLab, saying, signing, type UpdateLab } from "../lab/update-lab.ts";

const test = testWith("root", "namespaces");
let lab: UpdateLab;
beforeAll(async () => {
  lab = await openUpdateLab();
  mkdirSync(join(lab.prefix, "libexec"));
  await openDurableFiles().write(lab.places.bootScript, bootScript, 0o755);
  await lab.release("1.1.0", undefined, { targets: [hostTarget(), "linux-x64"] });
});
afterAll(() => rmSync(lab.directory, { recursive: true, force: true }));

/** In DIRECTORY: `before` becomes a prefix in a tmpfs, "FREE" pages are left of it or it is read-only, and what it is then is `after`. */
const script = `set -e
cd "$1" && free=$2 && shift 2
rm -rf after && mkdir -p disk after
mount -t tmpfs -o size=2m none disk
cp -a before disk/prefix
if [ "$free" = read-only ]; then mount -o remount,ro disk; else
  dd if=/dev/zero of=disk/filler bs=4k count=$(($(df -Pk disk | sed -n '$s/.* \\([0-9][0-9]*\\)  *[0-9]*%.*/\\1/p') / 4 - free)) 2>/dev/null
fi
code=0
"$@" || code=$?
cp -a disk/prefix/. after
exit $code`;

type Free = number | "read-only";

function run(free: Free, argv: string[]): { code: number; said: string } {
  const words = ["unshare", "--mount", "sh", "-c", script, "sh", lab.directory, String(free), ...argv];
  const ran = Bun.spawnSync(words, { env: { PATH: process.env["PATH"] ?? "", HOME: lab.directory } });
  return { code: ran.exitCode, said: `${ran.stdout.toString()}${ran.stderr.toString()}` };
}

const prefix = (): string => join(lab.directory, "disk/prefix");
function update(free: Free, what: "update" | "roll back"): { code: number; said: string } {
  const words = [prefix(), lab.mirror, signing.public, what, "0"];
  return run(free, [process.execPath, join(import.meta.dir, "../lab/mortal-update.ts"), ...words]);
}

/** What is there afterwards works. */
async function after(): Promise<Places> {
  const places = openPlaces({ prefix: join(lab.directory, "after"), files: openDurableFiles() });
  expect(readFileSync(places.bin, "utf8")).toBe(saying((await places.current()) ?? ""));
  for (const version of await places.versions())
    expect(readFileSync(places.executableOf(version), "utf8")).toBe(saying(version));
  return places;
}

function keep(from: string): void {
  const before = join(lab.directory, "before");
  rmSync(before, { recursive: true, force: true });
  cpSync(from, before, { recursive: true, verbatimSymlinks: true });
}

test("F119 however many pages a disk has left, an update ends on a version that works, and says that the disk is full", async () => {
  keep(lab.prefix);
  let refused = 0;
  for (let free = 0; ; free += 1) {
    const { code, said } = update(free, "update");
    const places = await after();
    if (code === 0) {
      expect(await places.current()).toBe("1.1.0");
      break;
    }
    refused += 1;
    expect([free, said]).toEqual([free, expect.stringContaining("The disk is full") as string]);
    // What it left does not keep the next one from its work.
    keep(join(lab.directory, "after"));
    expect(update(200, "update")).toMatchObject({ code: 0 });
    expect(await (await after()).current()).toBe("1.1.0");
    keep(lab.prefix);
  }
  console.log(`full disk: ${refused} updates refused`);
  expect(refused).toBeGreaterThan(5);
}, 120_000);

test("F119 on a full disk a roll-back works, and so does that of the boot script", async () => {
  keep(lab.prefix);
  expect(update(200, "update")).toMatchObject({ code: 0 });
  keep(join(lab.directory, "after"));
  expect(update(0, "roll back")).toMatchObject({ code: 0 });
  const places = await after();
  expect([await places.current(), await places.mark("1.1.0")]).toMatchObject(["1.0.0", { kind: "bad" }]);
  const start = `for start in 1 2 3 4; do sh ${prefix()}/libexec/boot self-test; done`;
  const { said } = run(0, ["sh", "-c", start]);
  expect([...said.matchAll(/"version":"([^"]+)"/g)].map(([, version]) => version)).toEqual([
    "1.1.0",
    "1.1.0",
    "1.1.0",
    "1.0.0",
  ]);
  expect((await (await after()).mark("1.1.0"))?.kind).toBe("bad");
});

test("F119 on a read-only disk nothing changes, it is said so, and the version that is there starts", async () => {
  keep(lab.prefix);
  for (const what of ["update", "roll back"] as const) {
    const { code, said } = update("read-only", what);
    expect([what, code, said]).toEqual([what, 1, expect.stringContaining("read-only") as string]);
    expect(await (await after()).current()).toBe(what === "update" ? "1.0.0" : "1.1.0");
    expect(run("read-only", ["sh", `${prefix()}/libexec/boot`, "self-test"]).said).toContain('"version"');
    keep(lab.prefix);
    update(200, "update");
    keep(join(lab.directory, "after"));
  }
});

test.each<[Free, string]>([
  [10, "are free in"],
  ["read-only", "cannot write to"],
])("F119 install.sh on a disk with %p says what is in its way, and leaves nothing", (free, why) => {
  keep(lab.mirror);
  const words = [
    "--user",
    "--no-service",
    "--prefix",
    `${prefix()}/new`,
    "--base-dir",
    `${lab.directory}/base`,
  ];
  const argv = [
    "sh",
    `${prefix()}/install.sh`,
    ...words,
    "--server-url",
    "https://b.example",
    "--token-file",
    "/t",
  ];
  const { code, said } = run(free, argv);
  expect([code, said]).toEqual([1, expect.stringContaining(why) as string]);
  expect(existsSync(join(lab.directory, "after/new"))).toBe(false);
});
