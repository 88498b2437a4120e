/**
 * An update and a roll-back that lose power after each of their changes to the disk: a copy of the disk as it is then, without
 * what the system had still in memory. The links and marks on it are those that the program had made, and what is started is whole.
 */
import { afterAll, beforeAll, expect } from "bun:test";
import { cpSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { openDurableFiles } from "../../lib/doors/durable-files.ts";
import { openPlaces } from "../../lib/update/places.ts";
import { testWith } from "../lab/needs.ts";
import { openUpdateLab, saying, signing, type UpdateLab } from "../lab/update-lab.ts";

const test = testWith("root", "namespaces", "ext4");
let lab: UpdateLab;
beforeAll(async () => {
  lab = await openUpdateLab();
  await lab.release("1.1.0");
});
afterAll(() => rmSync(lab.directory, { recursive: true, force: true }));

/** In DIRECTORY is `before`, and then `live` and `cut`: the prefix as it was seen, and as the disk has it. The rest is started. */
const script = `set -e
cd "$1" && shift
rm -rf live cut && mkdir -p disk live cut
truncate -s 16M disk.image && mkfs.ext4 -q -F disk.image
# Nothing is written by the system's own accord: only what the program asks for.
mount -o loop,commit=900,noauto_da_alloc disk.image disk
cp -a before disk/prefix
sync disk/prefix && umount disk && mount -o loop,commit=900,noauto_da_alloc disk.image disk
code=0
"$@" || code=$?
cp disk.image cut.image
cp -a disk/prefix/. live
umount disk
mount -o loop cut.image disk
cp -a disk/prefix/. cut
umount disk
exit $code`;

/** The links, and what is in boot/ and versions/, with its sizes. */
function looksOf(prefix: string): string[] {
  const links = readdirSync(join(prefix, "bin"))
    .filter((name) => !name.endsWith(".new"))
    .map((name) => `${name} -> ${readlinkSync(join(prefix, "bin", name))}`);
  const names = ["boot", "versions", "versions/1.0.0", "versions/1.1.0"].flatMap((directory) => {
    try {
      return readdirSync(join(prefix, directory)).map((name) => {
        const status = statSync(join(prefix, directory, name));
        return `${directory}/${name} ${status.isFile() ? status.size : ""}`;
      });
    } catch {
      return [];
    }
  });
  return [...links, ...names].toSorted();
}

test.each([
  ["update", 15],
  ["roll back", 3],
] as const)(
  "F118 %s: a power cut after any change leaves what was done so far, and a version that works",
  async (what, least) => {
    if (what === "roll back")
      await lab.updater().install({ wanted: null, allowDowngrade: false, retry: false });
    const before = join(lab.directory, "before");
    rmSync(before, { recursive: true, force: true });
    cpSync(lab.prefix, before, { recursive: true, verbatimSymlinks: true });
    const start = (call: number): boolean => {
      const prefix = join(lab.directory, "disk/prefix");
      const program = [process.execPath, join(import.meta.dir, "../lab/mortal-update.ts")];
      const words = [prefix, lab.mirror, signing.public, what, String(call)];
      const argv = ["unshare", "--mount", "sh", "-c", script, "sh", lab.directory, ...program, ...words];
      const child = Bun.spawnSync(argv, { stderr: "pipe" });
      if (![0, 137].includes(child.exitCode)) throw new Error(child.stderr.toString());
      return child.exitCode === 137;
    };
    let cuts = 0;
    for (let call = 1; start(call); call += 1) {
      const [live, cut] = [join(lab.directory, "live"), join(lab.directory, "cut")];
      expect([call, looksOf(cut)]).toEqual([call, looksOf(live)]);
      const places = openPlaces({ prefix: cut, files: openDurableFiles() });
      const current = (await places.current()) ?? "";
      expect(readFileSync(places.bin, "utf8")).toBe(saying(current));
      for (const version of await places.versions()) {
        expect(readFileSync(places.executableOf(version), "utf8")).toBe(saying(version));
      }
      cuts += 1;
    }
    mkdirSync(join(lab.directory, "disk"), { recursive: true });
    console.log(`${what}: ${cuts} power cuts`);
    expect(cuts).toBeGreaterThan(least);
  },
  120_000,
);
