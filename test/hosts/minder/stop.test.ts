import { afterEach, expect, setDefaultTimeout } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import type { GoResult, StopResult } from "../../../lib/hosts/minder/minder-answer.ts";
import { minderScript } from "../../../lib/hosts/minder/script-text.ts";
import {
  describe,
  test,
  isAlive,
  kill,
  killAll,
  type Lab,
  newCookie,
  openHost,
  openLab,
  otherUser,
  processesWith,
  readText,
  rolesOf,
  stateOf,
  until,
} from "./minder-lab.ts";

setDefaultTimeout(60_000);

let lab: Lab;
afterEach(() => lab.close());

/** Arms and starts one whose agent is this shell text, and waits until it has said "ready". */
async function start(
  text: string,
  changes: Parameters<Lab["spec"]>[0] = {},
): Promise<ReturnType<Lab["spec"]>> {
  const spec = lab.spec({ agent: [lab.agent(text)], ...changes });
  expect(await lab.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
  const go = await lab.minder.go({ directory: spec.directory, worker: "W", agentJson: "{}" });
  expect(go).toEqual({ kind: "went" });
  await until(() => readText(`${spec.directory}/agent.log`).includes("ready"));
  return spec;
}

async function lockCount(): Promise<number> {
  const locks = await lab.minder.locks();
  return locks.ok ? locks.locks.length : -1;
}

describe.each([0, otherUser])("stop() as user %i", (user) => {
  test("ends daemons of every kind (F37)", async () => {
    lab = openLab({ user });
    const mark = `MARK=${newCookie()}`;
    const spec = await start(`
      export ${mark}
      setsid nohup sleep 1000 >/dev/null 2>&1 &
      (setsid sh -c 'sleep 1000 & sleep 1000 & exec sleep 1000' &)
      (trap '' TERM HUP INT; (trap '' TERM; sleep 1000; sleep 1000) &)
      env -i ${mark} setsid sh -c 'cd /; exec sleep 1000' &
      sleep 0.05; echo ready; exec sleep 1000`);
    await until(() => processesWith(mark).length >= 7);
    expect(await lab.minder.stop(spec.directory, { graceMs: 5000 })).toEqual({ kind: "stopped" });
    expect(processesWith(mark).filter(({ state }) => state !== "Z")).toEqual([]);
    expect(await lockCount()).toBe(0);
  });

  test("kills an agent that ignores TERM, after the grace and not before (F38)", async () => {
    lab = openLab({ user });
    const spec = await start("trap '' TERM; echo ready; while :; do sleep 1000; done");
    const begun = performance.now();
    expect(await lab.minder.stop(spec.directory, { graceMs: 300 })).toEqual({ kind: "stopped" });
    expect(performance.now() - begun).toBeGreaterThan(290);
  });

  test("lets an agent end by itself, and does not wait longer than it needs", async () => {
    lab = openLab({ user });
    const spec = await start('trap "echo bye; exit 3" TERM; echo ready; while :; do sleep 0.02; done');
    const begun = performance.now();
    expect(await lab.minder.stop(spec.directory, { graceMs: 20_000 })).toEqual({ kind: "stopped" });
    expect(performance.now() - begun).toBeLessThan(20_000);
    expect(readText(`${spec.directory}/agent.log`)).toBe("ready\nbye\n");
    expect(await lab.minder.look([spec.directory])).toMatchObject([{ state: "exited", exit: { code: 3 } }]);
  });

  test("ends an agent that is suspended, and one whose minder was killed before", async () => {
    lab = openLab({ user });
    const stopped = await start("echo ready; kill -STOP $$");
    expect(await lab.minder.stop(stopped.directory, { graceMs: 100 })).toEqual({ kind: "stopped" });

    const orphan = await start("echo ready; exec sleep 1000", { seq: 2 });
    for (const pid of rolesOf(orphan.cookie).minder) kill(pid);
    await until(() => rolesOf(orphan.cookie).minder.length === 0);
    expect(await lab.minder.look([orphan.directory])).toMatchObject([
      { state: "alive", process: "alive", minder: "dead" },
    ]);
    expect(await lab.minder.locks()).toMatchObject({ locks: [{ owner: "alive" }] });
    expect(await lab.minder.stop(orphan.directory, { graceMs: 1000 })).toEqual({ kind: "stopped" });
    expect(await lockCount()).toBe(0);
  });

  test("finds an instance whose directory was removed by its lock", async () => {
    lab = openLab({ user });
    const spec = await start("echo ready; exec sleep 1000");
    // What the agent writes meanwhile is in the way of one pass.
    rmSync(spec.directory, { recursive: true, force: true, maxRetries: 20 });
    expect(await lab.minder.look([spec.directory])).toMatchObject([{ state: "cannot tell" }]);
    const go = await lab.minder.go({ directory: spec.directory, worker: "W", agentJson: "{}" });
    expect(go.kind).toBe("cannot tell");
    expect(await lab.minder.stop(spec.directory, { graceMs: 1000 })).toEqual({ kind: "stopped" });
    expect(await stateOf(lab, spec.directory)).toBe("absent");
  });

  test("frees the testbed after everything was killed at once", async () => {
    lab = openLab({ user });
    const spec = await start("echo ready; exec sleep 1000");
    killAll(spec.cookie);
    await until(async () => (await stateOf(lab, spec.directory)) === "dead");
    expect(await lab.minder.locks()).toMatchObject({ locks: [{ owner: "dead", instance: "board/1" }] });
    expect(await lab.minder.stop(spec.directory, { graceMs: 1000 })).toEqual({ kind: "stopped" });
    expect(await lockCount()).toBe(0);
  });
});

describe("stop()", () => {
  test("never signals a process whose identity does not match (F35)", async () => {
    lab = openLab();
    const spec = await start("echo ready; exec sleep 1000");
    const { directory } = spec;
    killAll(spec.cookie);
    await until(async () => (await stateOf(lab, directory)) === "dead");
    const bystander = Bun.spawn(["sleep", "1000"]);
    const stat = readText(`/proc/${bystander.pid}/stat`);
    const startTime = stat.replace(/^.*\) /, "").split(" ")[19] ?? "";
    const path = `${directory}/minder/identity.json`;
    const identity = readText(path).replace(/"pid":\d+/, `"pid":${bystander.pid}`);

    // Its pid is used again by another process: dead.
    await Bun.write(path, identity);
    expect(await lab.minder.stop(directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
    // The very same start as well: only the cookie differs. Then nothing is proved, and nothing signalled.
    await Bun.write(path, identity.replace(/"start_time":"\d+"/, `"start_time":"${startTime}"`));
    expect((await lab.minder.stop(directory, { graceMs: 0 })).kind).toBe("cannot tell");
    // A lock that names it.
    const lock = `${lab.locks}/board@${spec.cookie}@${bystander.pid}@${startTime}`;
    const space = /"pid_space":"([^"]*)"/.exec(identity)?.[1];
    const boot = /"boot_id":"([^"]*)"/.exec(identity)?.[1];
    await Bun.write(
      lock,
      `${boot} ${space} 0\nboard/1\n${directory}\n.\nfirst ${bystander.pid} ${startTime}\nheld\n`,
    );
    expect((await lab.minder.stop(directory, { graceMs: 0 })).kind).toBe("cannot tell");
    expect((await lab.minder.arm(lab.spec({ seq: 2, agent: [lab.agent("")] }))).kind).toBe("elsewhere");
    expect(isAlive(bystander.pid)).toBe(true);
    expect(bystander.exitCode).toBe(null);
    await Bun.$`rm ${lock}`;
    bystander.kill();
    await bystander.exited;
  });

  test("and go exclude each other: no agent starts after `stopped`", async () => {
    lab = openLab();
    let wentCount = 0;
    const agent = [lab.agent("exec sleep 1000")];
    for (let seq = 1; seq <= 20; seq++) {
      const spec = lab.spec({ seq, agent });
      const { directory } = spec;
      expect(await lab.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
      const stop = (): Promise<StopResult> => lab.minder.stop(directory, { graceMs: 1000 });
      const go = (): Promise<GoResult> => lab.minder.go({ directory, worker: "W", agentJson: "{}" });
      // Either may be the first to be asked, and by any lead.
      const [first, second] = seq % 2 === 0 ? [go, stop] : [stop, go];
      const begun = first();
      await Bun.sleep(seq % 10);
      const results = await Promise.all([begun, second()]);
      expect(results).toContainEqual({ kind: "stopped" });
      const { kind } = results.find((result) => result.kind !== "stopped") ?? { kind: "none" };
      if (kind === "went") wentCount++;
      expect(processesWith(spec.cookie).filter(({ state }) => state !== "Z")).toEqual([]);
      expect(existsSync(directory)).toBe(kind === "went");
    }
    expect(wentCount).toBeGreaterThan(0);
    expect(wentCount).toBeLessThan(20);
  });

  test("keeps the directory if go claims the start just while the claim is read", async () => {
    lab = openLab();
    const spec = lab.spec({ agent: ["/bin/true"] });
    expect(await lab.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
    // The moment between two lines of the script: the first found no claim.
    const line = 'elif [ -e "$1/minder/claim" ]; then';
    const edit = (script: string): string =>
      script.replace(line, `elif printf 'go\\n' >"$1/minder/claim"; then`);
    expect(minderScript).toContain(line);
    const late = openLab({ locks: lab.locks, edit });
    expect(await late.minder.stop(spec.directory, { graceMs: 1000 })).toEqual({ kind: "stopped" });
    expect(existsSync(spec.directory)).toBe(true);
    await late.close();
  });
});

