/** Where the program and its service are on this host, and which systemd runs the service. */
import { resolve } from "node:path";
import { type Base, findBase } from "../../config/locations.ts";
import { baseDirectoryIn, isUnitOf } from "../../service/unit.ts";
import { type Kind, openSystemd, runningSystemd, type Systemd } from "../../service/systemd.ts";
import { openPlaces, placeOf, type Places } from "../../update/places.ts";
import { FactoryError, isRefusedBySystem } from "../../words/failure.ts";
import { version } from "../../words/version.ts";
import { openForReading } from "../database.ts";
import type { ThisProcess } from "../this-process.ts";
import type { ServiceArgs } from "./flags.ts";

export type { ServiceArgs };

export interface Installed {
  kind: Kind;
  base: Base;
  places: Places;
  unit: string;
  unitPath: string;
  /** The unit in that file belongs to this installation, not to one in another prefix. */
  hasUnit: boolean;
  /** In a directory that is on most users' PATH. */
  link: string;
  /** Null: `--files-only`, or a host without systemd. */
  systemd: Systemd | null;
}

const { product } = version;

/**
 * Without flags it is the installation that this executable is in. `isNew`: it is about to be installed, which needs systemd unless
 * only the files are wanted.
 */
export async function findInstalled(here: ThisProcess, args: ServiceArgs, isNew = false): Promise<Installed> {
  const { around, uid, durableFiles: files } = here;
  const { env, home, workingDirectory } = around;
  const ofUser = `${home}/.local/opt/${product}`;
  const own = args.user === true ? null : (placeOf(here.executable)?.prefix ?? null);
  const isUser = args.user === true || (args.prefix === undefined && own === ofUser);
  const kind = isUser ? "user" : "system";
  const usual = isUser ? ofUser : (own ?? `/opt/${product}`);
  const prefix = resolve(workingDirectory, args.prefix ?? usual);
  const configHome = env["XDG_CONFIG_HOME"] ?? `${home}/.config`;
  const unit = `${product}.service`;
  const unitPath = isUser ? `${configHome}/systemd/user/${unit}` : `/etc/systemd/system/${unit}`;
  const hasNoUnit = args["files-only"] === true || (!isNew && !here.exists(runningSystemd));
  const unitText = new TextDecoder().decode((await files.readBytes(unitPath)) ?? new Uint8Array());
  const places = openPlaces({ prefix, files });
  const hasUnit = isUnitOf(places.bootScript, unitText);
  // The unit knows the base directory that the installation chose.
  const served = hasUnit ? baseDirectoryIn(unitText) : null;
  const base = findBase(
    args["base-dir"] === undefined && served !== null ? { "base-dir": served } : args,
    around,
  );
  if (isNew && !hasNoUnit && unitText !== "" && (!hasUnit || (served ?? base.directory) !== base.directory))
    throw refuseOthersUnit(unitPath, hasUnit ? `serves ${served}` : "is of another installation");
  if (args.purge === true && !hasUnit && baseDirectoryIn(unitText) === base.directory) {
    throw new FactoryError(
      `Cannot remove ${base.directory}: ${unitPath}, of another installation, serves it`,
      {
        hint: "Leave out --purge; or name this installation's own with --base-dir",
        exitCode: 1,
      },
    );
  }
  return {
    kind,
    base,
    places,
    unit,
    unitPath,
    hasUnit,
    link: `${isUser ? `${home}/.local` : "/usr/local"}/bin/${product}`,
    systemd: hasNoUnit ? null : await openSystemd({ ...here, kind, env, uid }),
  };
}

/** Its daemon would run on as it is, and its jobs would be nobody's after the next start. */
function refuseOthersUnit(path: string, why: string): FactoryError {
  return new FactoryError(`Cannot install a service: ${path} ${why}`, {
    hint: "Uninstall that one first, which keeps its base directory (a unit of your own: remove it); or add --no-service",
    exitCode: 1,
  });
}

const hints: Record<string, string> = {
  ENOSPC: "An installation takes 250 MB: free some, or name another place with --prefix",
  EROFS: "It is mounted read-only: name another place with --prefix",
  EACCES: "This user may not write there: run it with sudo, or add --user",
  EPERM: "This user may not write there: run it with sudo, or add --user",
};

/** Turns a refusal of the system into a FactoryError with what to do. */
export async function orRefusal<T>(what: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!isRefusedBySystem(error) || !(error instanceof Error)) throw error;
    const hint = hints["code" in error ? String(error.code) : ""];
    throw new FactoryError(`Cannot ${what}: ${error.message}`, {
      ...(hint === undefined ? {} : { hint }),
      exitCode: 1,
      cause: error,
    });
  }
}

/** How many jobs are under way. */
export async function countJobs({ files }: ThisProcess, { database }: Base): Promise<number> {
  const store = await openForReading(database, files);
  try {
    return store?.open().length ?? 0;
  } finally {
    store?.close();
  }
}
