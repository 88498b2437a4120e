/** What a configuration that was read anew changes, line by line for people, and how much of it a running factory can take. Pure. */
import type { Config, Testbed } from "./config.ts";
import { showValue } from "./problems.ts";
import { writeBytes, writeDuration } from "../words/duration.ts";

export interface Change {
  /** Null: all of the factory. */
  testbed: string | null;
  /** Begins with the testbed's name, if it is about one. It never has a secret. */
  line: string;
}

export interface Replacement {
  /** What is in use from now on. Sections that did not change are the objects of before; nothing changed: so is all of it. */
  config: Config;
  changes: Change[];
  /** What a running factory cannot change. */
  later: string[];
}

/** A key's name in the file, and how its value is shown. */
type Key<Value> = readonly [string, (value: Value) => string];
type Keys<Section, Left extends keyof Section = never> = {
  [Field in Exclude<keyof Section, Left>]: Key<Section[Field]>;
};

const span = (ms: number | null): string => (ms === null ? "none" : writeDuration(ms));
const word = (value: string | number | boolean | null): string =>
  value === null
    ? "none"
    : typeof value === "string" && !/^[\w./~@:-]+$/.test(value)
      ? showValue(value)
      : `${value}`;

const testbedKeys: Keys<Testbed, "name"> = {
  spType: ["sp_type", word],
  targets: ["targets", (names) => names.map(word).join(" ")],
  host: ["host", word],
  sshUser: ["ssh_user", word],
  sshPort: ["ssh_port", word],
  sshKey: ["ssh_key", word],
  hostKey: ["host_key", word],
  agentPath: ["agent_path", word],
  workDir: ["work_dir", word],
  spRunnerUrl: ["sp_runner_url", word],
  testType: ["test_type", word],
  disableWatchdog: ["disable_watchdog", word],
  spRunnerPath: ["sp_runner_path", word],
  spRunnerConfig: ["sp_runner_config", word],
  baseline: ["baseline", word],
  enabled: ["enabled", word],
  startTimeoutMs: ["start_timeout", span],
  jobTimeoutMs: ["job_timeout", span],
  silenceTimeoutMs: ["silence_timeout", span],
  check: ["check", word],
  note: ["note", word],
};

/** They say nothing of where a testbed is and how jobs get there. */
const harmless = new Set<keyof Testbed>([
  "targets",
  "enabled",
  "startTimeoutMs",
  "jobTimeoutMs",
  "silenceTimeoutMs",
  "note",
]);

type General = Config["general"];

/** All that runs is by these: they change with the next start. */
const laterKeys = {
  baseurl: "baseurl",
  workDir: "work_dir",
  elevate: "use_privilege_elevation",
  elevateElsewhere: "use_privilege_elevation",
  // The socket is made at the start.
  operators: "operators",
} as const satisfies Partial<Record<keyof General, string>>;

const generalKeys: Keys<General, keyof typeof laterKeys> = {
  agent: ["agent", word],
  pollIntervalMs: ["poll_interval", span],
  bindJob: ["bind_job", word],
  isolate: ["isolate", word],
  keepDays: ["keep.days", word],
  keepBytes: ["keep.size", writeBytes],
  // A value may be a secret.
  agentEnvironment: ["agent_environment", (table) => Object.keys(table).join(" ") || "none"],
};

const updateKeys: Keys<Config["update"]> = {
  mode: ["mode", word],
  url: ["url", word],
  channel: ["channel", word],
  window: [
    "window",
    (window) => (window === null ? "none" : `${clock(window.fromMinute)}-${clock(window.toMinute)}`),
  ],
  pin: ["pin", word],
};

/** Addresses and secrets are not shown. */
const notifyKeys: Keys<ReturnType<typeof shownNotify>> = {
  command: ["command", word],
  webhook: ["webhook", () => "***"],
  secret: ["secret_file", () => "***"],
  reservedOverMs: ["reserved_over", span],
};

function shownNotify({ notify }: Config) {
  const { webhook, secret, ...rest } = notify;
  return { ...rest, webhook: webhook?.reveal() ?? null, secret: secret?.reveal() ?? null };
}