describe("a minder that is killed", () => {
  test("before go takes its instance with it, and the same instance can be armed again", async () => {
    lab = openLab();
    const spec = lab.spec({ agent: [lab.agent("exec sleep 1000")] });
    await lab.minder.arm(spec);
    const { minder, first } = rolesOf(spec.cookie);
    for (const pid of minder) kill(pid);
    await until(() => !first.some(isAlive));
    await until(async () => (await stateOf(lab, spec.directory)) === "absent");
    const go = await lab.minder.go({ directory: spec.directory, worker: "W", agentJson: "{}" });
    expect(go.kind).toBe("expired");
    expect(await lab.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
    expect(await lab.minder.stop(spec.directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
  });

  // Each moment takes up to 3 s on a busy machine: all in one test were too much for one time limit.
  test.each([1, 7, 13, 19])(
    "at any moment of arming (%i ms and more) leaves nothing that stop, or arming again, does not fix",
    async (from) => {
      lab = openLab();
      const agent = [lab.agent('echo started >>"$HOME/starts"; exec sleep 1000')];
      for (let seq = from; seq < from + 6; seq++) {
        const spec = lab.spec({ seq, agent, testbed: "board" });
        const arming = lab.minder.arm(spec);
        await until(() => rolesOf(spec.cookie).minder.length > 0);
        await Bun.sleep(seq % 20);
        for (const pid of rolesOf(spec.cookie).minder) kill(pid);
        await arming;
        if (seq % 2 === 0) {
          expect(await lab.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
          const go = await lab.minder.go({ directory: spec.directory, worker: "W", agentJson: "{}" });
          expect(go).toEqual({ kind: "went" });
          await until(() => readText(`${spec.directory}/home/starts`) === "started\n");
        }
        expect(await lab.minder.stop(spec.directory, { graceMs: 1000 })).toEqual({ kind: "stopped" });
        expect(await lab.minder.locks()).toEqual({ ok: true, locks: [] });
        expect(processesWith(spec.cookie).filter(({ state }) => state !== "Z")).toEqual([]);
      }
    },
  );

  test("while it is being stopped leaves no reminder", async () => {
    lab = openLab();
    const spec = lab.spec({ agent: [lab.agent("exec sleep 1000")] });
    expect(await lab.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
    const record = `${spec.directory}/minder`;
    const minder = Number(readText(`${record}/minder`).split(" ")[2]);
    await until(() => rolesOf(spec.cookie).minder.length > 1);
    // So that stop() waits while the minder that it has seen alive is killed.
    for (const pid of rolesOf(spec.cookie).first) process.kill(pid, "SIGSTOP");
    const stopping = lab.minder.stop(spec.directory, { graceMs: 500 });
    await until(() => existsSync(`${record}/claim`));
    kill(minder);
    expect(await stopping).toEqual({ kind: "stopped" });
    expect(processesWith(spec.cookie).filter(({ state }) => state !== "Z")).toEqual([]);
  });

  test("with all processes right after go leaves a started agent, which is never started again", async () => {
    lab = openLab();
    const agent = [lab.agent('echo started >>"$HOME/starts"; exec sleep 1000')];
    for (let seq = 1; seq <= 20; seq++) {
      const spec = lab.spec({ seq, agent });
      const go = { directory: spec.directory, worker: "W", agentJson: "{}" };
      await lab.minder.arm(spec);
      const going = lab.minder.go(go);
      await Bun.sleep(seq % 12);
      killAll(spec.cookie);
      const { kind } = await going;
      const again = await lab.minder.go(go);
      expect(again.kind).toBe(kind === "went" ? "went" : "expired");
      expect(["", "started\n"]).toContain(readText(`${spec.directory}/home/starts`));
      expect(await lab.minder.stop(spec.directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
      expect(processesWith(spec.cookie).filter(({ state }) => state !== "Z")).toEqual([]);
    }
  });
});

describe("stop() with an operator's word", () => {
  const elsewhere = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];

  test("frees what another pid namespace left behind (F91), and it can be tidied and removed", async () => {
    lab = openLab();
    const spec = await start("echo ready; exec sleep 1000");
    const { directory, cookie } = spec;
    killAll(cookie);
    await until(async () => (await stateOf(lab, directory)) === "dead");
    const { minder } = openLab({ base: lab.base, locks: lab.locks, prefix: elsewhere });
    const unproved = await minder.stop(directory, { cookie, graceMs: 1000 });
    expect(unproved).toMatchObject({ kind: "cannot tell" });
    expect(await minder.tidy(directory, cookie)).toMatchObject({ kind: "refused" });
    expect(await lockCount()).toBe(1);
    expect(await minder.stop(directory, { cookie, graceMs: 1000, isVouched: true })).toEqual({
      kind: "stopped",
    });
    expect(await lockCount()).toBe(0);
    expect(await minder.tidy(directory, cookie)).toEqual({ kind: "tidied", left: null });
    expect(existsSync(`${directory}/opt/etc/agent.json`)).toBe(false);
    expect(await minder.remove(directory, cookie)).toEqual({ kind: "tidied", left: null });
  });

  test("ends processes in another pid namespace that it finds by their cookie", async () => {
    lab = openLab();
    const host = await openHost(lab);
    const spec = host.inner.spec({ agent: [host.inner.agent("echo ready; exec sleep 1000")] });
    expect((await host.inner.minder.arm(spec)).kind).toBe("armed");
    await host.inner.minder.go({ directory: spec.directory, worker: "W", agentJson: "{}" });
    await until(() => readText(`${spec.directory}/agent.log`).includes("ready"));
    const { minder } = openLab({ base: host.inner.base, locks: host.inner.locks });
    const words = { cookie: spec.cookie, graceMs: 1000 };
    expect(await minder.stop(spec.directory, words)).toMatchObject({ kind: "cannot tell" });
    expect(processesWith(spec.cookie)).not.toEqual([]);
    expect(await minder.stop(spec.directory, { ...words, isVouched: true })).toEqual({ kind: "stopped" });
    expect(processesWith(spec.cookie).filter(({ state }) => state !== "Z")).toEqual([]);
    await host.end();
  });

  test("does not count for another instance that has the directory by now", async () => {
    lab = openLab();
    const spec = await start("echo ready; exec sleep 1000");
    const words = { cookie: newCookie(), graceMs: 0, isVouched: true };
    expect(await lab.minder.stop(spec.directory, words)).toEqual({ kind: "stopped" });
    expect(await stateOf(lab, spec.directory)).toBe("alive");
    await lab.minder.stop(spec.directory, { graceMs: 1000 });
  });
});
