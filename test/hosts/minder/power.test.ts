import { afterEach, expect, setDefaultTimeout } from "bun:test";
import { chmodSync, cpSync, existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import type { MinderView } from "../../../lib/hosts/minder/minder-answer.ts";
import type { ArmSpec } from "../../../lib/hosts/minder/specification.ts";
import {
  describe,
  kill,
  type Lab,
  openLab,
  processesWith,
  readText,
  rolesOf,
  test,
  until,
} from "./minder-lab.ts";

setDefaultTimeout(60_000);
let lab: Lab;
afterEach(() => lab.close());

const files = ["minder", "identity.json", "armed", "claim", "intent.json"];
type Left = "whole" | "empty" | "missing";

/** Every subset: what a power cut between armed and go may leave of each file. A claim is not whole: go did not answer. */
function subsets(): Left[][] {
  let found: Left[][] = [[]];
  for (const file of files) {
    const left: Left[] = file === "claim" ? ["empty", "missing"] : ["whole", "empty", "missing"];
    found = found.flatMap((subset) => left.map((each) => [...subset, each]));
  }
  return found;
}

/** What lasted of an armed instance when the power went: its processes are gone, and it is another boot. */
async function cutPower(spec: ArmSpec): Promise<void> {
  expect(await lab.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
  // Again and again: one that is being forked is not seen yet.
  await until(() => {
    const alive = processesWith(spec.cookie).filter(({ state }) => state !== "Z");
    for (const { pid } of alive) kill(pid);
    return alive.length === 0;
  });
  for (const name of readdirSync(lab.locks)) rmSync(`${lab.locks}/${name}`);
  const boot = readText("/proc/sys/kernel/random/boot_id").trim();
  for (const name of ["minder", "identity.json"]) {
    const path = `${spec.directory}/minder/${name}`;
    writeFileSync(path, readText(path).replace(boot, `ffffffff${boot.slice(8)}`));
  }
}

/** A copy of its directory for each subset. */
async function fabricate(spec: ArmSpec, lefts: Left[][]): Promise<string[]> {
  await cutPower(spec);
  return lefts.map((left, index) => {
    const directory = `${lab.work}/board_${index + 2}`;
    cpSync(spec.directory, directory, {
      recursive: true,
      filter: (path) => !/\/(?:gate|events)$/.test(path),
    });
    left.forEach((each, file) => {
      const path = `${directory}/minder/${files[file]}`;
      if (each === "empty") writeFileSync(path, "");
      if (each === "missing") rmSync(path, { force: true });
    });
    return directory;
  });
}

describe("a power cut between armed and go (F92)", () => {
  const records: Left[] = ["whole", "empty", "missing"];
  test.each(records)(
    "never started an agent, whatever is empty or missing (%s record of the minder)",
    async (record) => {
      lab = openLab();
      const spec = lab.spec({ agent: ["/bin/true"] });
      const lefts = subsets().filter(([first]) => first === record);
      const directories = await fabricate(spec, lefts);
      const views: MinderView[] = [];
      // One call has a time limit.
      for (let from = 0; from < directories.length; from += 6) {
        views.push(...(await lab.minder.look(directories.slice(from, from + 6))));
      }
      const wrong = views.flatMap(({ state, went, process, minder }, index) =>
        state === "absent" && !went && process === "dead" && minder === "dead"
          ? []
          : [{ left: lefts[index], state, went, process, minder }],
      );
      expect(wrong).toEqual([]);
      for (const directory of directories.filter((_, index) => index % 11 === 0)) {
        expect(await lab.minder.stop(directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
        expect(existsSync(directory)).toBe(false);
      }
    },
  );

  test("counts as expired for go(), and the same instance can be armed again", async () => {
    lab = openLab();
    const first = lab.spec({ agent: ["/bin/true"] });
    const { cookie } = first;
    const some = subsets().filter((_, index) => index % 13 === 0);
    const directories = await fabricate(first, some);
    for (const [index, directory] of directories.entries()) {
      const spec = lab.spec({ seq: index + 2, agent: ["/bin/true"], cookie });
      expect(spec.directory).toBe(directory);
      const left = JSON.stringify(some[index]);
      const went = await lab.minder.go({ directory, worker: "W", agentJson: "{}" });
      expect({ left, went }).toEqual({ left, went: { kind: "expired" } });
      expect({ left, armed: await lab.minder.arm(spec) }).toEqual({
        left,
        armed: { kind: "armed", refusal: null },
      });
      expect(await lab.minder.stop(directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
    }
    expect(await lab.minder.stop(first.directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
  });

  test("proves nothing while a process of it runs and only its records are gone", async () => {
    lab = openLab();
    const spec = lab.spec({ agent: ["/bin/true"] });
    await lab.minder.arm(spec);
    const { directory } = spec;
    const identity = readText(`${directory}/minder/identity.json`);
    const lock = readdirSync(lab.locks)[0] ?? "";
    const text = readText(`${lab.locks}/${lock}`);
    writeFileSync(`${directory}/minder/identity.json`, "");
    // By its lock, then by its processes.
    expect(await lab.minder.look([directory])).toMatchObject([{ state: "cannot tell" }]);
    rmSync(`${lab.locks}/${lock}`);
    expect(await lab.minder.look([directory])).toMatchObject([{ state: "cannot tell" }]);
    writeFileSync(`${lab.locks}/${lock}`, text);
    writeFileSync(`${directory}/minder/identity.json`, identity);
    expect(await lab.minder.stop(directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
  });
});

describe("what lasts", () => {
  /** `sync` notes what it is asked to make last, and whether an agent was started or armed by then. */
  function openSyncing(end: string): Lab {
    lab = openLab({ prefix: ["env", "PATH=/nowhere"] });
    const { base } = lab;
    const noting = `
      d=minder; for path; do case $path in */*_1/*) d=\${path%/minder*}/minder ;; esac; done
      [ -e "$d/armed" ] && w=armed || w=new; [ -e "$d/started" ] && w=started
      echo "$w" "$@" >>'${base}/synced'; ${end}`;
    writeFileSync(`${base}/sync`, `#!/bin/sh\n${noting}\n`);
    chmodSync(`${base}/sync`, 0o755);
    return openLab({ prefix: ["env", `PATH=${base}:/usr/bin:/bin`], base, locks: lab.locks });
  }

  test("identity.json before it is armed, and the claim before anything is started", async () => {
    const inner = openSyncing("exit 0");
    const spec = inner.spec({ agent: [inner.agent("exec sleep 1000")], kept: [inner.base] });
    const synced = (): string[] =>
      readText(`${inner.base}/synced`).replaceAll(`${spec.directory}/`, "").split("\n");
    expect(await inner.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
    expect(synced()[0]).toMatch(/^new minder\/identity\.json minder\/minder minder\/intent\.json minder /);
    await inner.minder.go({ directory: spec.directory, worker: "W", agentJson: "{}" });
    expect(synced()[1]).toMatch(/^armed minder\/claim .*minder\/identity\.json minder$/);
    await inner.minder.stop(spec.directory, { graceMs: 0 });
  });

  test("no agent is started, and go() does not report a start, while the claim cannot be written to the disk", async () => {
    const inner = openSyncing('case $* in "" | *claim*) [ -e "$0.works" ] ;; esac');
    // It is in the host's /tmp, which the first process does not see.
    const spec = inner.spec({ agent: [inner.agent("exec sleep 1000")], kept: [inner.base] });
    const { directory } = spec;
    const go = { directory, worker: "W", agentJson: "{}" };
    expect(await inner.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
    expect(await inner.minder.go(go)).toMatchObject({ kind: "cannot tell" });
    expect(existsSync(`${directory}/minder/started`)).toBe(false);
    // Nor when something else than the word of `go` wakes it.
    for (const pid of rolesOf(spec.cookie).minder) process.kill(pid, "SIGKILL");
    await until(() => rolesOf(spec.cookie).first.length === 0);
    expect(existsSync(`${directory}/minder/started`)).toBe(false);
    await inner.minder.stop(directory, { graceMs: 0 });
  });
});
