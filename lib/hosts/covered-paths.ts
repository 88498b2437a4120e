/**
 * What an isolated job on this host must not see: the configuration, the token, the database and what lies beside them. A
 * directory that is the factory's own is covered as a whole; in one that is also others' only those files are hidden. Pure.
 */
import { dirname, resolve } from "node:path";
import type { Base, Surroundings } from "../config/locations.ts";
import type { Config } from "../config/config.ts";

export interface Cover {
  /** Absolute paths, here and below. */
  covered: string[];
  /** Files, with all that is named after them. */
  hidden: string[];
  /** Shown even so. */
  kept: string[];
}

export const noCover: Cover = { covered: [], hidden: [], kept: [] };

export interface CoverOptions {
  base: Base;
  workDirectory: string;
  surroundings: Pick<Surroundings, "env" | "home" | "workingDirectory">;
  /** What this program is made of: its executable, and from a checkout that. */
  program: string[];
}

/** Jobs need what is in them. */
const systemDirectories = new Set(
  "/ /bin /dev /etc /home /lib /media /mnt /opt /root /run /sbin /srv /tmp /usr /usr/bin /usr/lib /usr/local /usr/local/bin /usr/local/etc /var /var/lib /var/tmp".split(
    " ",
  ),
);

export function coverOf(
  { tokenFile }: Config,
  { base, workDirectory, surroundings, program }: CoverOptions,
): Cover {
  const { env, home, workingDirectory } = surroundings;
  const credentials = env["CREDENTIALS_DIRECTORY"];
  const own = new Set([base.directory, dirname(workDirectory), credentials]);
  const isShared = (directory: string): boolean =>
    systemDirectories.has(directory) || `${home}/`.startsWith(`${directory}/`) || program.includes(directory);
  const hidden = [
    base.config,
    base.database,
    `${dirname(base.database)}/control.sock`,
    ...(tokenFile === null ? [] : [resolve(workingDirectory, tokenFile)]),
    ...(credentials === undefined ? [] : [`${credentials}/factory-token`]),
  ];
  const directories = [...new Set(hidden.map((path) => dirname(path)))];
  return {
    covered: directories.filter((directory) => own.has(directory) && !isShared(directory)),
    hidden,
    kept: program,
  };
}
