/**
 * The updater in the daemon's process. It looks for a new version, hands over to it when no job is being started, and judges the
 * trial of the version that runs. A command and the daemon share only the link to what is started: when that names another
 * version, for whatever reason, the daemon hands over to it. It must not know the daemon's loop, which passes in what is needed.
 */
import type { Config } from "../config/config.ts";
import type { Clock } from "../doors/clock.ts";
import type { Random } from "../doors/random.ts";
import { errorText, FactoryError, isRefusedBySystem } from "../words/failure.ts";
import type { Places } from "./places.ts";
import { asFactoryError } from "./refusal.ts";
import { judgeTrial } from "./trial.ts";
import { RolledBackHere, type Updater } from "./updater.ts";
import { compareVersions } from "./version-order.ts";

const tickMs = 2_000;
/** The work of a start comes first, and the hosts of a lab do not all ask at once. */
const firstCheckMs = { least: 120_000, most: 420_000 };
const checkEveryMs = { least: 5 * 3_600_000, most: 7 * 3_600_000 };
/** How long a hand-over waits for a job that is being started. The next version finishes a start that was cut short. */
const longestWaitMs = 60_000;

export interface DaemonLook {
  /** Names of the running instances whose agents are not seen alive. */
  unseen: string[];
  /** Those of them whose host does not answer. */
  away: string[];
  isServerDown: boolean;
  /** A lease is being asked for, or turned into a running agent. */
  isStarting: boolean;
  /** An open instance began before this process: its agent may be the program of an older version. */
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
  /** A supervisor starts this program again when it ends. */
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
      // Done once: what cannot be removed now is left to the next start, and does not hold up a check.
      isSettled = true;
      await updater.prune();
    }
    if (!isTrusted || settings.mode === "off" || settings.url === null) return;
    if (clock.uptimeMs() >= checkAtMs) await checkNow();
    const { ready } = await updater.state();
    if (settings.mode !== "auto" || ready === null || !isInWindow()) return;
    // Since it was made ready, someone may have installed a newer one, or pinned another one.
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
    // A lease from now on would be lost: only this process knows of it.
    options.setAsking(false);
    const { isStarting, isServerDown, unseen } = options.look();
    handOverSinceMs ??= clock.uptimeMs();
    if (isStarting && clock.uptimeMs() - handOverSinceMs < longestWaitMs) return;
    log.info(`handing over to ${to}; agents are left running`);
    // Even on a full disk, a version that was rolled back must end.
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

  async function rememberNextCheck(): Promise<void> {
    const at = new Date(clock.wallMs() + checkAtMs - clock.uptimeMs()).toISOString();
    const nextCheckAt = settings.mode === "off" || settings.url === null ? null : at;
    if (nextCheckAt !== (await updater.state()).nextCheckAt) await updater.remember({ nextCheckAt });
  }

  async function checkNow(): Promise<void> {
    checkAtMs = clock.uptimeMs() + between(checkEveryMs);
    await rememberNextCheck();
    const wish = { wanted: settings.pin, allowDowngrade: false, retry: false };
    if (settings.mode === "auto") {
      const ready = await updater.prepare(wish);
      if (ready !== null && ready !== loggedOf && !isInWindow())
        log.info(`${ready} is ready; it is started in update.window`);
      loggedOf = ready;
      return;
    }
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

  /** Faults of the mirror and of the disk do not end the daemon. Only the first of several in a row is logged. */
  async function attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
      isTroubled = false;
    } catch (error) {
      const shown = asFactoryError(error, places.prefix);
      const hint = shown instanceof FactoryError ? shown.hint : undefined;
      if (!(shown instanceof FactoryError) && !isRefusedBySystem(shown)) throw error;
      // It was logged after the roll-back: the check went well.
      if (shown instanceof RolledBackHere) return void (isTroubled = false);
      if (!isTroubled && !signal.aborted)
        log.warn(`update: ${errorText(shown)}${hint === undefined ? "" : `; ${hint}`}`);
      isTroubled = true;
    }
  }

  await attempt(() => reportRollBack(options));
  await attempt(rememberNextCheck);
  while (!signal.aborted) {
    if (!isLeaving) await attempt(tick);
    await clock.sleep(tickMs, signal);
  }
}

/** Logs a roll-back: libexec/boot, which may have made it, only prints a line. */
async function reportRollBack({ places, updater, running, log }: ScheduleOptions): Promise<void> {
  await updater.settle();
  const { before } = await updater.state();
  if (before === null || before.version === running) return;
  const mark = await places.mark(before.version);
  if (mark?.kind !== "bad") return;
  const why = mark.reason === "" ? "it did not prove itself in three starts" : mark.reason;
  log.warn(`${before.version} was rolled back; only update --now --retry tries it again: ${why}`);
  await updater.remember({ before: null });
}
