/** The verb `update`: shows what a mirror has for this host, installs it, or goes back. A running factory then hands over by itself. */
import type { Config } from "../config/config.ts";
import { type BaseArgs, findBase, readConfigWithoutToken } from "../config/locations.ts";
import { isFactoryRunning } from "../store/store.ts";
import { placeOf } from "../update/places.ts";
import { RolledBackHere, type Updater, type Wish } from "../update/updater.ts";
import { FactoryError } from "../words/failure.ts";
import { versionLine } from "../words/version.ts";
import { usageError } from "./command-line.ts";
import { openOwnUpdater } from "./own-updater.ts";
import { lookAround, type ThisProcess } from "./this-process.ts";

export interface UpdateArgs extends BaseArgs {
  check?: boolean;
  now?: boolean;
  to?: string;
  rollback?: boolean;
  retry?: boolean;
  "allow-downgrade"?: boolean;
}

const noMirror: Config["update"] = { mode: "off", url: null, channel: "stable", window: null, pin: null };

export async function updateFactory(here: ThisProcess, args: UpdateArgs): Promise<number> {
  const asked = [args.check === true, args.now === true || args.to !== undefined, args.rollback === true];
  if (asked.filter(Boolean).length > 1)
    throw usageError("update takes one of --check, --now or --to, and --rollback");
  await refuseOthersPrefix(here);
  const surroundings = await lookAround(here);
  const base = findBase(args, surroundings);
  // The new version may be refusing the configuration.
  const update = args.rollback === true ? noMirror : readConfigWithoutToken(base, surroundings).update;
  const interrupted = new AbortController();
  here.once("SIGINT", () => interrupted.abort());
  const progress = openProgress(here);
  const own = openOwnUpdater(
    here,
    { config: { update }, base },
    {
      report: here.print,
      onProgress: progress.show,
      signal: interrupted.signal,
    },
  );
  if (own === null) {
    throw new FactoryError(`Cannot update ${here.executable}: it is not in a prefix that install.sh made`, {
      hint: "install.sh installs this program so that it can keep itself current",
    });
  }
  const { updater } = own;
  const follow = async (version: string): Promise<number> => {
    const isRunning = await isFactoryRunning(base.database, here.files.isThere);
    here.print(
      isRunning
        ? `the running factory hands over to ${version} within seconds; its jobs run on`
        : `no factory is running: the next start runs ${version}`,
    );
    return 0;
  };
  if (args.rollback === true) {
    const { from, to } = await updater.rollBack("an operator rolled it back");
    here.print(`${from} is rolled back; it is tried again only with --retry`);
    return await follow(to);
  }
  const wish = {
    wanted: args.to ?? update.pin,
    allowDowngrade: args["allow-downgrade"] === true,
    retry: args.retry === true,
  };
  if (args.now !== true && args.to === undefined) {
    await lookForUpdate(updater, wish, here.print);
    return 0;
  }
  const version = await updater.install(wish).finally(progress.end);
  if (version === null) {
    here.print(`${versionLine()} ${wish.wanted === null ? "is the newest" : "runs already"}`);
    return 0;
  }
  return await follow(version);
}

/** The owner's factory could not replace files that root writes there. */
async function refuseOthersPrefix({ executable, durableFiles, uid }: ThisProcess): Promise<void> {
  const prefix = placeOf(executable)?.prefix;
  const owner = prefix === undefined ? null : await durableFiles.owner(prefix);
  if (uid !== 0 || owner === null || owner === 0) return;
  throw new FactoryError(`Cannot update ${prefix}: it belongs to the user with the id ${owner}`, {
    hint: `Run this as that user: sudo -u '#${owner}' -H ...`,
  });
}

/** Prints what can be installed. */
export async function lookForUpdate(
  updater: Pick<Updater, "check">,
  wish: Wish,
  print: (line: string) => void,
): Promise<void> {
  print(`${versionLine()} runs`);
  const offer = await updater.check(wish).catch((error: unknown) => {
    if (error instanceof RolledBackHere) return error;
    throw error;
  });
  if (offer instanceof RolledBackHere) print(offer.message);
  else if (offer === null) print("there is nothing newer");
  else print(`${offer.release.version} can be installed: --now${wish.retry ? " --retry" : ""} does it`);
}

/** Bytes and time left on one line of a terminal; nothing in a log. */
function openProgress({ clock, errors }: ThisProcess): {
  show(done: number, all: number): void;
  end(): void;
} {
  let shownMs = 0;
  let first: { atMs: number; done: number } | null = null;
  return {
    show: (done, all) => {
      const nowMs = clock.uptimeMs();
      first ??= { atMs: nowMs, done };
      if (!errors.isTerminal || (nowMs - shownMs < 200 && done < all)) return;
      shownMs = nowMs;
      const rate = (done - first.done) / Math.max(1, nowMs - first.atMs);
      const left = rate === 0 ? "" : `, ${Math.ceil((all - done) / rate / 1000)} s left`;
      errors.write(`\r\u001B[K  ${(done / 1e6).toFixed(1)} of ${(all / 1e6).toFixed(1)} MB${left}`);
    },
    end: () => {
      if (errors.isTerminal && first !== null) errors.write("\r\u001B[K");
    },
  };
}
