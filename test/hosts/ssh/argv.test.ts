/** The one place where ssh's arguments are made, and the one that quotes for the shell that it meets: held against real shells. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SshAddress } from "../../../lib/words/place.ts";
import { quoteCommand, sshArgv } from "../../../lib/hosts/ssh/argv.ts";
import { needOfShell, testWith } from "../../lab/needs.ts";

const plain: SshAddress = {
  host: "bench-1",
  user: "",
  port: null,
  key: null,
  hostKey: null,
};

/** The options, as ssh reads them. */
function optionsOf(argv: string[]): string[] {
  return argv.flatMap((word, index) => (argv[index - 1] === "-o" ? [word] : []));
}

describe("sshArgv()", () => {
  test("leaves everything that is not configured here to the user's own ssh configuration", () => {
    const argv = sshArgv(plain, { controlPath: "/run/s", knownHosts: null }, []);
    expect(argv[0]).toBe("ssh");
    expect(argv.slice(-2)).toEqual(["--", "bench-1"]);
    expect(argv.filter((word) => ["-p", "-l", "-i"].includes(word))).toEqual([]);
    expect(optionsOf(argv)).toEqual([
      "IgnoreUnknown=*",
      "BatchMode=yes",
      "ConnectTimeout=10",
      "ServerAliveInterval=15",
      "ServerAliveCountMax=3",
      "ClearAllForwardings=yes",
      "ForwardAgent=no",
      "ForwardX11=no",
      "PermitLocalCommand=no",
      "RequestTTY=no",
      "RemoteCommand=none",
      "SessionType=default",
      "StdinNull=no",
      "ForkAfterAuthentication=no",
      "LogLevel=ERROR",
      "ControlMaster=auto",
      "ControlPersist=180",
      'ControlPath="/run/s"',
      "StrictHostKeyChecking=accept-new",
    ]);
  });

  test("passes the configured options, and only the pinned key as a known one", () => {
    const address = { ...plain, user: "lab", port: 2222, key: "/k e", hostKey: "ssh-ed25519 AAAA" };
    const argv = sshArgv(address, { controlPath: "/run/%s", knownHosts: "/run/known" }, ["-O", "check"]);
    expect(argv.slice(-10)).toEqual([
      "-i",
      "/k e",
      "-p",
      "2222",
      "-l",
      "lab",
      "-O",
      "check",
      "--",
      "bench-1",
    ]);
    expect(optionsOf(argv).slice(-10)).toEqual([
      'ControlPath="/run/%%s"',
      "StrictHostKeyChecking=yes",
      'UserKnownHostsFile="/run/known"',
      "GlobalKnownHostsFile=/dev/null",
      "KnownHostsCommand=none",
      "VerifyHostKeyDNS=no",
      "HostKeyAlias=pinned",
      "CheckHostIP=no",
      "UpdateHostKeys=no",
      "IdentitiesOnly=yes",
    ]);
  });

  test("F69 a host that looks like an option is still a host", () => {
    const argv = sshArgv({ ...plain, host: "-oProxyCommand=x" }, { controlPath: "/s", knownHosts: null }, []);
    expect(argv.slice(-2)).toEqual(["--", "-oProxyCommand=x"]);
  });
});

const shells = [
  ["/bin/sh"],
  ["/bin/bash"],
  ["/bin/busybox", "ash"],
  ["/bin/ksh93"],
  ["/usr/bin/zsh"],
  ["/usr/bin/fish", "--no-config"],
  ["/usr/bin/tcsh", "-f"],
];

/** What a shell might take for its own, each alone, in pairs, and among letters. */
function hostileWords(): string[] {
  const signs = [
    ...Array.from(" '\"\\$`!#&*?[](){}<>|;~^=%@+,-\n\t\r\u0001"),
    "é",
    "🦊",
    "\\'",
    "'\\",
    "$(id)",
    "$x",
    String.raw`\n`,
    String.raw`\c`,
    String.raw`\0101`,
    "%s",
    "--",
    "-n",
    "",
  ];
  const pairs = signs.flatMap((one) => signs.map((other) => `${one}${other}`));
  return [...signs, ...pairs, ...pairs.map((pair) => `a${pair}z`), "\n\n\n", "a\n\n"];
}

/** Those without a line break apart: what has one is sent another way. */
function bringThrough(shell: string[], path: string): void {
  for (const hasBreak of [false, true]) {
    const words = hostileWords().filter((word) => word.includes("\n") === hasBreak);
    for (let at = 0; at < words.length; at += 300) {
      const some = words.slice(at, at + 300);
      const line = quoteCommand(["sh", "-c", String.raw`printf '%s\0' "$@"`, "sh", ...some]);
      const child = Bun.spawnSync([...shell, "-c", line], { env: { ...process.env, PATH: path } });
      expect(child.stderr.toString()).toBe("");
      expect(child.stdout.toString().split("\0").slice(0, -1)).toEqual(some);
    }
  }
}

for (const [path = "", ...args] of shells) {
  testWith(...needOfShell(path))(`F68 quoteCommand() brings every word through ${path} as it is`, () => {
    bringThrough([path, ...args], "/usr/bin:/bin");
  });
}

const posix = ["/bin/dash", "/bin/bash", "/bin/busybox", "/bin/ksh93", "/usr/bin/zsh"];

for (const path of posix) {
  testWith(...needOfShell(path))(`... and what decodes it may be ${path}`, () => {
    const directory = mkdtempSync(join(tmpdir(), "argv-"));
    try {
      symlinkSync(path, join(directory, "sh"));
      bringThrough(["/bin/sh"], `${directory}:/usr/bin:/bin`);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
}
