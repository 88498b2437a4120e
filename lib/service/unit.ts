/**
 * The systemd unit of this program, as text. Pure.
 *
 * It has no ProtectSystem, PrivateTmp or ReadWritePaths: job agents are started by the daemon and would have its view of the
 * files for life, the read-only host among it.
 */

export interface UnitOptions {
  /** `user`: a unit of the user's own systemd, without root. */
  kind: "system" | "user";
  /** The script between systemd and the executable. */
  bootScript: string;
  baseDirectory: string;
  /** Jobs become root through sudo, which nobody can who may gain no privileges. */
  elevates: boolean;
  /** systemd's own, as in 252. */
  systemdVersion: number;
}

interface Setting {
  section: "Unit" | "Service" | "Install";
  line: string;
  /** The first version of systemd that knows it; all that count here, if absent. */
  since?: number;
  /** What is missing without it, for people. */
  without?: string;
}

/** Before this systemd-run does not know --collect, without which no job's scope can be made (lib/hosts/minder/scope.ts). */
export const oldestSystemd = 236;

function settings({ kind, bootScript, baseDirectory, elevates }: UnitOptions): Setting[] {
  const service = (line: string, more: Partial<Setting> = {}): Setting => ({
    section: "Service",
    line,
    ...more,
  });
  const isSystem = kind === "system";
  return [
    {
      section: "Unit",
      line: "Description=buildomat factory of this lab's testbeds",
    },
    ...(isSystem
      ? [
          { section: "Unit" as const, line: "Wants=network-online.target" },
          { section: "Unit" as const, line: "After=network-online.target" },
        ]
      : []),
    { section: "Unit", line: "StartLimitIntervalSec=0" },
    // Ready when it is known what runs here; alive while the loop turns.
    service("Type=notify"),
    service(`ExecStart=${word(bootScript)} run --base-dir ${word(baseDirectory)}`),
    service("Restart=always"),
    // A drained factory ends with it (lib/commands/run.ts), and stays down.
    service("RestartPreventExitStatus=90"),
    service("SuccessExitStatus=90"),
    // So long no daemon runs at a change of versions.
    service("RestartSec=1"),
    service("TimeoutStartSec=120"),
    service("TimeoutStopSec=30"),
    service("WatchdogSec=60"),
    service("WatchdogSignal=SIGKILL", {
      since: 240,
      without: "a daemon that hangs is ended a minute and a half later",
    }),
    // Job agents live on. Most are in scopes of their own, which this unit's limits do not reach either.
    service("KillMode=process"),
    ...(isSystem ? [service("User=root")] : []),
    service("SyslogIdentifier=buildomat-factory-sp-test"),
    service("WorkingDirectory=/"),
    service("UMask=0077"),
    // Of the daemon, whose memory holds a token, there is no core. A job may ask for cores.
    service("LimitCORE=0:infinity"),
    service("UnsetEnvironment=BUN_OPTIONS BUN_BE_BUN"),
    ...(elevates ? [] : [service("NoNewPrivileges=yes")]),
    { section: "Install", line: `WantedBy=${isSystem ? "multi-user.target" : "default.target"}` },
  ];
}

/** The unit's text, and what this systemd is too old for. */
export function describeUnit(options: UnitOptions): { text: string; left: string[] } {
  const all = settings(options);
  const isKnown = ({ since = oldestSystemd }: Setting): boolean => options.systemdVersion >= since;
  const sections = (["Unit", "Service", "Install"] as const).map((name) =>
    [
      `[${name}]`,
      ...all.filter((each) => each.section === name && isKnown(each)).map(({ line }) => line),
      "",
    ].join("\n"),
  );
  const left = all
    .filter((each) => !isKnown(each))
    .map(
      ({ line, since, without }) =>
        `systemd ${options.systemdVersion} does not know ${line.split("=")[0]} (since ${since}): ${without}`,
    );
  return {
    text: `# Written by \`service install\`; \`systemctl edit\` keeps changes of your own.\n${sections.join("\n")}`,
    left,
  };
}

/** One word of a command line in a unit, whatever is in it. */
function word(text: string): string {
  const quoted = text.replace(/["\\]/g, "\\$&").replaceAll("%", "%%").replaceAll("$", "$$$$");
  return `"${quoted}"`;
}
