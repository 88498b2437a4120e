/**
 * The base directory: where the configuration, the database and the directories beside them are, and the configuration
 * as it is read there. What the process knows of itself is given in.
 */
import { dirname, isAbsolute, resolve } from "node:path";
import { type Config, parseConfig, type Testbed } from "./config.ts";
import { FactoryError } from "../words/failure.ts";

/** The flags that say where everything is. */
export interface BaseArgs {
  config?: string;
  database?: string;
  "base-dir"?: string;
}

export interface Surroundings {
  env: Record<string, string | undefined>;
  /** Of the user who runs this program. */
  home: string;
  user: string;
  platform: string;
  workingDirectory: string;
  /** Throws as node:fs does. */
  readText(path: string): string;
}

export interface Base {
  directory: string;
  /** Absolute path of config.toml. */
  config: string;
  /** Absolute path of data.sqlite3. */
  database: string;
}

export function findBase(args: BaseArgs, { env, home }: Pick<Surroundings, "env" | "home">): Base {
  const directory = resolve(args["base-dir"] ?? env["FACTORY_BASE"] ?? `${home}/Oxide/ci/factory`);
  return {
    directory,
    config: resolve(args.config ?? `${directory}/config.toml`),
    database: resolve(args.database ?? `${directory}/data.sqlite3`),
  };
}

/** Throws FactoryError or ConfigError, with all that is wrong. */
export function readConfig({ config: path }: Base, surroundings: Surroundings): Config {
  const { env, readText } = surroundings;
  refuseOpenTls(env);
  return parseConfig({
    ...surroundings,
    text: readUserFile(path, readText),
    path,
    systemdCredential: readCredential(env, readText),
    readTokenFile: readText,
  });
}

/** Before anything is asked of the server. Throws FactoryError. */
export function refuseOpenTls(env: Surroundings["env"]): void {
  if (env["NODE_TLS_REJECT_UNAUTHORIZED"] !== "0") return;
  throw new FactoryError(
    "Cannot start: NODE_TLS_REJECT_UNAUTHORIZED=0 would let anybody pose as the server",
    { hint: "Unset it; a private certificate authority goes into NODE_EXTRA_CA_CERTS" },
  );
}

/** For who can do without: none where the configuration cannot be used. */
export function readTestbeds(base: Base, surroundings: Surroundings): Testbed[] {
  try {
    return readConfig(base, surroundings).testbeds;
  } catch {
    return [];
  }
}

/** Where instance directories are. */
export function workDirectoryOf({ general }: Config, { database }: Base): string {
  return general.workDir ?? `${dirname(database)}/work`;
}

/** Where the testbeds' locks are, shared by all factories of a host. */
export function lockDirectoryOf(env: Surroundings["env"]): string {
  const directory = env["FACTORY_LOCK_DIR"] ?? "/var/lock/buildomat-factory-sp-test";
  if (isAbsolute(directory)) return directory;
  throw new FactoryError(`Cannot use FACTORY_LOCK_DIR="${directory}": it is not an absolute path`);
}

function readUserFile(path: string, readText: Surroundings["readText"]): string {
  try {
    return readText(path);
  } catch (error) {
    throw new FactoryError(`Cannot read ${path}: ${(error as Error).message}`, {
      hint: isMissing(error)
        ? "`setup` writes one; -f or --base-dir names another"
        : "It must be a file that this user may read",
      cause: error,
    });
  }
}

/** systemd hands a unit's secrets over as files (systemd.exec, LoadCredential). */
function readCredential(env: Surroundings["env"], readText: Surroundings["readText"]): string | null {
  const directory = env["CREDENTIALS_DIRECTORY"];
  if (directory === undefined) return null;
  try {
    return readText(`${directory}/factory-token`);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

/** Where a factory of this host has what it writes. */
export function placesOf(
  config: Config,
  base: Base,
  env: Surroundings["env"],
): { base: Base; workDirectory: string; lockDirectory: string } {
  return { base, workDirectory: workDirectoryOf(config, base), lockDirectory: lockDirectoryOf(env) };
}
