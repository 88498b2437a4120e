/**
 * The steps to a new version: check, download, verify, self-test, place, switch. Each leaves what it did on the disk, and may be
 * the last: the next run goes on from there. It must not know who asks, a job or the daemon's loop.
 */
import type { Clock } from "../doors/clock.ts";
import type { DurableFiles } from "../doors/durable-files.ts";
import type { Http } from "../doors/http.ts";
import type { Processes } from "../doors/processes.ts";
import { FactoryError } from "../words/failure.ts";
import { asFactoryError, download } from "./download.ts";
import { type Artifact, chooseRelease, mostManifestBytes, readManifest, type Release } from "./manifest.ts";
import { openMirror } from "./mirror.ts";
import type { Places } from "./places.ts";
import { runSelfTest } from "./self-test.ts";
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
  /** Where that is set. */
  configPath: string;
  channel: string;
  /** What a version must know of the tables to open the database as it is, and what this one knows. */
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
  /** Gets it, tries it and puts it in its place; resolves with its version. Nothing is started by it yet. */
  prepare(wish: Wish): Promise<string | null>;
  /** The next start runs it, on trial. */
  switchTo(version: string): Promise<void>;
  /** `prepare` and `switchTo` in one. */
  install(wish: Wish): Promise<string | null>;
  /** As places.ts does it. */
  rollBack(reason: string): Promise<{ from: string; to: string }>;
  /** Ends what a kill left half done, unless an update is under way. */
  settle(): Promise<void>;
  /** Removes what is neither started nor about to be, unless an update is under way. */
  prune(): Promise<void>;
  state(): Promise<UpdateState>;
  remember(changes: Partial<UpdateState>): Promise<void>;
}

