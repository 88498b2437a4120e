import { expect, test } from "bun:test";
import { baseDirectoryIn, describeUnit } from "../../lib/service/unit.ts";

const options = {
  kind: "system",
  bootScript: "/opt/buildomat-factory-sp-test/libexec/boot",
  baseDirectory: "/root/Oxide/ci/factory",
  elevates: false,
  systemdVersion: 252,
} as const;

test("a system unit, whole", () => {
  expect(describeUnit(options)).toEqual({
    left: [],
    text: `# Written by \`service install\`; \`systemctl edit\` keeps changes of your own.
[Unit]
Description=buildomat factory of this lab's testbeds
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart="/opt/buildomat-factory-sp-test/libexec/boot" run --base-dir "/root/Oxide/ci/factory"
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartPreventExitStatus=90
SuccessExitStatus=90
RestartSec=1
TimeoutStartSec=120
TimeoutStopSec=30
WatchdogSec=60
WatchdogSignal=SIGKILL
KillMode=process
User=root
SyslogIdentifier=buildomat-factory-sp-test
WorkingDirectory=/
UMask=0077
LimitCORE=0:infinity
UnsetEnvironment=BUN_OPTIONS BUN_BE_BUN
NoNewPrivileges=yes

[Install]
WantedBy=multi-user.target
`,
  });
});

test("a user unit starts with the systemd of its user and has no User=", () => {
  const { text } = describeUnit({ ...options, kind: "user" });
  expect(text).toContain("WantedBy=default.target");
  expect(text).not.toMatch(/^(?:User|After|Wants)=/m);
});

test("a factory whose jobs become root may gain privileges", () => {
  expect(describeUnit({ ...options, elevates: true }).text).not.toContain("NoNewPrivileges");
});

test("a path with spaces, quotes and what systemd would expand is one word of the command line", () => {
  const { text } = describeUnit({ ...options, baseDirectory: String.raw`/home/a b/50% of "it" $HOME\x` });
  expect(text).toContain(String.raw` --base-dir "/home/a b/50%% of \"it\" $$HOME\\x"`);
  expect(baseDirectoryIn(text)).toBe(String.raw`/home/a b/50% of "it" $HOME\x`);
});

test("an older systemd gets no unknown setting, and each is reported with its effect", () => {
  const { text, left } = describeUnit({ ...options, systemdVersion: 236 });
  expect(text).not.toContain("WatchdogSignal");
  expect(left).toEqual([
    "systemd 236 does not know WatchdogSignal (since 240): a daemon that hangs is ended a minute and a half later",
  ]);
});
