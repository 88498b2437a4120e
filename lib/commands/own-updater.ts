/** The updater of the prefix that this executable is installed in, for the verb `update` and for the daemon. */
import type { Config } from "../config/config.ts";
import type { Base } from "../config/locations.ts";
import { leastVersion, lockStore, tables } from "../store/file.ts";
import { openPlaces, type Places, placeOf } from "../update/places.ts";
import { trustedKeys } from "../update/signature.ts";
import { runSchedule, type ScheduleOptions } from "../update/schedule.ts";
import { openUpdater, type Updater, type UpdaterOptions } from "../update/updater.ts";
import type { Log } from "../words/logger.ts";
import { version } from "../words/version.ts";
import type { ThisProcess } from "./this-process.ts";

export interface OwnUpdater {
  places: Places;
  updater: Updater;
  running: string;
}

/** The only variables that the factory itself reads. */
const passed = [
  "PATH",
  "HOME",
  "USER",
  "CREDENTIALS_DIRECTORY",
  "BUILDOMAT_AGENT_PATH",
  "BUILDOMAT_WORK_DIR",
];

/** Null: this executable is not in a prefix. */
export function openOwnUpdater(
  here: ThisProcess,
  { config, base }: { config: Pick<Config, "update">; base: Base },
  reporting: Pick<UpdaterOptions, "report" | "onProgress" | "signal">,
): OwnUpdater | null {
  const place = placeOf(here.executable);
  if (place === null) return null;
  const files = here.durableFiles;
  const places = openPlaces({ prefix: place.prefix, files });
  const { env } = here.around;
  const updater = openUpdater({
    ...here,
    ...reporting,
    places,
    files,
    keys: trustedKeys,
    running: place.version,
    target: version.target,
    url: config.update.url,
    configPath: base.config,
    channel: config.update.channel,
    database: () => ({
      least: here.exists(base.database) ? leastVersion(base.database) : 0,
      knows: tables.writes,
    }),
    selfTest: {
      args: ["-f", base.config, "-d", base.database],
      env: Object.fromEntries(
        passed.flatMap((name) => {
          const value = env[name];
          return value === undefined ? [] : [[name, value]];
        }),
      ),
    },
    // `service install` takes the same lock.
    takeLock: () => lockStore(`${places.prefix}/install`),
  });
  return { places, updater, running: place.version };
}

export interface Updates extends Pick<ScheduleOptions, "look" | "setAsking" | "handOver"> {
  config: Config;
  base: Base;
  log: Log;
  die(error: unknown): never;
}

/** Runs the schedule beside a daemon if this executable is in a prefix. */
export function startUpdates(here: ThisProcess, updates: Updates): { stop(): Promise<void> } {
  const { config, log } = updates;
  const ended = new AbortController();
  const reporting = {
    report: (line: string) => log.info(line),
    onProgress: () => undefined,
    signal: ended.signal,
  };
  const own = openOwnUpdater(here, updates, reporting);
  if (own === null) {
    if (config.update.url !== null)
      log.warn("update.url has no effect: install.sh did not install this executable");
    return { stop: () => Promise.resolve() };
  }
  const { prefix } = own.places;
  const schedule = {
    ...here,
    ...own,
    ...updates,
    settings: config.update,
    running: own.running,
    // libexec/boot sets it: a supervisor starts the program again.
    isSupervised: here.around.env["FACTORY_BOOT"] === prefix,
  };
  const run = runSchedule(schedule, ended.signal).catch(updates.die);
  return {
    stop: async () => {
      ended.abort();
      await run;
    },
  };
}
