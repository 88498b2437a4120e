/**
 * Turns the text of config.toml into a checked, plain Config, or into one error that lists everything that is wrong.
 * Pure: the caller passes what it needs from the host (environment, home, a token file's text).
 */
import { posix } from "node:path";
import { parse, TomlError } from "smol-toml";
import type { z } from "zod";
import { locateToml } from "./toml-lines.ts";
import { expandHome, hiddenDirectory, isHiddenInInstance } from "./home-paths.ts";
import { ConfigError, keyText, type Complain, type ConfigProblem, showValue } from "./problems.ts";
import { generalSchema, notifySchema, updateSchema, webSchema } from "./schema.ts";
import { type DayWindow, type ListenAddress } from "./values.ts";
import { checkRoot, readSection, type Table } from "./section-reader.ts";
import { readTargets, readTestbeds, type Target, type Testbed } from "./testbeds.ts";
import { readToken, type TokenSource } from "./token.ts";
import { errorText, FactoryError } from "../words/failure.ts";
import { Secret } from "../words/secret.ts";

export { isHiddenInInstance } from "./home-paths.ts";
export { ConfigError, type ConfigProblem } from "./problems.ts";
export type { SpType } from "./values.ts";
export type { Target, Testbed } from "./testbeds.ts";

export interface Config {
  /** The file that the configuration was read from. */
  path: string;
  general: {
    /** An http or https URL without a slash at the end. */
    baseurl: string;
    /** An absolute path; null: `work/` beside the database. */
    workDir: string | null;
    /** Whether agents on this host run as root, through `pfexec` or `sudo -n`. */
    elevate: boolean;
    /** The same for other hosts; null: only on illumos. */
    elevateElsewhere: boolean | null;
    /** An absolute path, or `builtin`; null: beside the executable, else built-in. */
    agent: string | null;
    pollIntervalMs: number;
    bindJob: boolean;
    isolate: "auto" | "off";
    /** Finished instance directories are kept for this long, and up to this total size. */
    keepDays: number;
    keepBytes: number;
    /** Variables for agents and their tasks on every host. A value may be a secret. */
    agentEnvironment: Record<string, string>;
    /** A group of this host whose members may steer the factory; null: none. */
    operators: string | null;
  };
  update: {
    /** `auto` installs a new version, `notify` only logs it, `off` does not look for one. */
    mode: "auto" | "notify" | "off";
    /** An http or https URL or a path, without a slash at the end; null: no mirror is set. */
    url: string | null;
    channel: string;
    /** When a new version may be started; null: at any time. */
    window: DayWindow | null;
    /** The only version that may be installed. */
    pin: string | null;
  };
  /** Null: nothing is shown on a port. */
  web: (ListenAddress & { hosts: string[] }) | null;
  notify: {
    /** A command line. */
    command: string | null;
    webhook: Secret | null;
    /** Signs what the webhook gets. */
    secret: Secret | null;
    reservedOverMs: number;
  };
  token: Secret;
  /** The file that `token_file` names; may be relative to the working directory. */
  tokenFile: string | null;
  /** In the file's order. */
  testbeds: Testbed[];
  targets: Target[];
}

export interface ConfigSource extends TokenSource {
  text: string;
  /** Shown with each problem. */
  path: string;
  env: Record<string, string | undefined>;
  /** The default of `ssh_user`. */
  user: string;
  /** The value of `process.platform`. */
  platform: string;
  /** Relative paths in `BUILDOMAT_AGENT_PATH` and `BUILDOMAT_WORK_DIR` start here. */
  workingDirectory: string;
}

/** Throws a ConfigError that lists every problem, or a FactoryError if the text is not TOML. Both mean exit code 2. */
export function parseConfig(source: ConfigSource): Config {
  const root = parseToml(source);
  const lineOf = locateToml(source.text);
  const problems: ConfigProblem[] = [];
  const complain: Complain = (path, wrong, fix) => {
    problems.push({ line: lineOf(path), key: keyText(path), wrong, fix });
  };

  checkRoot(root, complain);
  const section = readSection(generalSchema, root["general"], ["general"], complain);
  const workDir = chooseWorkDir(section.work_dir, source);
  if (workDir !== null && isHiddenInInstance(workDir)) {
    if (section.work_dir !== undefined) complain(["general", "work_dir"], ...hiddenDirectory(workDir));
    else problems.push(environmentProblem("BUILDOMAT_WORK_DIR", ...hiddenDirectory(workDir)));
  }
  const token = readToken(root["factory"], source, complain);
  const update = readSection(updateSchema, root["update"] ?? {}, ["update"], complain);
  const web = root["web"] === undefined ? null : readSection(webSchema, root["web"], ["web"], complain);
  const notify = readSection(notifySchema, root["notify"] ?? {}, ["notify"], complain);
  const notifySecret = readNotifySecret(notify.secret_file, source, complain);
  const targets = readTargets(root["target"], complain);
  const testbeds = readTestbeds(root["testbed"], targets, source, complain);
  if (problems.length > 0) throw new ConfigError(source.path, problems);
  const general = plainGeneral(section as z.output<typeof generalSchema>, workDir, source);
  return {
    path: source.path,
    general,
    update: plainUpdate(update as z.output<typeof updateSchema>),
    web: web === null ? null : plainWeb(web as z.output<typeof webSchema>),
    notify: plainNotify(notify as z.output<typeof notifySchema>, notifySecret),
    token: new Secret(token.text),
    tokenFile: token.file,
    testbeds,
    targets,
  };
}

