import { afterEach, expect, setDefaultTimeout } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { describe, type Lab, openLab, test } from "./minder-lab.ts";

setDefaultTimeout(60_000);
let lab: Lab;
afterEach(() => lab.close());

/** Instance directories with a record of the usual size; those that have not ended have a gate. */
function makeInstances(testbed: string, count: number, hasEnded: boolean): void {
  const intent = JSON.stringify({ cookie: "c".repeat(700) });
  const directories = Array.from({ length: count }, (_, index) => `${lab.work}/${testbed}_${index}`);
  for (const directory of directories) {
    mkdirSync(`${directory}/minder`, { recursive: true });
    writeFileSync(`${directory}/minder/intent.json`, intent);
  }
  if (!hasEnded) Bun.spawnSync(["mkfifo", ...directories.map((directory) => `${directory}/minder/gate`)]);
}

describe("recall()", () => {
  test("leaves ended directories out, and its pages stay within the size of an answer (F87)", async () => {
    lab = openLab();
    makeInstances("kept", 6000, true);
    makeInstances("open", 2100, false);
    const recalled = await lab.minder.recall(lab.work);
    if (!recalled.ok) throw new Error(recalled.reason);
    const names = recalled.instances.map(({ directory }) => directory.slice(lab.work.length + 1));
    expect(names.toSorted()).toEqual(Array.from({ length: 2100 }, (_, index) => `open_${index}`).toSorted());
  });

  test("starts again if the last directory of a page was removed", async () => {
    lab = openLab();
    const { base, locks, work } = lab;
    makeInstances("open", 1100, false);
    const once = `[ -e '${base}/once' ] || { printf '' >'${base}/once'; rm -rf "$gone"; }`;
    const edit = (script: string): string =>
      script
        .replace("count=$((count + 1))\n    answer", "count=$((count + 1)) gone=$directory\n    answer")
        .replace("answer more", `${once}; answer more`);
    const recalled = await openLab({ base, locks, edit }).minder.recall(work);
    if (!recalled.ok) throw new Error(recalled.reason);
    expect(new Set(recalled.instances.map(({ directory }) => directory)).size).toBe(1099);
    expect(recalled.instances.length).toBe(1099);
  });
});
