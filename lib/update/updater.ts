/**
 * The steps to a new version: check, download, verify, self-test, place, switch. Each leaves its result on the disk, and a kill may
 * follow it: the next run goes on from there. It must not know whether an operator or the daemon's loop asks.
 */
import type { Clock } from "../doors/clock.ts";
import type { DurableFiles } from "../doors/durable-files.ts";
import type { Http } from "../doors/http.ts";
import type { Processes } from "../doors/processes.ts";
import { FactoryError } from "../words/failure.ts";
import { download } from "./download.ts";
import { type Artifact, chooseRelease, mostManifestBytes, readManifest, type Release } from "./manifest.ts";
import { type Mirror, openMirror } from "./mirror.ts";
import type { Places } from "./places.ts";
import { asFactoryError } from "./refusal.ts";
import { isHostSound, runSelfTest } from "./self-test.ts";
import { readState, type UpdateState, writeState } from "./state.ts";

const mostSignatureBytes = 4096;
const longestTurnMs = 10_000;

export interface UpdaterOptions {
  places: Places;
  files: DurableFiles;
  http: Pick<Http, "download">;
  processes: Pick<Processes, "run">;
  clock: Clock;
  keys: readonly string[];
  running: string;
  target: string;
  /** `update.url`. */
  url: string | null;
  /** The file that sets it. */
  configPath: string;
  channel: string;
  /** The tables' version that a program must know to open the database as it is, and the one that this program knows. */
  database(): { least: number; knows: number };
  selfTest: { args: string[]; env: Record<string, string> };
  /** Null: another update of this prefix is under way. */
  takeLock(): { release(): void } | null;
  /** One line for each step. */
  report(line: string): void;
  onProgress(doneBytes: number, allBytes: number): void;
  signal: AbortSignal;
}

export interface Wish {
  /** Null: the newest. */
  wanted: string | null;
  allowDowngrade: boolean;
  /** Also a version that was rolled back here. */
  retry: boolean;
}

export interface Offer {
  release: Release;
  artifact: Artifact;
  signed: { manifest: Uint8Array; signature: Uint8Array };
}

export interface Updater {
  /** What the mirror has for this host; null: nothing newer. Throws a FactoryError. */
  check(wish: Wish): Promise<Offer | null>;
  /** Downloads, tests and places a version, and starts nothing. Resolves with the version; null: nothing newer. */
  prepare(wish: Wish): Promise<string | null>;
  /** The next start runs it, on trial. */
  switchTo(version: string): Promise<void>;
  /** `prepare` and `switchTo` in one. */
  install(wish: Wish): Promise<string | null>;
  /** As places.ts does it. */
  rollBack(reason: string): Promise<{ from: string; to: string }>;
  /** Finishes what a kill left half done, unless an update is under way. */
  settle(): Promise<void>;
  /** Removes what is not started and not about to be, unless an update is under way. */
  prune(): Promise<void>;
  state(): Promise<UpdateState>;
  remember(changes: Partial<UpdateState>): Promise<void>;
}

/** The newest version was rolled back on this host. */
export class RolledBackHere extends FactoryError {}

