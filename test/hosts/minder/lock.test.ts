import { afterEach, expect, setDefaultTimeout } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import type { ArmSpec } from "../../../lib/hosts/minder/specification.ts";
import type { ArmResult } from "../../../lib/hosts/minder/minder-answer.ts";
import {
  describe,
  test,
  isAlive,
  kill,
  killAll,
  type Lab,
  openLab,
  otherUser,
  readText,
  rolesOf,
  until,
} from "./minder-lab.ts";

setDefaultTimeout(60_000);
/** Three factories with bases of their own that meet in one lock directory; the last is another user's. */
let labs: Lab[] = [];
afterEach(async () => {
  for (const lab of labs.toReversed()) await lab.close();
  labs = [];
});

function openLabs(users: number[]): Lab[] {
  const first = openLab({ user: 0 });
  chmodSync(first.base, 0o755);
  labs = [first, ...users.slice(1).map((user) => openLab({ user, locks: first.locks }))];
  if (users[0] !== 0) labs = [first, openLab({ user: users[0] ?? 0, locks: first.locks }), ...labs.slice(1)];
  return users[0] === 0 ? labs : labs.slice(1);
}

function specOf(lab: Lab, seq = 1): ArmSpec {
  return lab.spec({ seq, agent: [lab.agent("exec sleep 1000", "agent")] });
}

