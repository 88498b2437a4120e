import { afterEach, expect, setDefaultTimeout } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import type { ArmSpec } from "../../../lib/hosts/minder/specification.ts";
import {
  describe,
  type Host,
  killAll,
  type Lab,
  openHost,
  openLab,
  otherUser,
  processesWith,
  readText,
  rolesOf,
  test,
  until,
} from "./minder-lab.ts";

setDefaultTimeout(60_000);
let lab: Lab;
afterEach(() => lab.close());

/** What really refuses namespaces: words before each command, once `prepare` has run as root on that host. */
interface Refusal {
  user: number;
  prefix: string[];
  prepare: string;
  reason: RegExp;
}

const refusals: [string, Refusal][] = [
  [
    "to root without the power, as in a container",
    {
      user: 0,
      prefix: ["setpriv", "--bounding-set=-sys_admin", "--"],
      prepare: ":",
      reason: /unshare failed: Operation not permitted/,
    },
  ],
  [
    "to a user behind chroot",
    {
      user: otherUser,
      prefix: ["chroot", "/work/root"],
      prepare: "mkdir /work/root && mount --rbind / /work/root",
      reason: /unshare failed: Operation not permitted/,
    },
  ],
  [
    "in part: /proc is masked, as in a container, and cannot be mounted again",
    {
      user: otherUser,
      prefix: [],
      prepare: "mount --bind /dev/null /proc/version",
      reason: /^mount: /,
    },
  ],
];

/** A host with /work and /input that refuses namespaces. */
async function openRefusing({ user, prefix, prepare }: Refusal): Promise<Host> {
  lab = openLab();
  const host = await openHost(lab, { user, prefix });
  const prepared = Bun.spawnSync([...host.prefix, "sh", "-c", prepare]);
  expect(prepared.stderr.toString()).toBe("");
  return host;
}

async function run({ minder }: Lab, { directory }: ArmSpec): Promise<void> {
  expect(await minder.go({ directory, worker: "W", agentJson: "{}" })).toEqual({ kind: "went" });
  await until(() => readText(`${directory}/agent.log`).endsWith("ready\n"));
}

describe("probe()", () => {
  test.each([0, otherUser])("as user %i reports what the host offers, and leaves nothing", async (user) => {
    lab = openLab({ user });
    const mounts = readText("/proc/self/mountinfo");
    const agents = ["/bin/sh", "/nonexistent/agent", "/etc/passwd", "sh"];
    expect(await lab.minder.probe(agents)).toEqual({
      ok: true,
      uid: user,
      isolation: { kind: "possible" },
      unshared: existsSync("/input") ? null : expect.stringContaining("mkdir -m 1777 /work /input"),
      unusable: null,
      freeBytes: expect.any(Number),
      agentFaults: [
        null,
        "the agent /nonexistent/agent is not there; install it or correct general.agent",
        "the agent /etc/passwd is not executable; chmod +x it",
        "the agent's path sh is not absolute",
      ],
    });
    expect(readdirSync(lab.work).filter((name) => !name.startsWith(".minder-"))).toEqual([]);
    expect(readText("/proc/self/mountinfo")).toBe(mounts);
  });

  test("reports what would make every job fail", async () => {
    lab = openLab();
    mkdirSync(lab.work);
    chmodSync(lab.work, 0o770);
    expect(await lab.minder.probe()).toMatchObject({
      unusable: expect.stringMatching(/can be written by others; chmod go-w it$/),
    });
  });
});

