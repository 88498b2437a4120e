import { afterEach, expect, setDefaultTimeout } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import type { ArmSpec } from "../../../lib/hosts/minder/specification.ts";
import { describe, type Lab, openHost, openLab, otherUser, readText, test, until } from "./minder-lab.ts";

setDefaultTimeout(120_000);
let lab: Lab;
let scratch: string[] = [];
afterEach(async () => {
  await lab.close();
  for (const path of scratch) rmSync(path, { recursive: true });
  scratch = [];
});

const secret = "T0P-SECRET";

/** What a job may try, as sh: it succeeds if it prints the secret. $BASE, $WORK, $HOST are paths of the host. */
const attacks: Record<string, string> = {
  "the configuration by its path": 'cat "$BASE/config.toml"',
  "the configuration above HOME": 'cat "$HOME/../../../config.toml"',
  "the configuration, going up step by step": 'cd "$HOME"; cd ..; cd ..; cd ..; cat config.toml',
  "an editor's copy of it": 'cat "$BASE/config.toml~" "$BASE/.config.toml.swp"',
  "the token file elsewhere": 'cat "$HOST/elsewhere/token"',
  "what is named after the token file": 'cat "$HOST/elsewhere/token.new"',
  "what the token file links to": 'cat "$HOST/linked/real-token"',
  "the database": 'cat "$BASE/data.sqlite3"',
  "the database's journal": 'cat "$BASE/data.sqlite3-wal"',
  "the database's lock": 'cat "$BASE/data.sqlite3.lock"',
  "a control file": 'cat "$BASE/control.sock"',
  "another instance's log": 'cat "$WORK/other_1/agent.log"',
  "another instance above HOME": 'cat "$HOME/../../other_1/agent.log"; cat "$HOME"/../../*/agent.log',
  "the host's /tmp": 'cat "$HOST/left"; cat /tmp/*/left /tmp/left-*',
  "/proc/1/root": 'cat "/proc/1/root$BASE/config.toml"; cat "/proc/1/root$HOST/left"',
  "/proc/self/root": 'cat "/proc/self/root$BASE/config.toml"',
  "every root and directory in /proc":
    'for r in /proc/[0-9]*/root /proc/[0-9]*/cwd; do cat "$r/$BASE/config.toml"; done',
  "every open file":
    'for f in /proc/[0-9]*/fd/* /dev/fd/*; do cat "$f/config.toml" "$f/../config.toml" "$f/../../config.toml"; done',
  "every environment and command line": "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline",
  "its own symbolic link": 'ln -s "$BASE" "$HOME/link"; cat "$HOME/link/config.toml"',
  "the host's symbolic link": 'cat "$HOST/link/config.toml"',
  "the host's bind mount": "cat /mnt/bound/config.toml",
  "the host's bind mount of a parent": "cat /mnt/above/base/config.toml",
  "its own bind mount": 'mkdir "$HOME/m"; mount --bind "$BASE" "$HOME/m"; cat "$HOME/m/config.toml"',
  "namespaces of its own, and umount": `unshare -Urm sh -c 'umount -l "$BASE"; umount -l /tmp; cat "$BASE/config.toml"'`,
  "namespaces of its own, and a bind mount of /": `unshare -Urm sh -c 'mkdir "$HOME/n"; mount --bind / "$HOME/n"; cat "$HOME/n$BASE/config.toml"'`,
  "namespaces of its own, and a bind mount of all": `unshare -Urm sh -c 'mkdir "$HOME/o"; mount --rbind / "$HOME/o"; cat "$HOME/o$BASE/config.toml"'`,
  "namespaces of its own, and an overlay": `unshare -Urm sh -c 'mount -t overlay -o "lowerdir=$BASE:/usr" none /mnt; cat /mnt/config.toml'`,
  "namespaces of its own, and another root": `unshare -Ur chroot /proc/1/root cat "$BASE/config.toml"`,
  "processes of its own": `unshare -Urpfm --mount-proc cat "/proc/1/root$BASE/config.toml"`,
  "the first process's namespaces":
    'nsenter -t 1 -m -U cat "$BASE/config.toml"; nsenter -t 1 -m cat "$BASE/config.toml"',
  "the old root":
    'cat "/.old$BASE/config.toml" "/.host$BASE/config.toml" "$HOME/../minder/root$BASE/config.toml"',
  "the covers' own places":
    'find "$HOME/.." -name config.toml -exec cat {} +; find "$HOME/.." -name left -exec cat {} +',
  "its directory, moved":
    'mv "$HOME/.." /tmp/moved; cat /tmp/moved/../config.toml /tmp/moved/home/../../config.toml',
  "a hard link": 'ln "$BASE/config.toml" "$HOME/hard"; cat "$HOME/hard"',
  "a search": 'find /tmp /mnt /var/tmp "$BASE" "$HOST" -name "*.toml*" -exec cat {} +',
  // The host's user goes on editing: a cover of the file alone would be lost with it.
  "the configuration that was replaced while it ran":
    'until [ -e "$HOME/replaced" ]; do sleep 0.05; done; cat "$BASE/config.toml"',
  "a directory that was made while it ran": 'cat "$WORK/late_1/agent.log" "$HOST/late"',
};