describe("the testbed lock", () => {
  test.each([
    [0, 0],
    [0, otherUser],
    [otherUser, 0],
    [otherUser, otherUser + 1],
  ])("keeps out another factory, user %i before user %i, until the first is done (F31)", async (a, b) => {
    const [one, two] = openLabs([a, b]);
    if (one === undefined || two === undefined) throw new Error("no labs");
    const [first, second] = [specOf(one), specOf(two)];
    expect(await one.minder.arm(first)).toEqual({ kind: "armed", refusal: null });
    const refused = await two.minder.arm(second);
    expect(refused).toMatchObject({ kind: "elsewhere", owner: expect.stringContaining(first.directory) });
    expect(readdirSync(two.work).filter((name) => !name.startsWith("."))).toEqual([]);
    expect(await two.minder.locks()).toMatchObject({
      ok: true,
      locks: [{ testbed: "board", owner: "alive", uid: a, directory: first.directory }],
    });
    await one.minder.go({ directory: first.directory, worker: "W", agentJson: "{}" });
    expect((await two.minder.arm(second)).kind).toBe("elsewhere");
    await one.minder.stop(first.directory, { graceMs: 1000 });
    expect(await two.minder.arm(second)).toEqual({ kind: "armed", refusal: null });
    expect((await one.minder.arm(specOf(one, 2))).kind).toBe("elsewhere");
    await two.minder.stop(second.directory, { graceMs: 1000 });
  });

  test.each([
    [0, 0],
    [0, otherUser],
    [otherUser, 0],
    [otherUser, otherUser + 1],
  ])("of user %i is not an obstacle to user %i once minder and agent are proved dead", async (a, b) => {
    const [one, two] = openLabs([a, b]);
    if (one === undefined || two === undefined) throw new Error("no labs");
    const [first, second] = [specOf(one), specOf(two)];
    await one.minder.arm(first);
    await one.minder.go({ directory: first.directory, worker: "W", agentJson: "{}" });
    // The minder alone: the agent lives, and so does the lock.
    for (const pid of rolesOf(first.cookie).minder) kill(pid);
    expect((await two.minder.arm(second)).kind).toBe("elsewhere");
    killAll(first.cookie);
    await until(() => rolesOf(first.cookie).first.every((pid) => !isAlive(pid)));
    expect(await two.minder.arm(second)).toEqual({ kind: "armed", refusal: null });
    expect((await one.minder.arm(specOf(one, 2))).kind).toBe("elsewhere");
    // The owner of the stale one clears it, and not the other's.
    expect((await one.minder.stop(first.directory, { graceMs: 0 })).kind).toBe("stopped");
    expect(await two.minder.locks()).toMatchObject({ locks: [{ owner: "alive", uid: b }] });
    await two.minder.stop(second.directory, { graceMs: 1000 });
  });

  test("keeps out another factory even if the shell has no room for its here-documents", async () => {
    const place = mkdtempSync(`${tmpdir()}/minder-full-`);
    const fill =
      'mount -t tmpfs -o size=4k none "$TMPDIR" || exit; ! head -c 99999 /dev/zero >"$TMPDIR/fill" 2>/dev/null || exit';
    // As bash before 5.1.
    const old = ["env", "BASH_COMPAT=50", `TMPDIR=${place}`];
    const prefix = ["unshare", "--mount", ...old, "sh", "-c", `${fill}; exec "$@"`, "sh"];
    const one = openLab({ shell: "/bin/bash", prefix });
    const two = openLab({ shell: "/bin/bash", prefix, locks: one.locks });
    labs = [one, two];
    const [first, second] = [specOf(one), specOf(two)];
    expect((await one.minder.arm(first)).kind).toBe("armed");
    expect((await two.minder.arm(second)).kind).toBe("elsewhere");
    expect(await two.minder.locks()).toMatchObject({ locks: [{ owner: "alive" }] });
    expect(await one.minder.stop(first.directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
    rmSync(place, { recursive: true });
  });

  test.each([0, 1, 2])(
    "goes to exactly one of three that find it stale at once, as factory %i left it",
    async (owner) => {
      const all = openLabs([0, 0, otherUser]);
      const left = all[owner] as Lab;
      for (let round = 1; round <= 4; round++) {
        const stale = specOf(left, 1000 + round);
        await left.minder.arm(stale);
        killAll(stale.cookie);
        await until(() => rolesOf(stale.cookie).first.every((pid) => !isAlive(pid)));
        const specs = all.map((lab) => specOf(lab, round));
        const results = await Promise.all(all.map((lab, index) => lab.minder.arm(specs[index] as ArmSpec)));
        const count = (kind: ArmResult["kind"]): number =>
          results.filter((result) => result.kind === kind).length;
        expect([count("armed"), count("elsewhere")]).toEqual([1, 2]);
        for (const [index, lab] of all.entries()) {
          expect(await lab.minder.stop((specs[index] as ArmSpec).directory, { graceMs: 0 })).toEqual({
            kind: "stopped",
          });
        }
        await left.minder.stop(stale.directory, { graceMs: 0 });
      }
    },
  );

  test("is stale if it is from an earlier boot, or half written by a dead minder", async () => {
    const [lab] = openLabs([0]);
    if (lab === undefined) throw new Error("no lab");
    const dead = Bun.spawnSync(["true"]).pid;
    writeFileSync(
      `${lab.locks}/board@aaaaaaaaaaaaaaaa@1@1`,
      "other-boot [1] 0\nx/1\n/x\n.\nfirst 1 1\nheld\n",
    );
    writeFileSync(`${lab.locks}/board@bbbbbbbbbbbbbbbb@${dead}@1`, "");
    writeFileSync(`${lab.locks}/board@cccccccccccccccc@${dead}@1`, "half a li");
    expect(await lab.minder.locks()).toMatchObject({
      locks: [{ owner: "dead" }, { owner: "dead" }, { owner: "dead" }],
    });
    const spec = specOf(lab);
    expect(await lab.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
    expect(readdirSync(lab.locks).length).toBe(1);
    await lab.minder.stop(spec.directory, { graceMs: 0 });
  });

  test("is respected if nothing proves it stale", async () => {
    const [lab] = openLabs([0]);
    if (lab === undefined) throw new Error("no lab");
    const boot = readText("/proc/sys/kernel/random/boot_id").trim();
    const lock = `${lab.locks}/board@aaaaaaaaaaaaaaaa@1@1`;
    // Pids of another container are not ours to look up.
    writeFileSync(lock, `${boot} [1] 0\nx/1\n/x\n.\nheld\n`);
    expect((await lab.minder.arm(specOf(lab))).kind).toBe("elsewhere");
    expect(await lab.minder.locks()).toMatchObject({ locks: [{ owner: "cannot tell", instance: "x/1" }] });
    rmSync(lock);
    // One that is only arming: its pids say nothing here, so there is nothing to wait for.
    writeFileSync(`${lab.locks}/board@${"f".repeat(32)}@1@1`, `${boot} [1] 0\nx/1\n/x\n.\n`);
    expect(await lab.minder.arm(specOf(lab))).toMatchObject({
      kind: "elsewhere",
      owner: expect.stringContaining("x/1"),
    });
    rmSync(`${lab.locks}/board@${"f".repeat(32)}@1@1`);
  });

  test("that its owner has not written yet is its owner's, who lives", async () => {
    const [lab] = openLabs([0]);
    if (lab === undefined) throw new Error("no lab");
    const cookie = "f".repeat(32);
    await using owner = Bun.spawn(["sh", "-c", "read line", cookie], { stdin: "pipe" });
    const start = readText(`/proc/${owner.pid}/stat`).split(") ")[1]?.split(" ")[19];
    const lock = `${lab.locks}/board@${cookie}@${owner.pid}@${start}`;
    writeFileSync(lock, "");
    await until(() => readText(`/proc/${owner.pid}/cmdline`).includes(cookie));
    expect(await lab.minder.locks()).toMatchObject({ locks: [{ owner: "alive", cookie }] });
    expect((await lab.minder.arm(specOf(lab))).kind).toBe("elsewhere");
    rmSync(lock);
  });

  test("whose owner cannot be told keeps an instance from counting as gone with its directory", async () => {
    const [lab] = openLabs([0]);
    if (lab === undefined) throw new Error("no lab");
    const boot = readText("/proc/sys/kernel/random/boot_id").trim();
    const { directory, cookie } = specOf(lab);
    const lock = `${lab.locks}/board@${cookie}@1@1`;
    writeFileSync(lock, `${boot} [1] 0\nboard/1\n${directory}\n.\nheld\n`);
    expect(await lab.minder.look([directory])).toMatchObject([{ state: "cannot tell" }]);
    const went = await lab.minder.go({ directory, worker: "W", agentJson: "{}" });
    expect(went.kind).toBe("cannot tell");
    expect((await lab.minder.stop(directory, { cookie, graceMs: 0 })).kind).toBe("cannot tell");
    rmSync(lock);
  });

  test("of an attempt to arm that was killed before it could write goes with its instance", async () => {
    const [lab] = openLabs([0]);
    if (lab === undefined) throw new Error("no lab");
    const spec = specOf(lab);
    await lab.minder.arm(spec);
    writeFileSync(`${lab.locks}/board@${spec.cookie}@${Bun.spawnSync(["true"]).pid}@1`, "");
    expect(await lab.minder.stop(spec.directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
    expect(readdirSync(lab.locks)).toEqual([]);
  });

  test("holds only its own testbed, even if another's name contains its name", async () => {
    const [lab] = openLabs([0]);
    if (lab === undefined) throw new Error("no lab");
    const names = ["a", "a.b", "a*", "*", ".a", "a@b", "a/../b", "ä\u0081 x", "-n", "%61"];
    const agent = [lab.agent("exec sleep 1000")];
    const specs = names.map((testbed, index) =>
      lab.spec({ testbed, seq: index, agent, directory: `${lab.work}/t_${index}` }),
    );
    for (const spec of specs) expect(await lab.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
    const locks = await lab.minder.locks();
    expect(locks.ok ? locks.locks.map(({ testbed }) => testbed).toSorted() : []).toEqual(names.toSorted());
    for (const { directory } of specs) await lab.minder.stop(directory, { graceMs: 0 });
  });
});

describe("arm() refuses", () => {
  test("a lock directory that is a link, belongs to another user, is not sticky or cannot be listed (F67)", async () => {
    const [lab] = openLabs([0]);
    if (lab === undefined) throw new Error("no lab");
    const place = mkdtempSync(`${tmpdir()}/minder-locks-`);
    const arm = async (locks: string): Promise<string> => {
      const other = openLab({ base: lab.base, locks });
      const result = await other.minder.arm(specOf(other));
      return result.kind === "failed" ? result.reason : result.kind;
    };
    mkdirSync(`${place}/real`);
    symlinkSync(`${place}/real`, `${place}/link`);
    expect(await arm(`${place}/link`)).toMatch(/symbolic link/);
    mkdirSync(`${place}/unlisted`);
    chmodSync(`${place}/unlisted`, 0o1733);
    const blind = openLab({ user: otherUser, locks: `${place}/unlisted` });
    labs.push(blind);
    chmodSync(place, 0o755);
    expect(await blind.minder.arm(specOf(blind))).toMatchObject({
      kind: "failed",
      reason: expect.stringMatching(/cannot be listed; chmod 1777/),
    });
    mkdirSync(`${place}/another`);
    Bun.spawnSync(["chown", String(otherUser), `${place}/another`]);
    expect(await arm(`${place}/another`)).toMatch(/belongs to user 12345/);
    const loose = openLab({ base: lab.base, locks: `${place}/real` });
    chmodSync(`${place}/real`, 0o777);
    expect(await loose.minder.arm(specOf(loose))).toMatchObject({
      reason: expect.stringContaining("not sticky"),
    });
    expect(await lab.minder.look([specOf(lab).directory])).toMatchObject([{ state: "absent" }]);
    rmSync(place, { recursive: true });
  });
});
