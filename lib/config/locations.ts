/**
 * Decides where the configuration, the database and the directories beside them are, and reads the configuration there.
 * The caller passes the environment, the user and a function that reads files.
 */
import { dirname, isAbsolute, resolve } from "node:path";
import { type Config, parseConfig, type Testbed } from "./config.ts";
import { errorText, FactoryError } from "../words/failure.ts";

/** The flags that choose these places. */
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
  /** Throws like readFileSync of node:fs. */
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

/** Throws a ConfigError that lists every problem, or another FactoryError. */
export function readConfig(base: Base, surroundings: Surroundings, { mayLackToken = false } = {}): Config {
  const { env, readText } = surroundings;
  refuseOpenTls(env);
  return parseConfig({
    ...surroundings,
    mayLackToken,
    text: readConfigText(base, surroundings),
    path: base.config,
    systemdCredential: readCredential(env, readText),
    readTokenFile: readText,
  });
}

/** For commands that do not talk to the server. systemd may give the token to the service alone, not to a shell. */
export const readConfigWithoutToken = (base: Base, surroundings: Surroundings): Omit<Config, "token"> =>
  readConfig(base, surroundings, { mayLackToken: true });

/** Call this before the first request to the server. Throws FactoryError. */
export function refuseOpenTls(env: Surroundings["env"]): void {
  if (env["NODE_TLS_REJECT_UNAUTHORIZED"] !== "0") return;
  throw new FactoryError(
    "Cannot start: NODE_TLS_REJECT_UNAUTHORIZED=0 would let anybody pose as the server",
    { hint: "Unset it; for a private certificate authority, set NODE_EXTRA_CA_CERTS" },
  );
}

/** For callers that can do without testbeds: empty if the configuration cannot be used. */
export function readTestbeds(base: Base, surroundings: Surroundings): Testbed[] {
  try {
    return readConfigWithoutToken(base, surroundings).testbeds;
  } catch {
    return [];
  }
}

/** The directory that holds the instance directories. */
export function workDirectoryOf({ general }: Pick<Config, "general">, { database }: Base): string {
  return general.workDir ?? `${dirname(database)}/work`;
}

/** The directory of the testbeds' locks, which all factories of a host share. */
export function lockDirectoryOf(env: Surroundings["env"]): string {
  const directory = env["FACTORY_LOCK_DIR"] ?? "/var/lock/buildomat-factory-sp-test";
  if (isAbsolute(directory)) return directory;
  throw new FactoryError(`Cannot use FACTORY_LOCK_DIR="${directory}": it is not an absolute path`);
}

/** Throws a FactoryError if this user cannot read it. */
export function readConfigText({ config: path }: Base, { readText, user }: Surroundings): string {
  try {
    return readText(path);
  } catch (error) {
    throw new FactoryError(`Cannot read ${path}: ${(error as Error).message}`, {
      hint: isMissing(error)
        ? `Write one with \`setup\`, or name another with -f or --base-dir${user === "root" ? "" : "; for root's, use sudo"}`
        : "It must be a file that this user can read",
      cause: error,
    });
  }
}

/** Of `--token-file`. Throws a FactoryError if this user cannot read it. */
export function readTokenFile(file: string, { readText, workingDirectory }: Surroundings): string {
  try {
    return readText(resolve(workingDirectory, file));
  } catch (error) {
    throw new FactoryError(`Cannot read --token-file ${file}: ${errorText(error)}`, {
      hint: "Name a file that this user can read and that contains only the token",
      cause: error,
    });
  }
}

/** systemd passes a unit's secrets as files (systemd.exec, LoadCredential). */
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

/** Everything that a factory on this host writes is in these places. */
export function placesOf(
  config: Config,
  base: Base,
  env: Surroundings["env"],
): { base: Base; workDirectory: string; lockDirectory: string } {
  return { base, workDirectory: workDirectoryOf(config, base), lockDirectory: lockDirectoryOf(env) };
}
