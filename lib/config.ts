/**
 * The configuration file: TOML text to a checked, plain Config, or an error that tells everything that is wrong.
 * Pure: what it needs from the host (environment, home, a token file's text) is given in.
 */
import { posix } from "node:path";
import { parse, TomlError } from "smol-toml";
import type { z } from "zod";
import { locateToml, type TomlPath } from "./config-lines.ts";
import { ConfigError, kindOf, nearestWord, quote, showValue, type ConfigProblem } from "./config-problems.ts";
import {
  examples,
  factorySchema,
  findTokenFault,
  generalSchema,
  sectionKeys,
  targetSchema,
  testbedSchema,
  type SpType,
} from "./config-schema.ts";
import { errorText, FactoryError } from "./failure.ts";
import { Secret } from "./secret.ts";
import { parseUlid } from "./ulid.ts";

export { ConfigError, type ConfigProblem } from "./config-problems.ts";
export type { SpType } from "./config-schema.ts";

export interface Config {
  /** The file it was read from. */
  path: string;
  general: {
    /** http or https, without a slash at the end. */
    baseurl: string;
    /** Absolute; null: `work/` beside the database. */
    workDir: string | null;
    /** Run the agent as root, through `pfexec` or `sudo -n`. */
    elevate: boolean;
    /** An absolute path, or `builtin`; null: beside the executable, else built-in. */
    agent: string | null;
    pollIntervalMs: number;
    bindJob: boolean;
    isolate: "auto" | "off";
    /** Finished instance directories are kept this long, and up to this much in all. */
    keepDays: number;
    keepBytes: number;
  };
  token: Secret;
  /** In the file's order. */
  testbeds: Testbed[];
  targets: Target[];
}

export interface Testbed {
  /** A letter or digit, then letters, digits, `.`, `_` and `-`: it names directories, locks and workers. */
  name: string;
  spType: SpType;
  /** Names of `Config.targets`, each once, at least one. */
  targets: string[];
  /** Where the agent runs, over ssh; null: on this host. */
  host: string | null;
  sshUser: string;
  /** Null: what the user's own ssh configuration says. */
  sshPort: number | null;
  sshKey: string | null;
  /** Type and key, as in a known_hosts line; null: the key seen first is kept. */
  hostKey: string | null;
  /** On `host`; may begin with `~/`. */
  agentPath: string | null;
  /** On `host`; may begin with `~/`. */
  workDir: string | null;
  /** Set: jobs go to this sp-runner service, and `host` is null. */
  spRunnerUrl: string | null;
  testType: string;
  disableWatchdog: boolean;
  /** A path or a command line. `~` in it and in `spRunnerConfig` is the home of the agent's user, on its host. */
  spRunnerPath: string;
  spRunnerConfig: string;
  baseline: string;
  enabled: boolean;
  startTimeoutMs: number;
  jobTimeoutMs: number | null;
  silenceTimeoutMs: number | null;
  /** A command line that must succeed before a lease is taken for this testbed. */
  check: string | null;
  note: string;
}

export interface Target {
  name: string;
  /** The server's ULID; null: the target cannot be asked for. */
  id: string | null;
}

export interface ConfigSource {
  text: string;
  /** Shown with each problem. */
  path: string;
  env: Record<string, string | undefined>;
  home: string;
  /** The default of `ssh_user`. */
  user: string;
  /** As `process.platform` says. */
  platform: string;
  /** What a relative path in `BUILDOMAT_AGENT_PATH` or `BUILDOMAT_WORK_DIR` is relative to. */
  workingDirectory: string;
  /** The text of systemd's credential `factory-token`; null where there is none. */
  systemdCredential?: string | null;
  /** The file's text; throws an Error where it cannot be read. */
  readTokenFile(path: string): string;
}

type Table = Record<string, unknown>;
type Complain = (path: TomlPath, wrong: string, mend: string) => void;

/** Throws a ConfigError that lists every problem, or a FactoryError where the text is no TOML; both mean exit code 2. */
export function parseConfig(source: ConfigSource): Config {
  const root = parseToml(source);
  const lineOf = locateToml(source.text);
  const problems: ConfigProblem[] = [];
  const complain: Complain = (path, wrong, mend) =>
    problems.push({ line: lineOf(path), key: keyText(path), wrong, mend });

  checkRoot(root, complain);
  const general = readGeneral(root["general"], source, complain, problems);
  const token = readToken(root["factory"], source, complain);
  const targets = readTargets(root["target"], complain);
  const testbeds = readTestbeds(root["testbed"], { source, targets, complain });
  if (problems.length > 0 || general === null || token === null) {
    throw new ConfigError(source.path, problems);
  }
  return { path: source.path, general, token: new Secret(token), testbeds, targets };
}

