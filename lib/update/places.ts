/**
 * The installed program's directory, the prefix: which versions are in it, which one is started, and which are trusted.
 *
 *     bin/PRODUCT -> ../versions/1.2.0/PRODUCT          what is started; replaced by one rename
 *     bin/PRODUCT.prev -> ../versions/1.1.0/PRODUCT     a roll-back renames it over the first
 *     versions/1.2.0/{PRODUCT,manifest.json,manifest.sig,sha256}   sha256 is written last: with it, the version is whole
 *     staging/                                          what is not whole yet, on the same file system
 *     boot/1.2.0+3                                      on trial, three starts left; libexec/boot counts down by renaming
 *     boot/1.2.0.good, boot/1.2.0.bad                   confirmed; rolled back and not tried again (it holds the reason)
 *     libexec/boot                                      between the supervisor and the executable
 *
 * The power may fail after every step. It must not know where a version comes from.
 */
import type { DurableFiles } from "../doors/durable-files.ts";
import { FactoryError } from "../words/failure.ts";
import { version as running } from "../words/version.ts";
import { type BootMarks, openBootMarks } from "./boot-marks.ts";

export const startsOfTrial = 3;

const { product } = running;

/** A version names a directory, and begins the name of a file in boot/. */
export function isVersionName(text: string): boolean {
  return /^\d{1,6}\.\d{1,6}\.\d{1,6}(?:-[0-9A-Za-z][0-9A-Za-z.-]{0,63})?$/.test(text);
}

export interface StagedRelease {
  version: string;
  /** A file in `staging` with this hash. It is moved. */
  executable: string;
  sha256: string;
  /** The bytes that were signed, and the signature; null: it was built on this host. */
  signed: { manifest: Uint8Array; signature: Uint8Array } | null;
}

/** What an installation makes in each directory of a prefix, in the order of its removal. The last is the prefix itself. */
const made: [directory: string, names: RegExp][] = [
  ["/bin", new RegExp(`^${product}(?:\\.prev)?$`)],
  ["/boot", /^\d+\.\d+\.\d+.*(?:\+\d|\.good|\.bad)$/],
  ["/versions", /^\d+\.\d+\.\d+/],
  ["/libexec", /^boot$/],
  ["/staging", /^(?:install\.\d+|[0-9a-f]{16}\.(?:part|executable)|\d+\.\d+\.\d+.*)$/],
  ["", /^(?:update\.json|install\.lock)$/],
];
/** A file that a kill left beside its name. */
const draftEnding = /\.[0-9a-f]{8}\.new$/;

/** The prefix and version of an installed executable; null: it is not in a prefix. */
export function placeOf(executable: string): { prefix: string; version: string } | null {
  const [, prefix = "", version = "", name] = /^(\/.*)\/versions\/([^/]+)\/([^/]+)$/.exec(executable) ?? [];
  return name === product && isVersionName(version) ? { prefix, version } : null;
}

export interface Places extends BootMarks {
  readonly prefix: string;
  readonly bin: string;
  readonly staging: string;
  /** The script that the supervisor starts. */
  readonly bootScript: string;
  executableOf(version: string): string;
  /** The versions that are whole. */
  versions(): Promise<string[]>;
  /** Whether a version with these bytes is installed; reads them from the disk. `place` repairs a damaged one. */
  isPlaced(version: string, sha256: string): Promise<boolean>;
  /** What `bin` names; null: nothing is installed. */
  current(): Promise<string | null>;
  /** What a roll-back would start; null: nothing to go back to. */
  previous(): Promise<string | null>;
  /** Puts a verified version in its place and starts nothing. False: it was already there. */
  place(release: StagedRelease): Promise<boolean>;
  /** From the next start on, `version` runs: on trial if there is a trusted version to go back to. */
  switchTo(version: string): Promise<void>;
  /** Goes back to the version before, and marks the one that was left as bad. */
  rollBack(reason: string): Promise<{ from: string; to: string }>;
  /** Finishes what a kill or a power cut left half done. */
  settle(): Promise<void>;
  /** Removes versions that are not current, previous, among `keep` or in use by a process. Marks stay. */
  prune(keep: string[]): Promise<void>;
  /** Removes what an installation makes. Anything else in the prefix, which may be /usr/local, stays. */
  removeAll(): Promise<void>;
}

