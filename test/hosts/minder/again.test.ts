/** An instance that ends in part, is begun again, or whose directory is another one's by now. */
import { afterEach, expect } from "bun:test";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import type { ArmSpec } from "../../../lib/hosts/minder/specification.ts";
import {
  describe,
  kill,
  killAll,
  type Lab,
  openLab,
  otherUser,
  processesWith,
  readText,
  rolesOf,
  stateOf,
  test,
  until,
} from "./minder-lab.ts";

let lab: Lab;
afterEach(() => lab.close());

const logOf = ({ directory }: ArmSpec): string => readText(`${directory}/agent.log`);

async function go({ directory }: ArmSpec): Promise<void> {
  expect(await lab.minder.go({ directory, worker: "W", agentJson: '{"secret":1}' })).toEqual({
    kind: "went",
  });
}

async function start(text: string, changes: Parameters<Lab["spec"]>[0] = {}): Promise<ArmSpec> {
  const spec = lab.spec({ agent: [lab.agent(text)], ...changes });
  expect(await lab.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
  await go(spec);
  await until(() => logOf(spec).includes("ready"));
  return spec;
}

async function lockOwners(): Promise<string[]> {
  const locks = await lab.minder.locks();
  return locks.ok ? locks.locks.map(({ owner }) => owner) : ["none"];
}

describe.each([
  ["isolated", 0, "auto"],
  ["isolated as another user", otherUser, "auto"],
  ["not isolated", 0, "off"],
] as const)("%s", (_, user, isolate) => {
  const spec = { isolate, usesHost: false };

  test("quiet() ends only the agent, and the testbed's lock is held until stop()", async () => {
    lab = openLab({ user });
    const it = await start("echo ready; exec sleep 1000", spec);
    expect(await lab.minder.quiet(it.directory, { cookie: it.cookie, graceMs: 5000 })).toEqual({
      kind: "stopped",
    });
    expect(await lab.minder.look([it.directory])).toMatchObject([
      { state: "exited", process: "alive", minder: "alive" },
    ]);
    expect(await lockOwners()).toEqual(["alive"]);
    expect((await lab.minder.arm(lab.spec({ seq: 2, agent: it.agent, ...spec }))).kind).toBe("elsewhere");
    expect(await lab.minder.quiet(it.directory, { cookie: it.cookie, graceMs: 5000 })).toEqual({
      kind: "stopped",
    });
    expect(await lab.minder.stop(it.directory, { cookie: it.cookie, graceMs: 5000 })).toEqual({
      kind: "stopped",
    });
    expect(await lockOwners()).toEqual([]);
  });

  test("quiet() records how the agent ended if the disk was full before", async () => {
    lab = openLab({ user });
    const it = await start("echo ready; exec sleep 1000", spec);
    // A directory of its name: nothing can be written there.
    mkdirSync(`${it.directory}/minder/exit.new`);
    expect((await lab.minder.quiet(it.directory, { graceMs: 0 })).kind).toBe("unkillable");
    rmSync(`${it.directory}/minder/exit.new`, { recursive: true });
    expect(await lab.minder.quiet(it.directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
    expect(await stateOf(lab, it.directory)).toBe("exited");
    await lab.minder.stop(it.directory, { graceMs: 0 });
  });

  test("quiet() kills an agent that ignores TERM, after the grace", async () => {
    lab = openLab({ user });
    const it = await start("trap '' TERM; echo ready; while :; do sleep 0.05; done", spec);
    expect(await lab.minder.quiet(it.directory, { graceMs: 100 })).toEqual({ kind: "stopped" });
    expect(await lab.minder.look([it.directory])).toMatchObject([{ state: "exited", exit: { signal: 9 } }]);
    await lab.minder.stop(it.directory, { graceMs: 0 });
  });

  test.each([
    ["ended by itself", "echo ready; exit 1"],
    ["was killed with its minder", "echo ready; exec sleep 1000"],
  ])("an agent that %s can go again in the same directory, with what it wrote", async (how, text) => {
    lab = openLab({ user });
    const it = await start(
      `echo "$(cat $HOME/../opt/etc/job.json 2>/dev/null) began" ; echo '{}' >$HOME/../opt/etc/job.json; ${text}`,
      spec,
    );
    if (how === "ended by itself") {
      await until(async () => (await stateOf(lab, it.directory)) === "exited");
      expect(await lab.minder.arm({ ...it, isAgain: true })).toMatchObject({
        kind: "failed",
        reason: "it is not proved dead",
      });
      expect(await lab.minder.stop(it.directory, { cookie: it.cookie, graceMs: 0 })).toEqual({
        kind: "stopped",
      });
    } else {
      killAll(it.cookie);
      // Without isolation the agent outlives its first process.
      for (const { pid } of processesWith(it.directory)) kill(pid);
      await until(async () => (await stateOf(lab, it.directory)) === "dead");
    }
    const again = { ...it, isAgain: true };
    expect(await lab.minder.arm(again)).toEqual({ kind: "armed", refusal: null });
    expect(await lab.minder.arm(again)).toEqual({ kind: "armed", refusal: null });
    await go(it);
    await until(() => logOf(it) === " began\nready\n{} began\nready\n");
    await lab.minder.stop(it.directory, { cookie: it.cookie, graceMs: 0 });
    expect(processesWith(it.directory)).toEqual([]);
    expect(await lockOwners()).toEqual([]);
  });
});

test("an instance that is armed again but gets no go signal keeps the agent's files, and can be armed once more", async () => {
  lab = openLab();
  const it = await start("echo '{}' >$HOME/../opt/etc/job.json; echo ready; exec sleep 1000");
  killAll(it.cookie);
  await until(async () => (await stateOf(lab, it.directory)) === "dead");
  const again = { ...it, isAgain: true, expirySeconds: 1 };
  expect(await lab.minder.arm(again)).toEqual({ kind: "armed", refusal: null });
  await until(() => !existsSync(`${it.directory}/minder`));
  expect(await stateOf(lab, it.directory)).toBe("dead");
  expect(logOf(it)).toBe("ready\n");
  expect(await lab.minder.arm({ ...again, expirySeconds: 120 })).toEqual({ kind: "armed", refusal: null });
  expect(await lab.minder.stop(it.directory, { cookie: it.cookie, graceMs: 0 })).toEqual({ kind: "stopped" });
  expect(logOf(it)).toBe("ready\n");
});

test("an instance that was armed again before it had a job keeps its directory however it ends", async () => {
  lab = openLab();
  const it = await start("echo ready; exec sleep 1000");
  killAll(it.cookie);
  await until(async () => (await stateOf(lab, it.directory)) === "dead");
  const again = { ...it, isAgain: true };
  expect(await lab.minder.arm(again)).toEqual({ kind: "armed", refusal: null });
  killAll(it.cookie);
  expect(await lab.minder.stop(it.directory, { cookie: it.cookie, graceMs: 0 })).toEqual({ kind: "stopped" });
  expect(logOf(it)).toBe("ready\n");
  expect(await lab.minder.arm(again)).toEqual({ kind: "armed", refusal: null });
  await lab.minder.stop(it.directory, { cookie: it.cookie, graceMs: 0 });
});

test("an instance that was armed again before it had printed or taken anything keeps its directory however it ends", async () => {
  lab = openLab();
  const it = lab.spec({ agent: [lab.agent("touch $HOME/begun; exec sleep 1000")] });
  expect(await lab.minder.arm(it)).toEqual({ kind: "armed", refusal: null });
  await go(it);
  await until(() => existsSync(`${it.directory}/home/begun`));
  killAll(it.cookie);
  await until(async () => (await stateOf(lab, it.directory)) === "dead");
  const again = { ...it, isAgain: true };
  expect(await lab.minder.arm(again)).toEqual({ kind: "armed", refusal: null });
  killAll(it.cookie);
  expect(await lab.minder.stop(it.directory, { cookie: it.cookie, graceMs: 0 })).toEqual({ kind: "stopped" });
  expect(existsSync(`${it.directory}/home/begun`)).toBe(true);
  expect(await lab.minder.arm(again)).toEqual({ kind: "armed", refusal: null });
  await lab.minder.stop(it.directory, { cookie: it.cookie, graceMs: 0 });
});

test("an instance that is done, alive or gone, or that belongs to another factory, is not started again", async () => {
  lab = openLab();
  const it = await start("echo ready; exec sleep 1000");
  const again = async (changes: Partial<ArmSpec> = {}) =>
    await lab.minder.arm({ ...it, isAgain: true, ...changes });
  expect(await again()).toMatchObject({ kind: "failed", reason: "it is not proved dead" });
  killAll(it.cookie);
  await until(async () => (await stateOf(lab, it.directory)) === "dead");
  expect(await again({ cookie: lab.spec({}).cookie })).toMatchObject({
    kind: "taken",
  });
  await Bun.write(`${it.directory}/opt/etc/job-done.json`, "{}");
  expect(await again()).toMatchObject({ kind: "failed", reason: "its job is done" });
  rmSync(it.directory, { recursive: true });
  expect(await again()).toMatchObject({ kind: "taken", reason: expect.stringContaining("is not there") });
  await lab.minder.stop(it.directory, { graceMs: 0 });
});

test("stop(), tidy() and remove() do not touch another instance's directory", async () => {
  lab = openLab();
  const it = await start("echo ready; exec sleep 1000");
  const { cookie } = lab.spec({});
  expect(await lab.minder.stop(it.directory, { cookie, graceMs: 0 })).toEqual({ kind: "stopped" });
  expect(await lab.minder.quiet(it.directory, { cookie, graceMs: 0 })).toEqual({ kind: "stopped" });
  expect(await stateOf(lab, it.directory)).toBe("alive");
  expect(rolesOf(it.cookie).first.length).toBe(1);
  await lab.minder.stop(it.directory, { cookie: it.cookie, graceMs: 0 });
  expect(await lab.minder.tidy(it.directory, cookie)).toEqual({ kind: "tidied", left: null });
  expect(existsSync(`${it.directory}/home`)).toBe(true);
  expect((await lab.minder.remove(it.directory, cookie)).kind).toBe("refused");
  expect(await lab.minder.remove(it.directory, it.cookie)).toEqual({ kind: "tidied", left: null });
  expect(existsSync(it.directory)).toBe(false);
});