/** Whether a path is at or under a directory that is a job's own inside an instance (DESIGN.md). */
export function isHiddenInInstance(path: string): boolean {
  return /^\/(?:work|input)(?:\/|$)/.test(posix.normalize(path));
}

function parseToml({ text, path }: ConfigSource): Table {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // The message quotes the lines around the fault, and one of them may hold the token.
    let message = error.message.trimEnd();
    for (const [, value = ""] of text.matchAll(/\btoken["']?\s*=\s*(?:"""|'''|["'])?\s*([^\r\n]+)/g)) {
      message = message.replaceAll(value, "***");
    }
    throw new FactoryError(`Cannot read ${path}:${error.line}: ${message}`, {
      hint: "Mend the marked place: the file is no TOML as it is",
    });
  }
}

function checkRoot(root: Table, complain: Complain): void {
  for (const name of Object.keys(root)) {
    if (Object.hasOwn(sectionKeys, name)) continue;
    const homes = Object.keys(sectionKeys).filter((section) => sectionKeys[section]?.includes(name));
    const near = nearestWord(name, Object.keys(sectionKeys));
    const known = "The sections are [general], [factory], [testbed.NAME] and [target.NAME]";
    const mend =
      homes.length > 0 && !isTable(root[name])
        ? `It belongs under ${homes.map(sectionHeader).join(" or ")}`
        : near === null
          ? known
          : `Did you mean "${near}"? ${known}`;
    complain([name], isTable(root[name]) ? "unknown section" : "unknown key", mend);
  }
}

const sectionHeader = (section: string): string =>
  section === "general" || section === "factory" ? `[${section}]` : `[${section}.NAME]`;

/** The section by its schema; null where something in it is wrong, which is then told. */
function readSection<S extends z.ZodObject>(
  schema: S,
  value: unknown,
  at: TomlPath,
  complain: Complain,
): z.infer<S> | null {
  if (!isTable(value)) {
    const header = `[${keyText(at)}]`;
    if (value === undefined)
      complain(at, "the section is missing", `Add ${header} with ${requiredKeys(schema)}`);
    else complain(at, `must be a section, not ${kindOf(value)}`, `Write ${header} on a line of its own`);
    return null;
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data as z.infer<S>;
  for (const issue of result.error.issues) complainOf(issue, value, at, complain);
  return null;
}

function requiredKeys(schema: z.ZodObject): string {
  const required = Object.entries(schema.shape).filter(
    ([, field]) => !(field as z.ZodType).safeParse(undefined).success,
  );
  return required.map(([name]) => `${name} = ${examples[name]}`).join(", ") || "its keys";
}

function complainOf(issue: z.core.$ZodIssue, section: Table, at: TomlPath, complain: Complain): void {
  const path = issue.path as TomlPath;
  if (issue.code === "unrecognized_keys") {
    for (const name of issue.keys) complainOfUnknown([...at, ...path, name], path, complain);
    return;
  }
  const value = path.reduce<unknown>((inside, name) => (inside as Table)[name], section);
  const name = String(path.findLast((part) => typeof part === "string"));
  const example = `${name} = ${examples[name]}`;
  if (issue.code === "custom") {
    complain([...at, ...path], issue.message, String(issue.params?.["mend"]));
  } else if (value === undefined) {
    complain([...at, ...path], "it is missing", `Add ${example} to [${keyText(at)}]`);
  } else if (issue.code === "invalid_type") {
    // No value here: it may be a token.
    const wanted: Record<string, string> = {
      string: "a string",
      boolean: "true or false",
      array: "an array",
      int: "a whole number",
    };
    const isNumber = typeof value === "number" && issue.expected !== "string" && issue.expected !== "boolean";
    const what = isNumber ? showValue(value) : kindOf(value);
    complain(
      [...at, ...path],
      `must be ${wanted[issue.expected] ?? `a ${issue.expected}`}, not ${what}`,
      `Write it as in ${example}`,
    );
  } else if (issue.code === "too_small") {
    complain([...at, ...path], `${showValue(value)} is too small`, `Write at least ${issue.minimum}`);
  } else if (issue.code === "too_big") {
    complain([...at, ...path], `${showValue(value)} is too large`, `Write at most ${issue.maximum}`);
  } else {
    complain([...at, ...path], issue.message, `Write it as in ${example}`);
  }
}

function complainOfUnknown(path: TomlPath, inner: TomlPath, complain: Complain): void {
  const name = String(path.at(-1));
  const own = inner.length > 0 ? ["days", "size"] : (sectionKeys[String(path[0])] ?? []);
  const near = nearestWord(name, own);
  const homes = Object.keys(sectionKeys).filter((section) => sectionKeys[section]?.includes(name));
  const known = `Known here: ${own.join(", ")}`;
  const mend =
    near !== null
      ? `Did you mean ${near}?`
      : homes.length > 0
        ? `It belongs under ${homes.map(sectionHeader).join(" or ")}`
        : known;
  complain(path, "unknown key", mend);
}

function readGeneral(
  value: unknown,
  source: ConfigSource,
  complain: Complain,
  problems: ConfigProblem[],
): Config["general"] | null {
  const general = readSection(generalSchema, value, ["general"], complain);
  if (general === null) return null;
  const fromEnv = (name: string): string | null => {
    const path = source.env[name];
    return path === undefined || path === "" ? null : posix.resolve(source.workingDirectory, path);
  };
  const agent = general.agent ?? fromEnv("BUILDOMAT_AGENT_PATH");
  const workDir =
    general.work_dir === undefined
      ? fromEnv("BUILDOMAT_WORK_DIR")
      : expandHome(general.work_dir, source.home);
  if (workDir !== null && isHiddenInInstance(workDir)) {
    const wrong = `${showValue(workDir)} is hidden from jobs, which have a /work and /input of their own`;
    const mend = "Choose a directory that is neither at nor under /work or /input";
    if (general.work_dir !== undefined) complain(["general", "work_dir"], wrong, mend);
    else problems.push({ line: null, key: "BUILDOMAT_WORK_DIR", wrong, mend });
  }
  return {
    baseurl: general.baseurl,
    workDir,
    elevate:
      general.use_privilege_elevation ?? (source.platform === "sunos" || source.platform === "illumos"),
    agent: agent === null || agent === "builtin" ? agent : expandHome(agent, source.home),
    pollIntervalMs: general.poll_interval,
    bindJob: general.bind_job,
    isolate: general.isolate,
    keepDays: general.keep.days,
    keepBytes: general.keep.size,
  };
}

/** The one token that is configured; null where there is none or more than one, which is then told. */
function readToken(value: unknown, source: ConfigSource, complain: Complain): string | null {
  const credential = source.systemdCredential ?? null;
  const factory = readSection(factorySchema, value ?? {}, ["factory"], complain);
  if (factory === null) return null;
  const found = [
    factory.token === undefined ? null : "token",
    factory.token_file === undefined ? null : "token_file",
    credential === null ? null : "systemd's credential factory-token",
  ].filter((name) => name !== null);
  if (found.length > 1) {
    complain(
      ["factory", factory.token === undefined ? "token_file" : "token"],
      `both ${found.join(" and ")} are set`,
      "Keep one of them",
    );
    return null;
  }
  if (credential !== null) return checkToken(credential, "systemd's credential factory-token", complain);
  if (factory.token_file !== undefined) {
    const path = expandHome(factory.token_file, source.home);
    try {
      return checkToken(source.readTokenFile(path), path, complain);
    } catch (error) {
      complain(
        ["factory", "token_file"],
        `cannot read ${showValue(path)}: ${errorText(error)}`,
        "Write the token into that file, readable by the factory's user alone, or name another file",
      );
      return null;
    }
  }
  if (factory.token === undefined) {
    complain(
      ["factory", "token"],
      "there is no token",
      `Add token = "..." or token_file = "..." to [factory]`,
    );
    return null;
  }
  return factory.token;
}

function checkToken(text: string, origin: string, complain: Complain): string | null {
  const fault = findTokenFault(text);
  if (fault === null) return text.trim();
  complain(
    ["factory", "token_file"],
    `no token in ${origin}: ${fault}`,
    "Write the token alone into it, on one line",
  );
  return null;
}

function readTargets(value: unknown, complain: Complain): Target[] {
  const targets: Target[] = [];
  const nameOfId = new Map<string, string>();
  for (const [name, section] of entriesOf(value, "target", complain)) {
    if (!/^[^\s\p{C}]{1,128}$/u.test(name)) {
      complain(
        ["target", name],
        "this name cannot be used",
        "Name it with up to 128 characters, none of them a space or control character",
      );
    }
    const target = readSection(targetSchema, section, ["target", name], complain);
    const id = target?.id ?? parseUlid(name);
    const other = id === null ? undefined : nameOfId.get(id);
    if (other !== undefined) {
      complain(["target", name, "id"], `[target.${other}] has the same id`, "Keep one of the two sections");
    }
    if (id !== null) nameOfId.set(id, name);
    targets.push({ name, id });
  }
  return targets;
}

function readTestbeds(
  value: unknown,
  { source, targets, complain }: { source: ConfigSource; targets: Target[]; complain: Complain },
): Testbed[] {
  const targetNames = new Set(targets.map((target) => target.name));
  const nameInLowerCase = new Map<string, string>();
  const testbeds: Testbed[] = [];
  for (const [name, section] of entriesOf(value, "testbed", complain)) {
    const at = ["testbed", name];
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) {
      complain(
        at,
        "this name cannot be used",
        "Name it with up to 64 letters, digits, dots, underscores and hyphens, a letter or digit first",
      );
    }
    const twin = nameInLowerCase.get(name.toLowerCase());
    if (twin !== undefined)
      complain(at, `[testbed.${twin}] differs only in upper and lower case`, "Rename one of the two");
    nameInLowerCase.set(name.toLowerCase(), name);
    const testbed = readSection(testbedSchema, section, at, complain);
    if (testbed === null) continue;
    checkTestbed(testbed, at, { targetNames, complain, path: source.path });
    testbeds.push(plainTestbed(name, testbed, source));
  }
  return testbeds;
}

type TestbedSection = z.infer<typeof testbedSchema>;

/** What a schema of one section cannot see. */
function checkTestbed(
  testbed: TestbedSection,
  at: TomlPath,
  { targetNames, complain, path }: { targetNames: Set<string>; complain: Complain; path: string },
): void {
  if (testbed.targets.length === 0) {
    complain(
      [...at, "targets"],
      "it is empty",
      "Name at least one [target.NAME] section, or set enabled = false and a target",
    );
  }
  for (const [index, target] of testbed.targets.entries()) {
    if (targetNames.has(target)) continue;
    const near = nearestWord(target, targetNames);
    const header = `[target.${tomlKey(target)}]`;
    const mend =
      near === null ? `Add ${header} to ${path}` : `Did you mean "${near}"? Else add ${header} to ${path}`;
    complain([...at, "targets", index], `there is no ${header} section`, mend);
  }
  if (testbed.work_dir !== undefined && isHiddenInInstance(testbed.work_dir)) {
    complain(
      [...at, "work_dir"],
      `${showValue(testbed.work_dir)} is hidden from jobs, which have a /work and /input of their own`,
      "Choose a directory that is neither at nor under /work or /input",
    );
  }
  if (testbed.host !== undefined && testbed.sp_runner_url !== undefined) {
    complain(
      [...at, "sp_runner_url"],
      "host is set as well",
      "Keep host to run an agent over ssh, or sp_runner_url to hand jobs to an sp-runner",
    );
  }
}

function plainTestbed(name: string, testbed: TestbedSection, { home, user }: ConfigSource): Testbed {
  return {
    name,
    spType: testbed.sp_type,
    targets: [...new Set(testbed.targets)],
    host: testbed.host ?? null,
    sshUser: testbed.ssh_user ?? user,
    sshPort: testbed.ssh_port ?? null,
    sshKey: testbed.ssh_key === undefined ? null : expandHome(testbed.ssh_key, home),
    hostKey: testbed.host_key ?? null,
    agentPath: testbed.agent_path ?? null,
    workDir: testbed.work_dir ?? null,
    spRunnerUrl: testbed.sp_runner_url ?? null,
    testType: testbed.test_type,
    disableWatchdog: testbed.disable_watchdog,
    spRunnerPath: testbed.sp_runner_path,
    spRunnerConfig: testbed.sp_runner_config,
    baseline: testbed.baseline,
    enabled: testbed.enabled,
    startTimeoutMs: testbed.start_timeout,
    jobTimeoutMs: testbed.job_timeout ?? null,
    silenceTimeoutMs: testbed.silence_timeout ?? null,
    check: testbed.check ?? null,
    note: testbed.note,
  };
}

function entriesOf(value: unknown, section: string, complain: Complain): [string, unknown][] {
  if (isTable(value)) return Object.entries(value);
  if (value !== undefined) {
    complain(
      [section],
      `must be sections, not ${kindOf(value)}`,
      `Write [${section}.NAME] on a line of its own`,
    );
  }
  return [];
}

function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** Absolute, without `.`, `..` or a slash at the end. */
function expandHome(path: string, home: string): string {
  const expanded = posix.normalize(path === "~" || path.startsWith("~/") ? home + path.slice(1) : path);
  return expanded === "/" ? expanded : expanded.replace(/\/+$/, "");
}

const tomlKey = (name: string): string => (/^[A-Za-z0-9_-]+$/.test(name) ? name : quote(name));

function keyText(path: TomlPath): string {
  return path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${tomlKey(part)}`))
    .join("")
    .slice(1);
}
