/** An update and a roll-back that are killed before each of their changes to the disk, and once more while they are taken up again. */
import { expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { openDurableFiles } from "../../lib/doors/durable-files.ts";
import { openPlaces } from "../../lib/update/places.ts";
import { openUpdateLab, saying, signing, type UpdateLab } from "../lab/update-lab.ts";

type What = "update" | "roll back";

function run(lab: UpdateLab, prefix: string, what: What, call: number): number {
  const words = [prefix, lab.mirror, signing.public, what, String(call)];
  const child = Bun.spawnSync(
    [process.execPath, join(import.meta.dir, "../lab/mortal-update.ts"), ...words],
    {
      stderr: "pipe",
    },
  );
  const isKilled = child.signalCode === "SIGKILL";
  if (!isKilled && child.exitCode !== 0) throw new Error(child.stderr.toString());
  return isKilled ? 1 : 0;
}

/** What is started is always a whole version; a mark is never of a version that nobody started. */
async function expectSound(prefix: string): Promise<void> {
  const places = openPlaces({ prefix, files: openDurableFiles() });
  const current = (await places.current()) ?? "";
  expect(["1.0.0", "1.1.0"]).toContain(current);
  expect(readFileSync(places.bin, "utf8")).toBe(saying(current));
  for (const version of await places.versions()) {
    const sha256 = await openDurableFiles().sha256(places.executableOf(version));
    expect(readFileSync(join(prefix, "versions", version, "sha256"), "utf8")).toStartWith(`${sha256} `);
  }
}

test.each<[What, string]>([
  ["update", "1.1.0"],
  ["roll back", "1.0.0"],
])(
  "F112 %s: killed before each change, and again when it is taken up, it ends as if nothing had been",
  async (what, ends) => {
    const lab = await openUpdateLab();
    try {
      await lab.release("1.1.0");
      const before = join(lab.directory, "before");
      if (what === "roll back") {
        await lab.updater().prepare({ wanted: null, allowDowngrade: false, retry: false });
        await lab.places.switchTo("1.1.0");
      }
      cpSync(lab.prefix, before, { recursive: true, verbatimSymlinks: true });
      let kills = 0;
      for (let call = 1; ; call += 1) {
        const prefix = join(lab.directory, `prefix-${call}`);
        mkdirSync(prefix);
        cpSync(before, prefix, { recursive: true, verbatimSymlinks: true });
        const killed = run(lab, prefix, what, call);
        await expectSound(prefix);
        if (killed === 1) {
          kills += 1 + run(lab, prefix, what, 1 + ((call * 7) % 9));
          await expectSound(prefix);
          run(lab, prefix, what, 0);
          await expectSound(prefix);
        }
        const places = openPlaces({ prefix, files: openDurableFiles() });
        expect(await places.current()).toBe(ends);
        if (what === "update") expect(await places.previous()).toBe("1.0.0");
        expect(existsSync(join(prefix, "staging"))).toBe(true);
        expect(readdirSync(join(prefix, "staging"))).toEqual([]);
        rmSync(prefix, { recursive: true });
        if (killed === 0) break;
      }
      console.log(`${what}: ${kills} kills`);
      expect(kills).toBeGreaterThan(what === "update" ? 15 : 3);
    } finally {
      rmSync(lab.directory, { recursive: true, force: true });
    }
  },
);
