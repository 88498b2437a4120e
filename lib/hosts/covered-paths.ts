/**
 * The paths that an isolated job on this host must not see: the configuration, the token, the database and their neighbours. A
 * directory of the factory alone is covered as a whole; in a directory with other files, only ours are hidden. Pure.
 */
import { dirname, resolve } from "node:path";
import type { Base, Surroundings } from "../config/locations.ts";
import type { Config } from "../config/config.ts";

export interface Cover {
  /** Absolute paths, here and below. */
  covered: string[];
  /** Files, and all files whose names begin with theirs, for example an editor's copies. */
  hidden: string[];
  /** Paths inside covered ones that stay visible. */
  kept: string[];
}

export const noCover: Cover = { covered: [], hidden: [], kept: [] };

export interface CoverOptions {
  base: Base;
  workDirectory: string;
  surroundings: Pick<Surroundings, "env" | "home" | "workingDirectory">;
  /** This program's files: its executable, or the checkout that it runs from. */
  program: string[];
}

/** Jobs need these directories. */
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
    ...(tokenFile === null ? [] : [resolve(workingDirectory, tokenFile)]),
    ...(credentials === undefined ? [] : [`${credentials}/factory-token`]),
  ];
  const directories = [...new Set(hidden.map((path) => dirname(path)))];
  const covered = directories.filter((directory) => own.has(directory) && !isShared(directory));
  // Of the factory alone, wherever it is: who reaches the socket in it steers the factory.
  const control = covered.includes(dirname(base.database)) ? [] : [`${dirname(base.database)}/control`];
  return {
    covered: [...covered, ...control],
    hidden,
    kept: program,
  };
}
