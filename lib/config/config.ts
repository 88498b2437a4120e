/**
 * The configuration file: TOML text to a checked, plain Config, or an error that tells everything that is wrong.
 * Pure: what it needs from the host (environment, home, a token file's text) is given in.
 */
import { posix } from "node:path";
import { parse, TomlError } from "smol-toml";
import type { z } from "zod";
import { locateToml } from "./toml-lines.ts";
import { expandHome, hiddenDirectory, isHiddenInInstance } from "./home-paths.ts";
import { ConfigError, keyText, type Complain, type ConfigProblem } from "./problems.ts";
import { type DayWindow, generalSchema, updateSchema } from "./schema.ts";
import { checkRoot, readSection, type Table } from "./section-reader.ts";
import { readTargets, readTestbeds, type Target, type Testbed } from "./testbeds.ts";
import { readToken, type TokenSource } from "./token.ts";
import { FactoryError } from "../words/failure.ts";
import { Secret } from "../words/secret.ts";

export { isHiddenInInstance } from "./home-paths.ts";
export { ConfigError, type ConfigProblem } from "./problems.ts";
export type { SpType } from "./schema.ts";
export type { Target, Testbed } from "./testbeds.ts";

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
    /** The same on other hosts; null: as the host's system wants it, on for illumos. */
    elevateElsewhere: boolean | null;
    /** An absolute path, or `builtin`; null: beside the executable, else built-in. */
    agent: string | null;
    pollIntervalMs: number;
    bindJob: boolean;
    isolate: "auto" | "off";
    /** Finished instance directories are kept this long, and up to this much in all. */
    keepDays: number;
    keepBytes: number;
    /** What agents and their tasks get, on every host. A value may be a secret. */
    agentEnvironment: Record<string, string>;
  };
  update: {
    /** `auto` installs a new version, `notify` logs that there is one, `off` does not ask. */
    mode: "auto" | "notify" | "off";
    /** http, https or a path, without a slash at the end; null: nowhere. */
    url: string | null;
    channel: string;
    /** When a new version may be started; null: at any time. */
    window: DayWindow | null;
    /** The only version that is installed. */
    pin: string | null;
  };
  token: Secret;
  /** Where the token was read from, if that is a file of its own; may be relative to the working directory. */
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
  /** As `process.platform` says. */
  platform: string;
  /** What a relative path in `BUILDOMAT_AGENT_PATH` or `BUILDOMAT_WORK_DIR` is relative to. */
  workingDirectory: string;
}

/** Throws a ConfigError that lists every problem, or a FactoryError where the text is no TOML; both mean exit code 2. */
export function parseConfig(source: ConfigSource): Config {
  const root = parseToml(source);
  const lineOf = locateToml(source.text);
  const problems: ConfigProblem[] = [];
  const complain: Complain = (path, wrong, mend) => {
    problems.push({ line: lineOf(path), key: keyText(path), wrong, mend });
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
  const targets = readTargets(root["target"], complain);
  const testbeds = readTestbeds(root["testbed"], targets, source, complain);
  if (problems.length > 0) throw new ConfigError(source.path, problems);
  const general = plainGeneral(section as z.output<typeof generalSchema>, workDir, source);
  return {
    path: source.path,
    general,
    update: plainUpdate(update as z.output<typeof updateSchema>),
    token: new Secret(token.text),
    tokenFile: token.file,
    testbeds,
    targets,
  };
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
    // As may the address of a proxy.
    message = message.replaceAll(/\/\/[^\s/"']*@/g, "//***@");
    throw new FactoryError(`Cannot read ${path}:${error.line}: ${message}`, {
      hint: "Mend the marked place: the file is no TOML as it is",
    });
  }
}

/** A path of the environment, as the Rust factory reads it too; null where it is not set. */
function pathFromEnvironment(name: string, { env, workingDirectory }: ConfigSource): string | null {
  const path = env[name];
  return path === undefined || path === "" ? null : posix.resolve(workingDirectory, path);
}

function chooseWorkDir(configured: string | undefined, source: ConfigSource): string | null {
  if (configured !== undefined) return expandHome(configured, source.home);
  return pathFromEnvironment("BUILDOMAT_WORK_DIR", source);
}

const environmentProblem = (key: string, wrong: string, mend: string): ConfigProblem => ({
  line: null,
  key,
  wrong,
  mend,
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
  };
}

function plainUpdate({ mode, url, channel, window, pin }: z.output<typeof updateSchema>): Config["update"] {
  return { mode, url: url ?? null, channel, window: window ?? null, pin: pin ?? null };
}
