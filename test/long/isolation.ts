/** The factory as a process, on hosts that isolate its jobs, that refuse to, and that make its agents root. */
import { expect, setDefaultTimeout } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type FactoryProcess, type Lab, openLab } from "../lab/lab.ts";
import {
  describe,
  type Host,
  openHost,
  openLab as openMinderLab,
  otherUser,
  test,
} from "../hosts/minder/minder-lab.ts";
import { until } from "../lab/until.ts";

setDefaultTimeout(60_000);

const testbeds = { "bed-1": [], "bed-2": [] };

async function drained(factory: FactoryProcess): Promise<void> {
  factory.kill("SIGUSR1");
  expect(await factory.exited).toBe(0);
}

/** A host of its own, beside the lab's; gone with the test, however that ends. */
async function openOther(sudoers = ""): Promise<Host & AsyncDisposable> {
  const outer = openMinderLab();
  const host = await openHost(outer, { sudoers });
  return {
    ...host,
    [Symbol.asyncDispose]: async () => {
      await host.end();
      await outer.close();
    },
  };
}

/** Writes to /work/x, and reads it again when all such jobs have written. */
function writer({ directory }: Lab, word: string): string {
  return `id -u; echo ${word} >/work/x; echo written; until [ -e '${directory}/end' ]; do sleep 0.05; done; cat /work/x`;
}

async function runBoth(lab: Lab): Promise<string[][]> {
  const ids = [await lab.submit(writer(lab, "one")), await lab.submit(writer(lab, "two"))];
  for (const id of ids) {
    await until("both have written", async () => (await lab.said(id, "stdout")).includes("written"));
  }
  writeFileSync(join(lab.directory, "end"), "");
  for (const id of ids) expect((await lab.ended(id)).state).toBe("completed");
  return await Promise.all(ids.map((id) => lab.said(id, "stdout")));
}

describe("two jobs at once that both write /work/x", () => {
  test.concurrent.each([
    ["as root", undefined, "builtin"],
    ["as another user", otherUser, "builtin"],
    ["as another user, with an external agent", otherUser, "stub"],
  ])("%s each read back their own", async (_, uid, agent) => {
    await using lab = await openLab({ testbeds, agent, ...(uid === undefined ? {} : { uid }) });
    const factory = lab.start();
    const user = String(uid ?? 0);
    expect(await runBoth(lab)).toEqual([
      [user, "written", "one"],
      [user, "written", "two"],
    ]);
    await drained(factory);
  });

  test.concurrent("elevated: each as root, where sudo works, and what is left is the factory's user's", async () => {
    await using host = await openOther("root ALL=(ALL:ALL) ALL\nlab ALL=(root) NOPASSWD: /bin/sh");
    await using lab = await openLab({
      testbeds,
      uid: otherUser,
      agent: "builtin",
      general: ["use_privilege_elevation = true"],
      env: { USER: "lab" },
    });
    const factory = lab.start({ prefix: host.signalled });
    expect(await runBoth(lab)).toEqual([
      ["0", "written", "one"],
      ["0", "written", "two"],
    ]);
    const mark = join(lab.directory, "daemon");
    const id = await lab.submit(
      `(env -i setsid sh -c 'sleep 1000; : ${mark}' >/dev/null 2>&1 &); sudo -n id -u; mkdir -m 700 "$HOME/root"
       setpriv --reuid=4321 --clear-groups env -i bmat factory name`,
    );
    expect((await lab.ended(id)).state).toBe("completed");
    // The second by a user who may not enter the instance directory, and without an environment.
    expect(await lab.said(id, "stdout")).toEqual(["0", "lab"]);
    await drained(factory);
    expect(lab.processes(mark)).toEqual([]);
    const others = await Bun.$`find ${lab.base}/work -type d ! -uid ${otherUser}`.text();
    expect(others).toBe("");
  });
});

test.concurrent("a host that refuses namespaces runs one job at a time, says so once, and its jobs leave no daemon", async () => {
  await using host = await openOther();
  // Behind chroot the kernel gives no user a namespace of users.
  const chrooted = 'mkdir /work/root && mount --rbind / /work/root && exec chroot /work/root "$@"';
  await using lab = await openLab({ testbeds, uid: otherUser, agent: "builtin" });
  const factory = lab.start({ prefix: [...host.signalled, "sh", "-c", chrooted, "sh"] });
  const mark = join(lab.directory, "daemon");
  const script = `
      (env -i setsid nohup sh -c 'sleep 1000; : ${mark}' >/dev/null 2>&1 &)
      mkdir /work/busy || exit 1; sleep 0.2; rmdir /work/busy; echo "alone as $(id -u)"`;
  const ids = [await lab.submit(script), await lab.submit(script), await lab.submit(script)];
  for (const id of ids) {
    expect((await lab.ended(id)).state).toBe("completed");
    expect(await lab.said(id, "stdout")).toEqual([`alone as ${otherUser}`]);
  }
  await drained(factory);
  expect(lab.processes(mark)).toEqual([]);
  const warnings = factory.log().filter(({ level }) => level !== "info");
  expect(warnings.map(({ message }) => message)).toEqual([
    expect.stringMatching(
      /^jobs cannot be isolated on this host, so one at a time runs here.*Operation not permitted/,
    ),
  ]);
});

test.concurrent("an elevated factory that may not become root says which line to add, and takes no job", async () => {
  await using host = await openOther();
  await using lab = await openLab({
    uid: otherUser,
    agent: "builtin",
    general: ["use_privilege_elevation = true"],
    env: { USER: "lab" },
  });
  const factory = lab.start({ prefix: host.signalled });
  await until("it is logged", () =>
    factory.log().some(({ message }) => message.includes('add the line "lab ALL=(root) NOPASSWD: /bin/sh"')),
  );
  expect(lab.proxy.calls).not.toContain("POST /0/factory/lease");
  factory.kill("SIGTERM");
  expect(await factory.exited).toBe(0);
});
