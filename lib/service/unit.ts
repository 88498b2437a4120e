/**
 * The text of this program's systemd unit. Pure.
 *
 * ProtectSystem, PrivateTmp and ReadWritePaths are not used: the daemon starts the job agents, which would have its view of the
 * files for life, with a read-only host.
 */

export interface UnitOptions {
  /** `user`: a unit of the user's own systemd, without root. */
  kind: "system" | "user";
  /** The script between systemd and the executable. */
  bootScript: string;
  baseDirectory: string;
  /** Jobs become root through sudo, so the unit must not forbid new privileges. */
  elevates: boolean;
  /** The version of this host's systemd. */
  systemdVersion: number;
}

/** An older systemd-run does not know --collect, which the scopes of jobs need (lib/hosts/minder/scope.ts). */
export const oldestSystemd = 236;

/** The unit's text, and a line for people about each setting that this systemd is too old for. */
export function describeUnit(options: UnitOptions): { text: string; left: string[] } {
  const { kind, bootScript, baseDirectory, elevates, systemdVersion } = options;
  const isSystem = kind === "system";
  const knowsSignal = systemdVersion >= 240;
  const left = `systemd ${systemdVersion} does not know WatchdogSignal (since 240): a daemon that hangs is ended a minute and a half later`;
  const lines = [
    "# Written by `service install`; `systemctl edit` keeps changes of your own.",
    "[Unit]",
    "Description=buildomat factory of this lab's testbeds",
    isSystem && "Wants=network-online.target",
    isSystem && "After=network-online.target",
    "StartLimitIntervalSec=0",
    "",
    "[Service]",
    // Ready once the daemon knows what runs here; alive while its loop turns.
    "Type=notify",
    `ExecStart=${word(bootScript)} run --base-dir ${word(baseDirectory)}`,
    // The boot script becomes the executable.
    "ExecReload=/bin/kill -HUP $MAINPID",
    "Restart=always",
    // A drained factory exits with this code (lib/commands/run.ts), and stays down.
    "RestartPreventExitStatus=90",
    "SuccessExitStatus=90",
    // No daemon runs for this long when versions change.
    "RestartSec=1",
    "TimeoutStartSec=120",
    "TimeoutStopSec=30",
    "WatchdogSec=60",
    knowsSignal && "WatchdogSignal=SIGKILL",
    // Job agents outlive the daemon. Most are in scopes of their own, which this unit's limits do not reach either.
    "KillMode=process",
    isSystem && "User=root",
    "SyslogIdentifier=buildomat-factory-sp-test",
    "WorkingDirectory=/",
    "UMask=0077",
    // The daemon's memory holds a token, so it dumps no core. A job may raise the limit.
    "LimitCORE=0:infinity",
    "UnsetEnvironment=BUN_OPTIONS BUN_BE_BUN",
    !elevates && "NoNewPrivileges=yes",
    "",
    "[Install]",
    `WantedBy=${isSystem ? "multi-user.target" : "default.target"}`,
    "",
  ];
  return { text: lines.filter((line) => line !== false).join("\n"), left: knowsSignal ? [] : [left] };
}

/** Whether describeUnit() wrote this unit for an installation with this boot script. */
export const isUnitOf = (bootScript: string, unit: string): boolean =>
  unit.includes(`ExecStart=${word(bootScript)} run `);

/** What describeUnit() wrote into a unit; null: it is not such a unit. */
export function baseDirectoryIn(unit: string): string | null {
  const quoted = /^ExecStart=.* --base-dir "((?:[^"\\]|\\.)*)"$/m.exec(unit)?.[1];
  if (quoted === undefined) return null;
  return quoted.replaceAll("$$", "$").replaceAll("%%", "%").replace(/\\(.)/g, "$1");
}

/** Quotes one word for a command line in a unit. */
function word(text: string): string {
  const quoted = text.replace(/["\\]/g, "\\$&").replaceAll("%", "%%").replaceAll("$", "$$$$");
  return `"${quoted}"`;
}
