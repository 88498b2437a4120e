import { afterEach, expect, setDefaultTimeout } from "bun:test";
import { chownSync, existsSync, readdirSync, statSync } from "node:fs";
import { openElevated } from "../../../lib/hosts/minder/elevation.ts";
import { openMinder } from "../../../lib/hosts/minder/minder.ts";
import {
  describe,
  type Lab,
  openHost,
  openLab,
  otherUser,
  processesWith,
  random,
  readText,
  stateOf,
  test,
  until,
} from "./minder-lab.ts";
import { testWith } from "../../lab/needs.ts";

setDefaultTimeout(60_000);
let lab: Lab;
afterEach(() => lab.close());

/** What the message asks people to add; Debian has the rest. */
const sudoers = `Defaults use_pty, env_reset, secure_path="/usr/sbin:/usr/bin:/sbin:/bin"\nroot ALL=(ALL:ALL) ALL\nlab ALL=(root) NOPASSWD: /bin/sh`;

/** As the real agent does: a socket under the name that all have, and its control program where jobs look for it. */
const agentText = `
  id -u; env | grep BUILDOMAT_NONROOT; sudo -n id -u
  test -e /var/run/buildomat.sock && echo another has been here
  echo "$HOME" >/var/run/buildomat.sock; echo "$HOME" >/work/x
  bmat; ls /run | wc -l; id -nu
  (env -i setsid sleep 1000 &)
  echo '{}' >"$BUILDOMAT_OPT/etc/job-done.json"; mkdir "$HOME/private"
  echo ready; exec sleep 1000`;

describe("elevated by sudo", () => {
  const test = testWith("root", "namespaces", "sudo");

  test("two agents are root at once, each with its own socket, bmat and /work, and the host has none of it", async () => {
    lab = openLab();
    const { inner, end } = await openHost(lab, { user: otherUser, isElevated: true, sudoers });
    const { minder } = inner;
    expect(await minder.probe()).toMatchObject({ uid: 0, isolation: { kind: "possible" }, unusable: null });
    const before = readdirSync("/run");
    const specs = [1, 2].map((seq) =>
      inner.spec({
        testbed: `t${seq}`,
        agent: [inner.agent(agentText)],
        bmat: ["/bin/echo", "bmat", `${seq}`],
      }),
    );
    for (const [index, spec] of specs.entries()) {
      expect(await minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
      await minder.go({ directory: spec.directory, worker: "W", agentJson: "{}" });
      await until(() => readText(`${spec.directory}/agent.log`).endsWith("ready\n"));
      expect(readText(`${spec.directory}/agent.log`)).toBe(
        `0\n0\nbmat ${index + 1}\n${before.filter((name) => name !== "buildomat.sock").length + 1}\nroot\nready\n`,
      );
      expect(readText(`${spec.directory}/work/x`)).toBe(`${spec.directory}/home\n`);
    }
    expect(readdirSync("/run")).toEqual(before);
    for (const { directory } of specs) {
      expect((await minder.stop(directory, { graceMs: 1000 })).kind).toBe("stopped");
      expect(await stateOf(inner, directory)).toBe("done");
      expect(processesWith(directory)).toEqual([]);
      expect(await minder.tidy(directory)).toEqual({ kind: "tidied", left: null });
    }
    expect(await minder.locks()).toEqual({ ok: true, locks: [] });
    await end();
  });

  test("the remaining files belong to the factory's user, who can read the log and remove everything", async () => {
    lab = openLab();
    const { inner, end } = await openHost(lab, { user: otherUser, isElevated: true, sudoers });
    const spec = inner.spec({ agent: [inner.agent(agentText)] });
    const { directory } = spec;
    await inner.minder.arm(spec);
    const watched = [directory, `${directory}/minder`, `${directory}/opt/etc`, `${directory}/agent.log`];
    for (const path of watched) expect([path, statSync(path).uid]).toEqual([path, otherUser]);
    await inner.minder.go({ directory, worker: "W", agentJson: "{}" });
    await until(() => readText(`${directory}/agent.log`).endsWith("ready\n"));
    await inner.minder.stop(directory, { graceMs: 0 });
    expect(await inner.minder.tidy(directory)).toEqual({ kind: "tidied", left: null });
    const asUser = ["setpriv", `--reuid=${otherUser}`, "--clear-groups", "--"];
    expect(Bun.spawnSync([...asUser, "tail", "-n1", `${directory}/agent.log`]).stdout.toString()).toBe(
      "ready\n",
    );
    expect(Bun.spawnSync([...asUser, "rm", "-rf", directory]).stderr.toString()).toBe("");
    expect(existsSync(directory)).toBe(false);
    await end();
  });

  test("is refused with the line to add, and leaves nothing", async () => {
    lab = openLab();
    const { inner, end } = await openHost(lab, { user: otherUser, isElevated: true });
    const reason = expect.stringMatching(
      /^sudo does not let lab run \/bin\/sh as root \(sudo: a password is required\), .* add the line "lab ALL=\(root\) NOPASSWD: \/bin\/sh" with visudo/,
    );
    expect(await inner.minder.probe()).toEqual({ ok: false, reason });
    expect(await inner.minder.arm(inner.spec({ agent: ["/bin/true"] }))).toEqual({
      kind: "cannot tell",
      reason,
    });
    expect(readdirSync(inner.work)).toEqual([]);
    await end();
  });

  test("refuses a work directory of a third user", async () => {
    lab = openLab();
    const { inner, end } = await openHost(lab, { user: otherUser, isElevated: true, sudoers });
    chownSync(inner.work, otherUser + 1, otherUser);
    expect(await inner.minder.probe()).toMatchObject({
      unusable: expect.stringMatching(/belongs to user 12346, not to 12345$/),
    });
    await end();
  });
});

describe("elevated by pfexec", () => {
  test("puts pfexec before the command, and names the missing profile if it is refused", async () => {
    lab = openLab();
    const ran: string[][] = [];
    const transport = openElevated({
      transport: (argv) => {
        ran.push(argv);
        return Promise.resolve({ ok: true, exitCode: 1, stdout: "", stderr: "pfexec: no" });
      },
      platform: "sunos",
      user: "lab",
    });
    expect(await transport(["/bin/sh", "-c", "x"], "", 1000)).toEqual({
      ok: false,
      reason: expect.stringMatching(
        /^pfexec does not let lab run \/bin\/sh as root \(pfexec: no\), .* give lab a profile/,
      ),
    });
    expect(ran).toEqual([["pfexec", "/bin/sh", "-c", "x"]]);
  });

  test("that gives no privileges is noticed before a job is taken", async () => {
    lab = openLab({ user: otherUser });
    const { transport, work, locks } = lab;
    const elevation = { uid: otherUser };
    const minder = openMinder({ transport, random, directory: work, lockDirectory: locks, elevation });
    const why = expect.stringMatching(
      /^elevated agents run as root, and the minder is user 12345; give this user a profile/,
    );
    expect(await minder.probe()).toMatchObject({ ok: true, unusable: why });
    expect(await minder.arm(lab.spec({ agent: ["/bin/true"] }))).toEqual({ kind: "failed", reason: why });
  });
});
