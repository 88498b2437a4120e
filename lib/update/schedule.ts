/**
 * The part of the updater that lives in the daemon's process: it looks for a new version, starts it when the daemon can be left,
 * and judges the trial of the one that runs. The link to what is started is all that a command and the daemon share: when it
 * names another version, however that came, the daemon hands over to it. It must not know the daemon's loop: what it needs is given in.
 */
import type { Config } from "../config/config.ts";
import type { Clock } from "../doors/clock.ts";
import type { Random } from "../doors/random.ts";
import { errorText, FactoryError, isRefusedBySystem } from "../words/failure.ts";
import { asFactoryError } from "./download.ts";
import type { Places } from "./places.ts";
import { judgeTrial } from "./trial.ts";
import type { Updater } from "./updater.ts";
import { compareVersions } from "./version-order.ts";

const tickMs = 2_000;
/** The start's own work comes first, and the hosts of a lab do not ask all at once. */
const firstCheckMs = { least: 120_000, most: 420_000 };
const checkEveryMs = { least: 5 * 3_600_000, most: 7 * 3_600_000 };
/** A job that is just being started is waited for, but not for ever: a start cut short is settled by the next one. */
const longestWaitMs = 60_000;

export interface DaemonLook {
  /** Names of open instances of which it is not known whether their agents live. */
  unseen: string[];
  /** Those of them whose host does not answer. */
  away: string[];
  isServerDown: boolean;
  /** A lease is being asked for, or turned into a running agent. */
  isStarting: boolean;
  /** An instance that began before this process is open: its agent may be an older version's program. */
  hasOlder: boolean;
}

export interface ScheduleOptions {
  places: Places;
  updater: Updater;
  settings: Config["update"];
  running: string;
  clock: Clock;
  random: Pick<Random, "fraction">;
  look(): DaemonLook;
  /** Someone starts this program again when it ends. */
  isSupervised: boolean;
  /** Whether the daemon asks for jobs. */
  setAsking(isAsking: boolean): void;
  /** Ends the daemon as a signal does; agents run on. */
  handOver(): void;
  log: { info(line: string): void; warn(line: string): void };
}

/** Until `signal` aborts. */
export async function runSchedule(options: ScheduleOptions, signal: AbortSignal): Promise<void> {
  const { places, updater, settings, running, clock, random, log } = options;
  const startedMs = clock.uptimeMs();
  const between = ({ least, most }: { least: number; most: number }): number =>
    least + random.fraction() * (most - least);
  let checkAtMs = startedMs + between(firstCheckMs);
  let handOverSinceMs: number | null = null;
  let isSettled = false;
  /** The version of which a line was logged. */
  let loggedOf: string | null = null;
  let isTroubled = false;
  let isLeaving = false;

  async function tick(): Promise<void> {
    const current = await places.current();
    if (current !== null && current !== running) return await handOver(current);
    if (handOverSinceMs !== null) options.setAsking(true);
    handOverSinceMs = null;
    const isTrusted = await judge();
    if (isTrusted && !isSettled && !options.look().hasOlder) {
      // What cannot be removed now is left to the next start: it must not be in the way of a check.
      isSettled = true;
      await updater.prune();
    }
    if (!isTrusted || settings.mode === "off" || settings.url === null) return;
    if (clock.uptimeMs() >= checkAtMs) await checkNow();
    const { ready } = await updater.state();
    if (settings.mode !== "auto" || ready === null || !isInWindow()) return;
    // Since it was made ready, a newer one may have been installed by hand, or another one pinned.
    const isWanted = compareVersions(ready, running) > 0 && (settings.pin ?? ready) === ready;
    if (!isWanted || (await places.mark(ready))?.kind === "bad") await updater.remember({ ready: null });
    else await updater.switchTo(ready);
  }

  async function handOver(to: string): Promise<void> {
    if (!options.isSupervised) {
      if (loggedOf !== to)
        log.warn(`${to} is installed; nothing here restarts this program: restart it to run ${to}`);
      loggedOf = to;
      return;
    }
    // What is leased from now on would be lost: only this process knows of it.
    options.setAsking(false);
    const { isStarting, isServerDown, unseen } = options.look();
    handOverSinceMs ??= clock.uptimeMs();
    if (isStarting && clock.uptimeMs() - handOverSinceMs < longestWaitMs) return;
    log.info(`handing over to ${to}; agents are left running`);
    // A full disk must not keep a version running that was rolled back.
    await attempt(() => updater.remember({ before: { version: to, isServerDown, unseen } }));
    isLeaving = true;
    options.handOver();
  }

  /** Whether the running version is trusted. */
  async function judge(): Promise<boolean> {
    if ((await places.mark(running))?.kind !== "trial") return true;
    const { before } = await updater.state();
    const judged = judgeTrial({
      ...options.look(),
      ranMs: clock.uptimeMs() - startedMs,
      unseenBefore: before?.version === running ? before.unseen : [],
      wasServerDown: before?.version === running && before.isServerDown,
    });
    if (judged.kind === "confirm") {
      await places.setMark(running, ".good");
      log.info(`${running} has proved itself`);
    }
    if (judged.kind === "roll back") {
      const { to } = await updater.rollBack(judged.reason);
      log.warn(`${running} is rolled back to ${to}: ${judged.reason}`);
    }
    return judged.kind === "confirm";
  }

  async function checkNow(): Promise<void> {
    checkAtMs = clock.uptimeMs() + between(checkEveryMs);
    const nextCheckAt = new Date(clock.wallMs() + checkAtMs - clock.uptimeMs()).toISOString();
    await updater.remember({ nextCheckAt });
    const wish = { wanted: settings.pin, allowDowngrade: false, retry: false };
    if (settings.mode === "auto") return void (await updater.prepare(wish));
    const version = (await updater.check(wish))?.release.version ?? null;
    if (version !== null && version !== loggedOf)
      log.info(`${version} can be installed: update --now does it`);
    loggedOf = version;
  }

  function isInWindow(): boolean {
    const { window } = settings;
    if (window === null) return true;
    const local = new Date(clock.wallMs());
    const minute = local.getHours() * 60 + local.getMinutes();
    const { fromMinute: from, toMinute: to } = window;
    return from < to ? minute >= from && minute < to : minute >= from || minute < to;
  }

  /** The mirror's and the disk's faults end nothing here: one is logged when it begins, and each check reports its own. */
  async function attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
      isTroubled = false;
    } catch (error) {
      const shown = asFactoryError(error, places.prefix);
      const hint = shown instanceof FactoryError ? shown.hint : undefined;
      if (!(shown instanceof FactoryError) && !isRefusedBySystem(shown)) throw error;
      if (!isTroubled && !signal.aborted)
        log.warn(`update: ${errorText(shown)}${hint === undefined ? "" : `; ${hint}`}`);
      isTroubled = true;
    }
  }

  await attempt(() => reportRollBack(options));
  while (!signal.aborted) {
    if (!isLeaving) await attempt(tick);
    await clock.sleep(tickMs, signal);
  }
}

/** After a roll-back that libexec/boot made, this is the first that can say so. */
async function reportRollBack({ places, updater, running, log }: ScheduleOptions): Promise<void> {
  await updater.settle();
  const { before } = await updater.state();
  if (before === null || before.version === running) return;
  const mark = await places.mark(before.version);
  if (mark?.kind !== "bad") return;
  const why = mark.reason === "" ? "it did not prove itself in three starts" : mark.reason;
  log.warn(`${before.version} was rolled back, and is not tried again (update --now --retry does): ${why}`);
  await updater.remember({ before: null });
}
