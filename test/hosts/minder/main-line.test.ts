/**
 * Agents of buildomat's main line always use /opt/buildomat. In an elevated, isolated instance that is the instance's own;
 * elsewhere they are refused before a job is lost.
 */
import { afterEach, expect, setDefaultTimeout } from "bun:test";
import { appendFileSync, copyFileSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { elevatedShell } from "../../../lib/hosts/minder/elevation.ts";
import { type Minder, openMinder } from "../../../lib/hosts/minder/minder.ts";
import * as factoryLab from "../../lab/lab.ts";
import type { ArmResult } from "../../../lib/hosts/minder/minder-answer.ts";
import { type Lab, openLab, random, readText, stateOf, test, until } from "./minder-lab.ts";

setDefaultTimeout(120_000);
let lab: Lab | null = null;
afterEach(async () => {
  await lab?.close();
  lab = null;
});

/** As a factory that is root itself opens it. */
function elevated({ work, locks, transport }: Lab): Minder {
  return openMinder({
    transport,
    random,
    directory: work,
    lockDirectory: locks,
    shell: elevatedShell,
    elevation: { uid: 0 },
  });
}

/** A mount namespace in which `prepare` has changed the host's directories. */
function hostWith(prepare: string): string[] {
  return ["unshare", "--mount", "sh", "-c", `set -e; ${prepare}; exec "$@"`, "sh"];
}

const hosts: [string, string][] = [
  ["has nothing in /opt", "mount -t tmpfs none /opt"],
  ["has other things in /opt", "mount -t tmpfs none /opt; mkdir /opt/other; echo x >/opt/other/file"],
  [
    "has an agent of its own in /opt/buildomat",
    "mount -t tmpfs none /opt; mkdir -p /opt/buildomat/etc; echo host >/opt/buildomat/etc/agent.json; echo host >/opt/buildomat/etc/job.json",
  ],
  [
    "has /opt/buildomat as a link",
    "mount -t tmpfs none /opt; mkdir -p /opt/real/etc; ln -s /opt/real /opt/buildomat; echo host >/opt/real/etc/job.json",
  ],
  [
    "has no /opt",
    `mkdir -p "$LAB/root"; mount -t tmpfs none "$LAB/root"; cd "$LAB/root"; mkdir old
    for each in /*; do case $each in /opt | /lost+found) ;; *)
      if [ -L "$each" ]; then cp -P "$each" .; elif [ -d "$each" ]; then mkdir ".$each"; mount --rbind "$each" ".$each"; fi
    esac; done; pivot_root . old; cd /; umount -l old; rmdir old`,
  ],
];

/** What it does with its files, by fixed names. */
const agentText = `cat /opt/buildomat/etc/agent.json; ls /opt/buildomat/etc; ls /opt
  echo '{}' >/opt/buildomat/etc/job-done.json; touch /opt/mine; echo over; exec sleep 1000`;

test.each(hosts)(
  "an elevated, isolated instance has its own /opt/buildomat where the host %s",
  async (_, prepare) => {
    lab = openLab();
    const { base } = lab;
    const inner = openLab({ base, locks: lab.locks, prefix: hostWith(prepare.replaceAll("$LAB", base)) });
    const minder = elevated(inner);
    expect(await minder.probe()).toMatchObject({ isolation: { kind: "possible" }, unusable: null });
    const spec = inner.spec({ agent: [inner.agent(agentText)] });
    const { directory } = spec;
    expect(await minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
    await minder.go({ directory, worker: "W", agentJson: '{"its":"own"}' });
    await until(() => readText(`${directory}/agent.log`).endsWith("over\n"));
    expect(readText(`${directory}/agent.log`)).toMatch(
      /^\{"its":"own"\}\nagent\.json\n(?:other\n)?buildomat\n(?:other\n)?(?:real\n)?over\n$/,
    );
    expect(await stateOf(inner, directory)).toBe("done");
    expect(await minder.stop(directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
    expect(existsSync("/opt/mine")).toBe(false);
  },
);

test.each(["", "; mkdir /opt/buildomat"])(
  "so it has where /opt is the factory's own and covered%s",
  async (more) => {
    lab = openLab();
    const prefix = hostWith(`mount -t tmpfs none /opt; echo x >/opt/config.toml${more}`);
    const inner = openLab({ base: lab.base, locks: lab.locks, prefix });
    const minder = elevated(inner);
    expect(await minder.probe()).toMatchObject({ unusable: null });
    const spec = inner.spec({ agent: [inner.agent(agentText)], covered: ["/opt"] });
    const { directory } = spec;
    expect(await minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
    await minder.go({ directory, worker: "W", agentJson: '{"its":"own"}' });
    await until(() => readText(`${directory}/agent.log`).endsWith("over\n"));
    expect(readText(`${directory}/agent.log`)).toBe('{"its":"own"}\nagent.json\nbuildomat\nover\n');
    expect(await minder.stop(directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
  },
);

test("the agent and the work directory may themselves be in the host's /opt/buildomat", async () => {
  lab = openLab();
  const prefix = hostWith(`mkdir -p '${lab.base}/opt/work'; chmod 700 '${lab.base}/opt/work'
    mount -t tmpfs none /opt; mkdir /opt/buildomat; mount --bind '${lab.base}/opt' /opt/buildomat`);
  const inner = openLab({ base: lab.base, locks: lab.locks, prefix });
  const minder = elevated(inner);
  expect(await minder.probe()).toMatchObject({ unusable: null });
  writeFileSync(`${lab.base}/opt/agent`, `#!/bin/sh\n${agentText}\n`, { mode: 0o755 });
  const directory = "/opt/buildomat/work/board_1";
  const spec = inner.spec({ directory, agent: ["/opt/buildomat/agent"], kept: [inner.work] });
  expect(await minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
  await minder.go({ directory, worker: "W", agentJson: '{"its":"own"}' });
  const log = `${lab.base}/opt/work/board_1/agent.log`;
  await until(() => readText(log).endsWith("over\n"));
  expect(readText(log)).toBe('{"its":"own"}\nagent.json\nbuildomat\nover\n');
  expect(await minder.stop(directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
});

const needsRoot =
  /^the agent \S+ is from buildomat's main line and needs root, which general\.use_privilege_elevation = true gives; or use another agent/;
const needsIsolation =
  /^the agent \S+ is from buildomat's main line and needs isolation; allow namespaces, with general\.isolate = "auto"; or use another agent/;

test("arm() and probe() refuse a main-line agent where it would not find its files", async () => {
  lab = openLab();
  const agent = `${lab.base}/main-line`;
  copyFileSync("/bin/sleep", agent);
  const spec = lab.spec({ agent: [agent, "1000"], isExternal: true });
  const refused = (reason: RegExp): ArmResult => ({
    kind: "failed",
    reason: expect.stringMatching(new RegExp(reason.source.slice(1))) as string,
  });
  const faultsOf = async (minder: Minder, isolate: "auto" | "off" = "auto"): Promise<unknown> => {
    const probed = await minder.probe([agent], { external: agent, isolate });
    return probed.ok ? probed.agentFaults[0] : probed.reason;
  };
  expect(await lab.minder.arm(spec)).toEqual(refused(needsRoot));
  expect(await faultsOf(lab.minder)).toMatch(needsRoot);
  expect(await elevated(lab).arm({ ...spec, isolate: "off" })).toEqual(refused(needsIsolation));
  expect(await faultsOf(elevated(lab), "off")).toMatch(needsIsolation);
  expect(await faultsOf(elevated(lab))).toBeNull();
  // Refused by the host itself.
  const prefix = ["setpriv", "--bounding-set=-sys_admin", "--"];
  const confined = elevated(openLab({ base: lab.base, locks: lab.locks, prefix }));
  expect(await confined.arm({ ...spec, cookie: `${spec.cookie.slice(1)}0` })).toEqual(
    refused(needsIsolation),
  );
  expect(await faultsOf(confined)).toMatch(needsIsolation);
  // One that names the variable, put in its place, is another one.
  appendFileSync(agent, "BUILDOMAT_OPT");
  expect(await faultsOf(lab.minder)).toBeNull();
  expect(await lab.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
  expect(await lab.minder.stop(spec.directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
});

test("a script and the built-in agent are never refused as main-line agents", async () => {
  lab = openLab();
  const script = lab.spec({ agent: [lab.agent("exec sleep 1000")], isExternal: true });
  const builtIn = lab.spec({ seq: 2, testbed: "other", agent: ["/bin/sleep", "1000"] });
  for (const spec of [script, builtIn]) {
    expect(await lab.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
    expect(await lab.minder.stop(spec.directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
  }
});

/** The stub, without what the main line does not know; `before` is run first. */
function wrap({ directory }: factoryLab.Lab, before: string): string {
  const path = join(directory, "wrapped-agent");
  writeFileSync(path, `#!/bin/sh\n${before}\nexec '${directory}/stub-agent' "$@"\n`, { mode: 0o755 });
  return path;
}

test("a job of a main-line agent runs to completion, elevated", async () => {
  await using it = await factoryLab.openLab();
  const agent = wrap(it, "unset BUILDOMAT_OPT BUILDOMAT_NONROOT BUILDOMAT_INPUT BUILDOMAT_WORK");
  it.configure({ agent, general: ["use_privilege_elevation = true"] });
  const factory = it.start();
  const id = await it.submit("echo hello >/work/out; cat /work/out", { rules: ["/work/out"] });
  expect((await it.ended(id)).state).toBe("completed");
  expect(await it.said(id, "stdout")).toEqual(["hello"]);
  factory.kill("SIGUSR1");
  expect(await factory.exited).toBe(0);
});

test("an external agent on this host has the usual soft limit on open files, not the raised one of the factory", async () => {
  await using it = await factoryLab.openLab();
  it.configure({ agent: wrap(it, 'echo "files: $(ulimit -Sn) of $(ulimit -Hn)"') });
  const factory = it.start();
  expect((await it.ended(await it.submit("true"))).state).toBe("completed");
  const hard = Bun.spawnSync(["sh", "-c", "ulimit -Hn"]).stdout.toString().trim();
  expect(it.instanceFile("bed-1_1", "agent.log")).toStartWith(`files: 1024 of ${hard}\n`);
  factory.kill("SIGUSR1");
  expect(await factory.exited).toBe(0);
});
