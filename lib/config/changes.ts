/** What a configuration that was read anew changes, line by line for people, and how much of it a running factory can take. Pure. */
import type { Config, Testbed } from "./config.ts";
import { showValue } from "./problems.ts";
import { Secret } from "../words/secret.ts";
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

/** Fields whose key has another name in the file than the field, or whose value is shown in another way. */
type Shown<Section> = {
  [Field in keyof Section]?: readonly [key: string, show?: (value: Section[Field]) => string];
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

const shownGeneral: Shown<General> = {
  keepDays: ["keep.days"],
  keepBytes: ["keep.size", writeBytes],
  // A value may be a secret.
  agentEnvironment: ["agent_environment", (table) => Object.keys(table).join(" ") || "none"],
};

const shownUpdate: Shown<Config["update"]> = {
  window: [
    "window",
    (window) => (window === null ? "none" : `${clock(window.fromMinute)}-${clock(window.toMinute)}`),
  ],
};

const shownNotify: Shown<Config["notify"]> = { secret: ["secret_file"] };

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
    ...about("general", differencesOf(before.general, general, shownGeneral)),
    ...about("factory", differencesOf(tokenOf(before), tokenOf(read))),
    ...about("update", differencesOf(before.update, read.update, shownUpdate)),
    ...about("notify", differencesOf(before.notify, read.notify, shownNotify)),
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
  return (Object.keys(after) as (keyof Testbed)[]).some(
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
  const differences = differencesOf(before, after);
  if (differences.length === 0) return [];
  const isLeft = (before.enabled && !after.enabled) || isMoved(before, after);
  return change(`${differences.join(", ")}${isLeft ? runsOn : ""}`);
}

const tokenOf = ({ tokenFile, token }: Config) => ({ tokenFile, token });

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

function differencesOf<Section extends object>(
  before: Section,
  after: Section,
  shown: Shown<Section> = {},
): string[] {
  return (Object.keys(after) as (keyof Section & string)[]).flatMap((field) => {
    if (isSame(before[field], after[field])) return [];
    const [key, show = (value: unknown) => showField(field, value)] = shown[field] ?? [keyOf(field)];
    const [was, is] = [show(before[field]), show(after[field])];
    return [was === is ? `${key} changed` : `${key} ${was} -> ${is}`];
  });
}

/** `start_timeout` of `startTimeoutMs`. */
const keyOf = (field: string): string =>
  field.replace(/Ms$/, "").replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** A secret is shown as `***`. */
function showField(field: string, value: unknown): string {
  if (value === null) return "none";
  if (Array.isArray(value)) return value.map(word).join(" ");
  return typeof value === "number" && field.endsWith("Ms") ? writeDuration(value) : word(value);
}

const word = (value: unknown): string =>
  typeof value === "string" && !/^[\w./~@:-]+$/.test(value) ? showValue(value) : String(value);

function isSame(one: unknown, other: unknown): boolean {
  if (one instanceof Secret && other instanceof Secret) return one.reveal() === other.reveal();
  return JSON.stringify(one) === JSON.stringify(other);
}

function clock(minute: number): string {
  return `${Math.floor(minute / 60)}:${String(minute % 60).padStart(2, "0")}`.padStart(5, "0");
}