export function openPlaces({ prefix, files }: { prefix: string; files: DurableFiles }): Places {
  const bin = `${prefix}/bin/${product}`;
  const prev = `${bin}.prev`;
  const staging = `${prefix}/staging`;
  const marks = openBootMarks(`${prefix}/boot`, files);
  const { mark, setMark, markBad, clearMark, onTrial } = marks;
  const directoryOf = (version: string): string => `${prefix}/versions/${version}`;
  const executableOf = (version: string): string => `${directoryOf(version)}/${product}`;

  async function named(link: string): Promise<string | null> {
    const version = /^\.\.\/versions\/([^/]+)\//.exec((await files.readLink(link)) ?? "")?.[1];
    return version !== undefined && isVersionName(version) ? version : null;
  }

  async function point(link: string, version: string): Promise<void> {
    await files.setLink(link, `../versions/${version}/${product}`);
  }

  /** Null: it is not whole. */
  async function hashOf(version: string): Promise<string | null> {
    const bytes = await files.readBytes(`${directoryOf(version)}/sha256`);
    return /^[0-9a-f]{64}(?=\s)/.exec(new TextDecoder().decode(bytes ?? new Uint8Array()))?.[0] ?? null;
  }

  async function versions(): Promise<string[]> {
    const names = (await files.list(`${prefix}/versions`)).filter(isVersionName);
    const hashes = await Promise.all(names.map(hashOf));
    return names.filter((_, index) => hashes[index] !== null);
  }

  async function isPlaced(version: string, sha256: string): Promise<boolean> {
    if ((await hashOf(version)) !== sha256) return false;
    const path = executableOf(version);
    if ((await files.size(path)) !== null && (await files.sha256(path)) === sha256) return true;
    // It is no longer whole. Its executable stays until the right one is beside it.
    await files.remove(`${directoryOf(version)}/sha256`);
    return false;
  }

  async function place({ version, executable, sha256, signed }: StagedRelease): Promise<boolean> {
    if (!isVersionName(version)) throw new FactoryError(`Cannot install "${version}": it is not a version`);
    const there = await hashOf(version);
    if (there === sha256) return false;
    if (there !== null) {
      throw new FactoryError(
        `Cannot install ${version}: another build of it is installed, ${there.slice(0, 12)}`,
        { hint: "A release is never changed under its name: build it with another version" },
      );
    }
    const draft = `${staging}/${version}.draft`;
    await files.makeDirectory(`${prefix}/versions`);
    if (!executable.startsWith(`${draft}/`)) await files.remove(draft);
    await files.makeDirectory(draft);
    await files.setMode(executable, 0o755);
    await files.rename(executable, `${draft}/${product}`);
    if (signed !== null) {
      await files.write(`${draft}/manifest.json`, signed.manifest, 0o644);
      await files.write(`${draft}/manifest.sig`, signed.signature, 0o644);
    }
    await files.write(`${draft}/sha256`, `${sha256}  ${product}\n`, 0o644);
    // What is there has no hash, so it is not whole.
    await files.remove(directoryOf(version));
    await files.rename(draft, directoryOf(version));
    return true;
  }

  async function switchTo(version: string): Promise<void> {
    if ((await hashOf(version)) === null)
      throw new FactoryError(`Cannot switch to ${version}: it is not installed`);
    const before = await named(bin);
    if (before === version) return;
    await files.makeDirectory(`${prefix}/bin`);
    const trust = before === null ? null : await mark(before);
    if (before !== null && (trust === null || trust.kind === "good")) await point(prev, before);
    const back = await named(prev);
    const isTrusted = back === null || back === version;
    await setMark(version, isTrusted ? ".good" : `+${startsOfTrial}`);
    // Back from a trial: it must not become its own version before.
    if (back === version) await files.rename(prev, bin);
    else await point(bin, version);
    // The version that was on trial did not fail; its trial ends here.
    if (before !== null && trust?.kind === "trial") await clearMark(before);
  }

  async function rollBack(reason: string): Promise<{ from: string; to: string }> {
    const [from, to] = [await named(bin), await named(prev)];
    if (from === null || to === null) {
      throw new FactoryError("Cannot roll back: no version before this one is installed", {
        hint: "update --to VERSION --allow-downgrade gets an older one",
      });
    }
    // The link first: that works on a full disk, and the next start is right even if nothing else is written.
    await files.rename(prev, bin);
    if (from !== to) await markBad(from, reason);
    return { from, to };
  }

  async function settle(): Promise<void> {
    const current = await named(bin);
    for (const { version, startsLeft } of await onTrial()) {
      if (version === current) continue;
      // A switch was cut short before the first start; or boot rolled it back and could not write the mark.
      if (startsLeft === startsOfTrial) await clearMark(version);
      else await setMark(version, ".bad");
    }
  }

  /** What processes of this host run: another factory of this prefix may run an older version, or jobs of one. */
  async function inUse(): Promise<string[]> {
    const ids = (await files.list("/proc")).filter((name) => /^\d+$/.test(name));
    // A process that has ended, or is another user's, cannot be read.
    const read = ids.map((id) => files.readLink(`/proc/${id}/exe`).catch(() => null));
    const places = (await Promise.all(read)).map((path) => placeOf(path ?? ""));
    return places.flatMap((each) => (each?.prefix === prefix ? [each.version] : []));
  }

  async function prune(keep: string[]): Promise<void> {
    const kept = [...keep, ...(await inUse()), await named(bin), await named(prev)];
    for (const name of await files.list(`${prefix}/versions`)) {
      if (isVersionName(name) && !kept.includes(name)) await files.remove(directoryOf(name));
    }
  }

  async function removeAll(): Promise<void> {
    for (const [directory, names] of made) {
      const path = `${prefix}${directory}`;
      for (const name of await files.list(path)) {
        if (names.test(name.replace(draftEnding, ""))) await files.remove(`${path}/${name}`);
      }
      if ((await files.list(path)).length === 0) await files.remove(path);
    }
  }

  return {
    ...marks,
    prefix,
    bin,
    staging,
    bootScript: `${prefix}/libexec/boot`,
    executableOf,
    versions,
    isPlaced,
    current: async () => await named(bin),
    previous: async () => await named(prev),
    place,
    switchTo,
    rollBack,
    settle,
    prune,
    removeAll,
  };
}