describe.each(refusals)("namespaces that are refused %s", (_, refusal) => {
  test("are reported by probe(), and arm() runs one instance at a time without them", async () => {
    const { inner, end } = await openRefusing(refusal);
    const { minder } = inner;
    expect(await minder.probe()).toMatchObject({
      isolation: { kind: "refused", reason: expect.stringMatching(refusal.reason) },
      unshared: null,
      unusable: null,
    });

    const agent = [inner.agent("echo x >/work/x; echo ready; exec sleep 1000")];
    const spec = inner.spec({ agent, bmat: ["/bin/true"] });
    const armed = await minder.arm(spec);
    expect(armed).toEqual({ kind: "armed", refusal: expect.stringMatching(refusal.reason) });
    // A second request gets the same answer.
    expect(await minder.arm(spec)).toEqual(armed);
    const second = inner.spec({ testbed: "other", agent });
    expect(await minder.arm(second)).toEqual({
      kind: "elsewhere",
      owner: expect.stringMatching(
        /^board\/1 in .*without isolation: a host runs only one such instance at a time$/,
      ),
      isHost: true,
    });
    await run(inner, spec);
    expect(readText(`${lab.work}/host_1/work/x`)).toBe("x\n");
    expect(await minder.look([spec.directory])).toMatchObject([{ state: "alive", minder: "alive" }]);
    expect(await minder.stop(spec.directory, { graceMs: 1000 })).toEqual({ kind: "stopped" });
    expect(await minder.locks()).toEqual({ ok: true, locks: [] });
    expect(existsSync(second.directory)).toBe(false);

    expect(await minder.arm(second)).toMatchObject({ kind: "armed" });
    expect(await minder.stop(second.directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
    await end();
  });

  test("leave no daemon of a job, even if it removed every trace of itself", async () => {
    const { inner, end } = await openRefusing(refusal);
    const mark = `MARK=${inner.spec({}).cookie}`;
    const spec = inner.spec({
      agent: [
        inner.agent(`
          ${mark} nohup sleep 1000 >/dev/null 2>&1 &
          env -i ${mark} setsid sleep 1000 &
          (cd /; exec </dev/null >/dev/null 2>&1; (env -i ${mark} setsid sh -c 'sleep 1000 & sleep 1000' &) &)
          sleep 0.05; echo ready; exec sleep 1000`),
      ],
    });
    expect(await inner.minder.arm(spec)).toMatchObject({ kind: "armed" });
    await run(inner, spec);
    await until(() => processesWith(mark).length === 5);
    expect(await inner.minder.stop(spec.directory, { graceMs: 1000 })).toEqual({ kind: "stopped" });
    expect(processesWith(mark).filter(({ state }) => state !== "Z")).toEqual([]);
    await end();
  });
});

test("an isolated instance and one without isolation run side by side, and end independently", async () => {
  const refusal = refusals[0]?.[1];
  if (refusal === undefined) throw new Error("no way to refuse namespaces");
  const { inner, prefix, end } = await openRefusing(refusal);
  const free = openLab({ prefix, base: inner.base, locks: inner.locks });
  const agent = [inner.agent("test ! -e /work/x; echo $?; echo x >/work/x; echo ready; exec sleep 1000")];
  const bound = inner.spec({ agent });
  const apart = inner.spec({ testbed: "other", agent });
  expect(await inner.minder.arm(bound)).toMatchObject({ refusal: expect.any(String) });
  await run(inner, bound);
  expect(await free.minder.arm(apart)).toEqual({ kind: "armed", refusal: null });
  await run(free, apart);
  for (const { directory } of [bound, apart]) expect(readText(`${directory}/agent.log`)).toBe("0\nready\n");
  expect(await free.minder.stop(apart.directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
  expect(await inner.minder.look([bound.directory])).toMatchObject([{ state: "alive" }]);
  const again = inner.spec({ testbed: "other", seq: 2, agent });
  expect(await free.minder.arm(again)).toEqual({ kind: "armed", refusal: null });
  expect(await inner.minder.stop(bound.directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
  expect(await free.minder.look([again.directory])).toMatchObject([{ state: "armed", process: "alive" }]);
  expect(await free.minder.stop(again.directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
  await end();
});

test("an agent that outlives its minder keeps the testbed from an isolated instance", async () => {
  const refusal = refusals[0]?.[1];
  if (refusal === undefined) throw new Error("no way to refuse namespaces");
  const { inner, prefix, end } = await openRefusing(refusal);
  const free = openLab({ prefix, base: inner.base, locks: inner.locks });
  const spec = inner.spec({ agent: [inner.agent("echo ready; while :; do sleep 1000; done")] });
  await inner.minder.arm(spec);
  await run(inner, spec);
  killAll(spec.cookie);
  await until(() => rolesOf(spec.cookie).first.length === 0);
  const next = free.spec({ seq: 2, agent: ["/bin/true"] });
  expect(await free.minder.arm(next)).toMatchObject({
    kind: "elsewhere",
    owner: expect.stringContaining("board/1"),
  });
  expect(await inner.minder.stop(spec.directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
  expect(await free.minder.arm(next)).toEqual({ kind: "armed", refusal: null });
  expect(await free.minder.stop(next.directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
  await end();
});

test("a host that refuses namespaces and has no /work is reported with both reasons (F45)", async () => {
  const refusal = refusals[1]?.[1];
  if (refusal === undefined) throw new Error("no way to refuse namespaces");
  const { inner, end } = await openRefusing({
    ...refusal,
    prepare: `${refusal.prepare} && chmod 755 /work /input`,
  });
  expect(await inner.minder.arm(inner.spec({ agent: ["/bin/true"] }))).toEqual({
    kind: "failed",
    reason: expect.stringMatching(
      /^cannot isolate an instance: unshare: unshare failed: .*; allow that, or: without isolation jobs use this host's \/work, .* user 12345 can write; mkdir -m 1777 \/work \/input$/,
    ),
  });
  expect(readdirSync(inner.work).filter((name) => !name.startsWith("."))).toEqual([]);
  expect(await inner.minder.locks()).toEqual({ ok: true, locks: [] });
  await end();
});

test("an isolated job runs as its own user, and can use the devices of that user's groups", async () => {
  const group = 54_321;
  lab = openLab({ user: otherUser, group });
  // As a USB or serial device is: a node that only a group may open. This one is another /dev/null.
  Bun.spawnSync(["mknod", "--mode=660", `${lab.base}/device`, "c", "1", "3"]);
  Bun.spawnSync(["chown", `0:${group}`, `${lab.base}/device`]);
  Bun.spawnSync(["mknod", "--mode=600", `${lab.base}/foreign`, "c", "1", "3"]);
  const agent = lab.agent(`
    id -u; id -g; echo x >'${lab.base}/device' && echo reached
    (echo x >'${lab.base}/foreign') 2>/dev/null || echo refused
    [ "$(stat -c %d:%i /dev)" = "${statSync("/dev").dev}:${statSync("/dev").ino}" ] && echo same
    echo ready; exec sleep 1000`);
  const spec = lab.spec({ agent: [agent], kept: [`${lab.base}/device`, `${lab.base}/foreign`] });
  expect(await lab.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
  await run(lab, spec);
  expect(readText(`${spec.directory}/agent.log`).split("\n")).toEqual([
    "12345",
    "12345",
    "reached",
    "refused",
    "same",
    "ready",
    "",
  ]);
  expect(await lab.minder.stop(spec.directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
});