export function openUpdater(options: UpdaterOptions): Updater {
  const { places, files, clock, running, target, report, signal, takeLock } = options;
  const { prefix, staging } = places;
  const state = async (): Promise<UpdateState> => await readState(files, prefix);
  const remember = async (changes: Partial<UpdateState>): Promise<void> =>
    await writeState(files, prefix, changes);
  const now = (): string => new Date(clock.wallMs()).toISOString();

  function openSource(): Mirror {
    const { url, configPath } = options;
    if (url !== null) return openMirror({ ...options, url });
    throw new FactoryError("Cannot look for a new version: update.url is not set", {
      hint: `Set it in ${configPath} to where releases are: a static server, or a directory such as a mounted stick`,
    });
  }

  async function check({ wanted, allowDowngrade, retry }: Wish): Promise<Offer | null> {
    const mirror = openSource();
    const manifest = await mirror.readAll("manifest.json", mostManifestBytes);
    const signature = await mirror.readAll("manifest.sig", mostSignatureBytes);
    const { sequence: lastSequence } = await state();
    const hint = "The running version goes on";
    const refused = (reason: string): FactoryError =>
      new FactoryError(`Cannot update from ${options.url}: ${reason}`, { hint });
    const read = readManifest({ ...options, manifest, signature, lastSequence, wallMs: clock.wallMs() });
    if (!read.ok) throw refused(read.reason);
    if (read.value.sequence > lastSequence) await remember({ sequence: read.value.sequence });
    const bad = new Set<string>();
    for (const { version } of read.value.releases) {
      if (!retry && (await places.mark(version))?.kind === "bad") bad.add(version);
    }
    const chosen = chooseRelease(read.value, {
      running,
      target,
      database: options.database(),
      wanted,
      allowDowngrade,
      isBad: (version) => bad.has(version),
    });
    if (!chosen.ok)
      throw chosen.refusal === "bad" ? new RolledBackHere(chosen.reason, { hint }) : refused(chosen.reason);
    await remember({ checkedAt: now(), offered: chosen.value?.release.version ?? null, failure: null });
    return chosen.value === null ? null : { ...chosen.value, signed: { manifest, signature } };
  }

  /** Nothing else changes the prefix meanwhile. */
  async function alone<T>(work: () => Promise<T>): Promise<T> {
    // A prefix that cannot be written is noticed before anything is downloaded.
    await remember({});
    await files.makeDirectory(staging);
    const lock = takeLock();
    if (lock === null) {
      throw new FactoryError("Cannot update: another update or installation is under way", {
        hint: "Wait until it ends",
        exitCode: 75,
      });
    }
    return await work().finally(() => lock.release());
  }

  async function prepare(wish: Wish): Promise<string | null> {
    await places.settle();
    const offer = await check(wish);
    if (offer === null) {
      // A version that waits for its window may have been revoked.
      await remember({ ready: null });
      return null;
    }
    const { release, artifact, signed } = offer;
    const { version } = release;
    const { sha256 } = artifact.executable;
    const isThere = await places.isPlaced(version, sha256);
    const executable = isThere ? places.executableOf(version) : await fetch(offer);
    await tryOut(executable, release);
    if (!isThere) await places.place({ version, executable, sha256, signed });
    if (wish.retry) await places.clearMark(version);
    await remember({ ready: version });
    return version;
  }

  async function fetch({ release, artifact }: Offer): Promise<string> {
    const size = `${Math.round(artifact.size / 1e6)} MB`;
    report(`getting ${release.version} (${target}, ${size}) from ${options.url}`);
    const executable = await download({ ...options, artifact, mirror: openSource(), staging });
    await files.setMode(executable, 0o755);
    return executable;
  }

  async function tryOut(executable: string, { version, commit }: Release): Promise<void> {
    const test = { ...options.selfTest, processes: options.processes, signal };
    const failed = await runSelfTest({ ...test, executable }, { version, commit, target });
    if (failed === null) return;
    // A version is not blamed for a configuration or database that the running version could not use either.
    const isToBlame = failed.isItsFault && version !== running;
    if (isToBlame && (await isHostSound({ ...test, executable: places.executableOf(running) }))) {
      await places.markBad(version, failed.error.message);
    }
    throw failed.error;
  }

  async function switchTo(version: string): Promise<void> {
    await places.switchTo(version);
    await remember({ ready: null });
    const isOnTrial = (await places.mark(version))?.kind === "trial";
    report(`${version} is what the next start runs${isOnTrial ? ", on trial" : ""}`);
  }

  async function install(wish: Wish): Promise<string | null> {
    const version = await prepare(wish);
    if (version !== null) await switchTo(version);
    return version;
  }

  /** Waits for a download only so long: that changes no link. */
  async function rollBack(reason: string): Promise<{ from: string; to: string }> {
    const sinceMs = clock.uptimeMs();
    let lock = takeLock();
    while (lock === null && clock.uptimeMs() - sinceMs < longestTurnMs) {
      await clock.sleep(200, signal);
      lock = takeLock();
    }
    return await places.rollBack(reason).finally(() => lock?.release());
  }

  async function unlessBusy(work: () => Promise<void>): Promise<void> {
    const lock = takeLock();
    if (lock !== null) await work().finally(() => lock.release());
  }

  async function prune(): Promise<void> {
    const { ready } = await state();
    await places.prune(ready === null ? [] : [ready]);
    // What a kill left. install.sh downloads without the lock.
    const left = (await files.list(staging)).filter((name) => !/^install\.\d+$/.test(name));
    for (const name of left) await files.remove(`${staging}/${name}`);
  }

  /** Every failure is remembered, if the disk has room for it. */
  async function attempt<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const shown = asFactoryError(error, prefix);
      // 75: nothing failed, it is another update's turn.
      if (shown instanceof FactoryError && shown.exitCode !== 75 && !signal.aborted) {
        const failure = shown instanceof RolledBackHere ? null : { at: now(), text: shown.message };
        await remember({ failure }).catch(() => undefined);
      }
      throw shown;
    }
  }

  return {
    check: async (wish) => await attempt(() => check(wish)),
    prepare: async (wish) => await attempt(() => alone(() => prepare(wish))),
    install: async (wish) => await attempt(() => alone(() => install(wish))),
    switchTo: async (version) => await attempt(() => alone(() => switchTo(version))),
    rollBack: async (reason) => await attempt(() => rollBack(reason)),
    settle: async () => await unlessBusy(places.settle),
    prune: async () => await unlessBusy(prune),
    state,
    remember,
  };
}