/** A host with a factory on it: what is secret there says so. Outside of /tmp, as labs have it. */
function furnish(host: Lab, owner: number): string {
  const { base } = host;
  const outside = mkdtempSync("/var/tmp/minder-cover-");
  scratch.push(outside, `${tmpdir()}/left-${process.pid}`);
  chmodSync(outside, 0o755);
  mkdirSync(`${outside}/elsewhere`);
  mkdirSync(`${outside}/linked`);
  mkdirSync(`${base}/work/other_1`, { recursive: true });
  symlinkSync(base, `${outside}/link`);
  symlinkSync(`${outside}/linked/real-token`, `${outside}/linked/token`);
  const files = ["config.toml", "config.toml~", ".config.toml.swp", "data.sqlite3", "data.sqlite3-wal"];
  const secrets = [
    ...[...files, "data.sqlite3.lock", "control.sock", "work/other_1/agent.log"].map(
      (name) => `${base}/${name}`,
    ),
    ...["elsewhere/token", "elsewhere/token.new", "linked/real-token"].map((name) => `${outside}/${name}`),
    `${tmpdir()}/left-${process.pid}`,
  ];
  for (const path of secrets) writeFileSync(path, `${secret} ${path}\n`);
  writeFileSync(`${outside}/elsewhere/tool`, "of use\n");
  for (const path of secrets) chownSync(path, owner, owner);
  chownSync(`${base}/work`, owner, owner);
  chmodSync(`${base}/work`, 0o700);
  return outside;
}

/** None may succeed. */
async function attack(host: Lab, spec: ArmSpec, outside: string): Promise<void> {
  const { base, minder } = host;
  const names = Object.keys(attacks);
  const steps = names.map((name, index) => {
    writeFileSync(`${base}/attack-${index}`, attacks[name] ?? "");
    return `(timeout 20 sh '${base}/attack-${index}') </dev/null 2>/dev/null | grep -aq "${secret.replace("S", "[S]")}" && echo "leaked ${index}"`;
  });
  const text = `export BASE='${base}' WORK='${base}/work' HOST='${outside}'
    cat "$HOST/elsewhere/tool"; echo started\n${steps.join("\n")}\necho x >/tmp/mine; echo over; exec sleep 1000`;
  const agent = host.agent(text);
  const kept = [...spec.kept, ...names.map((_, index) => `${base}/attack-${index}`)];
  expect(await minder.arm({ ...spec, agent: [agent], kept })).toEqual({ kind: "armed", refusal: null });
  await minder.go({ directory: spec.directory, worker: "W", agentJson: "{}" });
  const log = (): string => readText(`${spec.directory}/agent.log`);
  await until(() => log().includes("started\n"));
  writeFileSync(`${base}/config.new`, `${secret} anew\n`, { mode: 0o644 });
  renameSync(`${base}/config.new`, `${base}/config.toml`);
  mkdirSync(`${base}/work/late_1`);
  writeFileSync(`${base}/work/late_1/agent.log`, secret);
  writeFileSync(`${spec.directory}/home/replaced`, "");
  const deadline = performance.now() + 90_000;
  while (!log().includes("over\n") && performance.now() < deadline) await Bun.sleep(20);
  expect(log()).toStartWith("of use\nstarted\n");
  expect(log()).toEndWith("over\n");
  const leaked = [...log().matchAll(/leaked (\d+)/g)].map(([, index]) => names[Number(index)] ?? "");
  expect(leaked).toEqual([]);
  expect(readText(`${spec.directory}/tmp/mine`)).toBe("x\n");
  expect(await minder.stop(spec.directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
  expect(await minder.tidy(spec.directory)).toEqual({ kind: "tidied", left: null });
  expect(readdirSync(spec.directory).toSorted()).toEqual(["agent.log", "minder", "opt"]);
}

function specOf(host: Lab, outside: string): ArmSpec {
  return host.spec({
    covered: [host.base],
    hidden: [`${host.base}/config.toml`, `${outside}/elsewhere/token`, `${outside}/linked/token`],
  });
}

/** A mount namespace in which the base directory has more names. */
function withBindMounts(base: string): string[] {
  const script = `
    set -e; mount -t tmpfs none /mnt; mkdir /mnt/bound /mnt/above /mnt/parent
    mount --bind '${base}' /mnt/bound; mount --bind "$(dirname '${base}')" /mnt/above
    exec "$@"`;
  return ["unshare", "--mount", "sh", "-c", script, "sh"];
}

describe("a job cannot reach the factory's files, other instances or the host's /tmp (F93)", () => {
  test.each([0, otherUser])("as user %i", async (user) => {
    const parent = mkdtempSync(`${tmpdir()}/minder-cover-`);
    const base = `${parent}/base`;
    scratch.push(parent);
    chmodSync(parent, 0o755);
    mkdirSync(base);
    // The instance's parent directory is a part of the host's bind mounts, too.
    lab = openLab({ user, base, prefix: withBindMounts(base) });
    chmodSync(base, 0o755);
    const outside = furnish(lab, user);
    await attack(lab, specOf(lab, outside), outside);
    expect(existsSync(`${tmpdir()}/mine`)).toBe(false);
  });

  test("elevated, short of unmounting", async () => {
    lab = openLab();
    const sudoers = `Defaults env_reset\nroot ALL=(ALL:ALL) ALL\nlab ALL=(root) NOPASSWD: /bin/sh`;
    const { inner, end } = await openHost(lab, { user: otherUser, isElevated: true, sudoers });
    const outside = furnish(inner, otherUser);
    await attack(inner, specOf(inner, outside), outside);
    await end();
  });
});