/** Throws a FactoryError that names the line, and shows no token. */
export function parseToml({ text, path }: Pick<ConfigSource, "text" | "path">): Table {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // The message quotes the lines around the fault: hide the token if one of them holds it.
    let message = error.message.trimEnd();
    for (const [, value = ""] of text.matchAll(/\btoken["']?\s*=\s*(?:"""|'''|["'])?\s*([^\r\n]+)/g)) {
      message = message.replaceAll(value, "***");
    }
    // The address of a proxy may hold a password.
    message = message.replaceAll(/\/\/[^\s/"']*@/g, "//***@");
    throw new FactoryError(`Cannot read ${path}:${error.line}: ${message}`, {
      hint: "Fix the marked line: the file is not valid TOML",
    });
  }
}

/** A path from a variable that the Rust factory reads too; null if it is unset or empty. */
function pathFromEnvironment(name: string, { env, workingDirectory }: ConfigSource): string | null {
  const path = env[name];
  return path === undefined || path === "" ? null : posix.resolve(workingDirectory, path);
}

function chooseWorkDir(configured: string | undefined, source: ConfigSource): string | null {
  if (configured !== undefined) return expandHome(configured, source.home);
  return pathFromEnvironment("BUILDOMAT_WORK_DIR", source);
}

const environmentProblem = (key: string, wrong: string, fix: string): ConfigProblem => ({
  line: null,
  key,
  wrong,
  fix,
});

function plainGeneral(
  section: z.output<typeof generalSchema>,
  workDir: string | null,
  source: ConfigSource,
): Config["general"] {
  const agent = section.agent ?? pathFromEnvironment("BUILDOMAT_AGENT_PATH", source);
  return {
    baseurl: section.baseurl,
    workDir,
    elevateElsewhere: section.use_privilege_elevation ?? null,
    elevate: section.use_privilege_elevation ?? ["sunos", "illumos"].includes(source.platform),
    agent: agent === null || agent === "builtin" ? agent : expandHome(agent, source.home),
    pollIntervalMs: section.poll_interval,
    bindJob: section.bind_job,
    isolate: section.isolate,
    keepDays: section.keep.days,
    keepBytes: section.keep.size,
    agentEnvironment: section.agent_environment,
    operators: section.operators ?? null,
  };
}

function plainUpdate({ mode, url, channel, window, pin }: z.output<typeof updateSchema>): Config["update"] {
  return { mode, url: url ?? null, channel, window: window ?? null, pin: pin ?? null };
}

function plainWeb({ listen, hosts }: z.output<typeof webSchema>): Config["web"] {
  return { ...listen, hosts };
}

function plainNotify(section: z.output<typeof notifySchema>, secret: Secret | null): Config["notify"] {
  const { command, webhook, reserved_over: reservedOverMs } = section;
  return {
    command: command ?? null,
    webhook: webhook === undefined ? null : new Secret(webhook),
    secret,
    reservedOverMs,
  };
}

function readNotifySecret(
  named: string | undefined,
  { home, readTokenFile }: ConfigSource,
  complain: Complain,
): Secret | null {
  if (named === undefined) return null;
  const file = expandHome(named, home);
  try {
    const text = readTokenFile(file).trim();
    if (text.length >= 16) return new Secret(text);
    complain(
      ["notify", "secret_file"],
      "the secret in it is shorter than 16 characters",
      "Write a longer one",
    );
  } catch (error) {
    const fix = "Write the secret to that file, readable only by the factory's user";
    complain(["notify", "secret_file"], `cannot read ${showValue(file)}: ${errorText(error)}`, fix);
  }
  return null;
}