/** `isBusy`: whether a testbed has a job, which runs on whatever the file says. */
export function replaceConfig(
  before: Config,
  read: Config,
  isBusy: (testbed: string) => boolean,
): Replacement {
  const kept = Object.fromEntries(
    (Object.keys(laterKeys) as (keyof typeof laterKeys)[]).map((field) => [field, before.general[field]]),
  );
  const general: General = { ...read.general, ...kept };
  const old = new Map(before.testbeds.map((testbed) => [testbed.name, testbed]));
  const testbeds = read.testbeds.map((testbed) => {
    const same = old.get(testbed.name);
    return same !== undefined && isSame(same, testbed) ? same : testbed;
  });
  const config = { ...read, general, testbeds, web: before.web };
  const about = (prefix: string, differences: string[]): Change[] =>
    differences.map((difference) => ({ testbed: null, line: `${prefix}.${difference}` }));
  const changes = [
    ...about("general", differencesOf(generalKeys, before.general, general)),
    ...about("factory", tokenChanges(before, read)),
    ...about("update", differencesOf(updateKeys, before.update, read.update)),
    ...about("notify", differencesOf(notifyKeys, shownNotify(before), shownNotify(read))),
    ...about("target", targetChanges(before, read)),
    ...testbeds.flatMap((testbed) => testbedChange(old.get(testbed.name), testbed, isBusy)),
    ...before.testbeds.flatMap((testbed) =>
      testbeds.some(({ name }) => name === testbed.name) ? [] : testbedChange(testbed, undefined, isBusy),
    ),
  ];
  const later = new Set(
    (Object.keys(laterKeys) as (keyof typeof laterKeys)[])
      .filter((field) => before.general[field] !== read.general[field])
      .map((field) => `general.${laterKeys[field]} changes with the next start`),
  );
  if (!isSame(before.web, read.web)) later.add("[web] changes with the next start");
  const isAsBefore = changes.length === 0 && testbeds.every((each, index) => each === before.testbeds[index]);
  return { config: isAsBefore ? before : config, changes, later: [...later] };
}

/** Whether a testbed may now be somewhere else, or be reached or proved ready in another way. */
export function isMoved(before: Testbed, after: Testbed): boolean {
  return (Object.keys(testbedKeys) as (keyof typeof testbedKeys)[]).some(
    (field) => !harmless.has(field) && !isSame(before[field], after[field]),
  );
}

function testbedChange(
  before: Testbed | undefined,
  after: Testbed | undefined,
  isBusy: (testbed: string) => boolean,
): Change[] {
  const name = (after ?? before)?.name ?? "";
  const runsOn = isBusy(name) ? "; its job runs on" : "";
  const change = (what: string): Change[] => [{ testbed: name, line: `${name}: ${what}` }];
  if (after === undefined) return change(`removed${runsOn}`);
  if (before === undefined) return change("added");
  const differences = differencesOf(testbedKeys, before, after);
  if (differences.length === 0) return [];
  const isLeft = (before.enabled && !after.enabled) || isMoved(before, after);
  return change(`${differences.join(", ")}${isLeft ? runsOn : ""}`);
}

function tokenChanges(before: Config, read: Config): string[] {
  return [
    ...(before.tokenFile === read.tokenFile
      ? []
      : [`token_file ${word(before.tokenFile)} -> ${word(read.tokenFile)}`]),
    ...(before.token.reveal() === read.token.reveal() ? [] : ["token changed"]),
  ];
}

function targetChanges(before: Config, read: Config): string[] {
  const old = new Map(before.targets.map(({ name, id }) => [name, id]));
  const now = new Map(read.targets.map(({ name, id }) => [name, id]));
  return [
    ...[...now].flatMap(([name, id]) => {
      const was = old.get(name);
      if (was === undefined) return [`${word(name)}: added`];
      return was === id ? [] : [`${word(name)}: id ${word(was)} -> ${word(id)}`];
    }),
    ...[...old.keys()].filter((name) => !now.has(name)).map((name) => `${word(name)}: removed`),
  ];
}

function differencesOf<Section extends object, Left extends keyof Section>(
  keys: Keys<Section, Left>,
  before: Section,
  after: Section,
): string[] {
  const fields = Object.keys(keys) as Exclude<keyof Section, Left>[];
  return fields.flatMap((field) => {
    if (isSame(before[field], after[field])) return [];
    const [key, show] = keys[field];
    const [was, is] = [show(before[field]), show(after[field])];
    return [was === is ? `${key} changed` : `${key} ${was} -> ${is}`];
  });
}

function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function clock(minute: number): string {
  return `${Math.floor(minute / 60)}:${String(minute % 60).padStart(2, "0")}`.padStart(5, "0");
}