export function openUpdater(options: UpdaterOptions): Updater {
  const { places, files, clock, running, target, report, signal } = options;
  const { prefix, staging } = places;
  const state = async (): Promise<UpdateState> => await readState(files, prefix);
  const remember = async (changes: Partial<UpdateState>): Promise<void> =>
    await writeState(files, prefix, changes);
  const now = (): string => new Date(clock.wallMs()).toISOString();

  async function check({ wanted, allowDowngrade, retry }: Wish): Promise<Offer | null> {
    const { url } = options;
    if (url === null) {
      throw new FactoryError("Cannot look for a new version: update.url is not set", {
        hint: `Set it in ${options.configPath} to where releases are: a static server, or a directory such as a mounted stick`,
      });
    }
    const mirror = openMirror({ ...options, url });
    const manifest = await mirror.readAll("manifest.json", mostManifestBytes);
    const signature = await mirror.readAll("manifest.sig", mostSignatureBytes);
    const { sequence: lastSequence } = await state();
    const read = readManifest({ ...options, manifest, signature, lastSequence, wallMs: clock.wallMs() });
    if (!read.ok) throw refused(url, read.reason);
    if (read.value.sequence > lastSequence) await remember({ sequence: read.value.sequence });
    const bad = new Set<string>();
    for (const { version } of read.value.releases) {
      if (!retry && (await places.mark(version))?.kind === "bad") bad.add(version);
    }
    const isBad = (version: string): boolean => bad.has(version);
    const chosen = chooseRelease(read.value, {
      running,
      target,
      database: options.database(),
      wanted,
      allowDowngrade,
      isBad,
    });
    if (!chosen.ok) {
      if (chosen.refusal === "bad") throw new RolledBackHere(url, chosen.reason);
      throw refused(url, chosen.reason);
    }
    const offered = chosen.value?.release.version ?? null;
    await remember({ checkedAt: now(), offered, failure: null });
    return chosen.value === null ? null : { ...chosen.value, signed: { manifest, signature } };
  }

  const takeTurn = async (): Promise<{ release(): void }> => {
    // A prefix that cannot be written is noticed before anything is fetched.
    await remember({});
    await files.makeDirectory(staging);
    const lock = options.takeLock();
    if (lock !== null) return lock;
    throw new FactoryError("Cannot update: another update or installation is under way", {
      hint: "Wait for it to end",
      exitCode: 75,
    });
  };

  /** Nobody else changes the prefix meanwhile. */
  async function alone<T>(work: () => Promise<T>): Promise<T> {
    const lock = await takeTurn();
    try {
      return await work();
    } finally {
      lock.release();
    }
  }

  async function prepare(wish: Wish): Promise<string | null> {
    await places.settle();
    const offer = await check(wish);
    if (offer === null) {
      // What waits for its window may have been revoked.
      await remember({ ready: null });
      return null;
    }
    const { version } = offer.release;
    const { sha256 } = offer.artifact.executable;
    const isThere = await places.isPlaced(version, sha256);
    const executable = isThere ? places.executableOf(version) : await fetch(offer);
    await tryOut(executable, offer);
    if (!isThere) await places.place({ version, executable, sha256, signed: offer.signed });
    if (wish.retry) await places.clearMark(version);
    await remember({ ready: version });
    return version;
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

  /** A download that is under way does not hold it up for long: it changes no link. */
  async function rollBack(reason: string): Promise<{ from: string; to: string }> {
    const sinceMs = clock.uptimeMs();
    let lock = options.takeLock();
    while (lock === null && clock.uptimeMs() - sinceMs < longestTurnMs) {
      await clock.sleep(200, signal);
      lock = options.takeLock();
    }
    try {
      return await places.rollBack(reason);
    } finally {
      lock?.release();
    }
  }

  async function unlessBusy(work: () => Promise<void>): Promise<void> {
    const lock = options.takeLock();
    if (lock !== null) await work().finally(() => lock.release());
  }

  async function prune(): Promise<void> {
    const { ready } = await state();
    await places.prune(ready === null ? [] : [ready]);
    // What a kill left; install.sh fetches without the lock.
    const left = (await files.list(staging)).filter((name) => !/^install\.\d+$/.test(name));
    for (const name of left) await files.remove(`${staging}/${name}`);
  }

  async function fetch({ release, artifact }: Offer): Promise<string> {
    report(
      `getting ${release.version} (${target}, ${Math.round(artifact.size / 1e6)} MB) from ${options.url}`,
    );
    const mirror = openMirror({ ...options, url: options.url ?? "" });
    const executable = await download({ ...options, artifact, mirror, staging });
    await files.setMode(executable, 0o755);
    return executable;
  }

  async function tryOut(executable: string, { release }: Offer): Promise<void> {
    const { version, commit } = release;
    const failed = await runSelfTest({
      ...options.selfTest,
      executable,
      expected: { version, commit, target },
      processes: options.processes,
      signal,
    });
    if (failed === null) return;
    if (failed.isItsFault && version !== running && (await isHostSound())) {
      await places.markBad(version, failed.error.message);
    }
    throw failed.error;
  }

  /** A version is not blamed for a configuration or database that the running one could not start with, either. */
  async function isHostSound(): Promise<boolean> {
    const argv = [places.executableOf(running), "self-test", "--json", ...options.selfTest.args];
    const { env } = options.selfTest;
    const ran = await options.processes.run({
      argv,
      env,
      cwd: "/",
      timeoutMs: 120_000,
      maxBytes: 65_536,
      signal,
    });
    return ran.ok && ran.exitCode === 0;
  }

  /** What the system refuses is said for people, and every failure is remembered if there is room for it. */
  async function attempt<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const shown = asFactoryError(error, prefix);
      if (shown instanceof FactoryError && !signal.aborted) {
        await remember({ failure: { at: now(), text: shown.message } }).catch(() => undefined);
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

const hint = "The version that runs goes on";
const refused = (url: string, reason: string): FactoryError =>
  new FactoryError(`Cannot update from ${url}: ${reason}`, { hint });

/** The newest version was rolled back on this host. */
export class RolledBackHere extends FactoryError {
  readonly reason: string;

  constructor(url: string, reason: string) {
    super(`Cannot update from ${url}: ${reason}`, { hint });
    this.reason = reason;
  }
}
