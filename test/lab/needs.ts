/**
 * What some tests need of the machine. A test whose need is missing is skipped, and the end of the run says how many and what to
 * install; in CI it fails.
 */
import { test as anyTest } from "bun:test";
import { appendFileSync, existsSync } from "node:fs";
import { basename } from "node:path";

interface Need {
  isMet(): boolean;
  /** What makes it met, for people. */
  fix: string;
}

const programs = (packages: string, ...names: string[]): Need => ({
  isMet: () => names.every((name) => Bun.which(name, { PATH: path }) !== null),
  fix: `apt-get install ${packages}`,
});
const path = `${process.env["PATH"]}:/usr/sbin:/sbin`;

/** What an executable for another CPU is started with. */
const crossLibraries = ["libc.so.6", "libstdc++.so.6"].map((name) => `/usr/aarch64-linux-gnu/lib/${name}`);
/** A user's systemd is started by PAM. */
const pamPlaces = ["/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/usr/lib"];

const needs = {
  root: { isMet: () => process.getuid?.() === 0, fix: "run the tests as root" },
  namespaces: {
    isMet: () => Bun.spawnSync(["unshare", "--pid", "--fork", "--mount-proc", "true"]).exitCode === 0,
    fix: "run the tests where `unshare --pid --fork --mount-proc true` is allowed",
  },
  bash: programs("bash", "bash"),
  binutils: programs("binutils", "strip"),
  busybox: programs("busybox", "busybox"),
  chromium: programs("chromium", "chromium"),
  curl: programs("curl", "curl"),
  dash: programs("dash", "dash"),
  ext4: {
    isMet: () => existsSync("/dev/loop-control") && Bun.which("mkfs.ext4", { PATH: path }) !== null,
    fix: "apt-get install e2fsprogs, and run the tests where loop devices are allowed",
  },
  fish: programs("fish", "fish"),
  ksh93: programs("ksh93u+m", "ksh93"),
  man: programs("man-db groff-base", "man", "groff"),
  musl: programs("musl", "ld-musl-config"),
  openssl: programs("openssl", "openssl"),
  promtool: programs("prometheus", "promtool"),
  ps: programs("procps", "ps"),
  script: programs("bsdutils", "script"),
  sshd: programs("openssh-client openssh-server", "sshd", "ssh", "ssh-keygen"),
  sudo: programs("sudo", "sudo"),
  systemd: {
    isMet: () =>
      process.getuid?.() === 0 &&
      existsSync("/lib/systemd/systemd") &&
      Bun.which("dbus-daemon") !== null &&
      pamPlaces.some((place) => existsSync(`${place}/security/pam_systemd.so`)),
    fix: "apt-get install systemd dbus libpam-systemd, and run the tests as root",
  },
  arm64: {
    isMet: () => [...crossLibraries, "/usr/bin/qemu-aarch64-static"].every((path) => existsSync(path)),
    fix: "apt-get install qemu-user-static libc6-arm64-cross libstdc++6-arm64-cross",
  },
  tcsh: programs("tcsh", "tcsh"),
  wget: programs("wget", "wget"),
  zsh: programs("zsh", "zsh"),
} satisfies Record<string, Need>;

export type NeedName = keyof typeof needs;

const isCi = process.env["CI"] === "true";
const isMet = new Map<NeedName, boolean>();

function missing(names: NeedName[]): NeedName | undefined {
  return names.find((name) => {
    if (!isMet.has(name)) isMet.set(name, needs[name].isMet());
    return isMet.get(name) === false;
  });
}

/** Whether a part of a test can be tried. Its absence counts as one skipped test; in CI it fails the file. */
export function isThere(name: NeedName): boolean {
  if (missing([name]) === undefined) return true;
  if (isCi) throw new Error(lackOf(name));
  noteSkipped(name);
  return false;
}

/** As `test`, for a test that needs all of these. */
export function testWith(...names: NeedName[]): typeof anyTest {
  const lack = missing(names);
  if (lack === undefined) return anyTest;
  const fail = (): void => {
    throw new Error(lackOf(lack));
  };
  const instead = (name: string, body: () => void): void => {
    if (isCi) return anyTest(name, fail);
    noteSkipped(lack);
    anyTest.skip(name, body);
  };
  const each = (rows: unknown[]) => (name: string, body: () => void) => {
    if (isCi) return anyTest.each(rows)(name, fail);
    for (const _ of rows) noteSkipped(lack);
    anyTest.skip.each(rows)(name, body);
  };
  return Object.assign(instead, { each }) as unknown as typeof anyTest;
}

/** The need for a shell: `/bin/sh` has none. */
export function needOfShell(shell: string): NeedName[] {
  const name = basename(shell);
  return name === "sh" ? [] : Object.keys(needs).filter((key): key is NeedName => key === name);
}

function lackOf(name: NeedName): string {
  return `this test needs ${name}: ${needs[name].fix}`;
}

const skipped = new Map<string, number>();

/** A line a skipped test, with what it lacks: scripts/test.ts counts them for all processes of its run. */
function noteSkipped(name: NeedName): void {
  const file = process.env["SKIPPED_TESTS"];
  if (file === undefined) skipped.set(name, (skipped.get(name) ?? 0) + 1);
  else appendFileSync(file, `${name} (${needs[name].fix})\n`);
}

/** What was skipped, where no such run asks for it. */
export function skippedLines(): string[] {
  return [...skipped].map(
    ([name, count]) => `skipped: ${count} tests need ${name} (${needs[name as NeedName].fix})`,
  );
}
