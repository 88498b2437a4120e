/**
 * The installed program's directory, the prefix: which versions lie there, which of them is started, and which are trusted.
 *
 *     bin/PRODUCT -> ../versions/1.2.0/PRODUCT          what is started; replaced by one rename
 *     bin/PRODUCT.prev -> ../versions/1.1.0/PRODUCT     to roll back is to rename it over the first
 *     versions/1.2.0/{PRODUCT,manifest.json,manifest.sig,sha256}   sha256 is written last: with it, the version is whole
 *     staging/                                          what is not whole yet, on the same file system
 *     boot/1.2.0+3                                      on trial, three starts left; libexec/boot counts down by renaming
 *     boot/1.2.0.good, boot/1.2.0.bad                   confirmed; rolled back and not tried again (it holds the reason)
 *     libexec/boot                                      between the supervisor and the executable
 *
 * Every step may be the last before a power cut. It must not know where a version comes from.
 */
import type { DurableFiles } from "../doors/durable-files.ts";
import { FactoryError, isRefusedBySystem } from "../words/failure.ts";
import { version as running } from "../words/version.ts";

export const startsOfTrial = 3;

const { product } = running;

/** A version's name is the name of a directory, and part of the name of a file in boot/. */
export function isVersionName(text: string): boolean {
  return /^\d{1,6}\.\d{1,6}\.\d{1,6}(?:-[0-9A-Za-z][0-9A-Za-z.-]{0,63})?$/.test(text);
}

/** `startsLeft`: it is on trial. Null: it was never started by this prefix, or it was the first. */
export type Mark =
  | { kind: "good" }
  | { kind: "bad"; reason: string }
  | { kind: "trial"; startsLeft: number }
  | null;

export interface StagedRelease {
  version: string;
  /** A file in `staging`, of which `sha256` is the hash. It is moved. */
  executable: string;
  sha256: string;
  /** The bytes that were signed, and the signature; null: it was built on this host. */
  signed: { manifest: Uint8Array; signature: Uint8Array } | null;
}

export interface Places {
  readonly prefix: string;
  readonly bin: string;
  readonly prev: string;
  readonly staging: string;
  /** The script that the supervisor starts. */
  readonly bootScript: string;
  executableOf(version: string): string;
  /** Those that are whole. */
  versions(): Promise<{ version: string; sha256: string }[]>;
  /** Whether these bytes are there as a version, read from the disk. If it is damaged, `place` puts it right. */
  isPlaced(version: string, sha256: string): Promise<boolean>;
  /** What `bin` names; null: nothing is installed. */
  current(): Promise<string | null>;
  /** What a roll-back would start; null: there is none. */
  previous(): Promise<string | null>;
  mark(version: string): Promise<Mark>;
  /** Puts a verified version in its place; nothing is started by it yet. False: the same bytes were there. */
  place(release: StagedRelease): Promise<boolean>;
  /** From the next start on, `version` is run: on trial if one that is trusted was there before it. */
  switchTo(version: string): Promise<void>;
  /** Goes back to the version before, and marks the one that was left as bad. Resolves with both. */
  rollBack(reason: string): Promise<{ from: string; to: string }>;
  markGood(version: string): Promise<void>;
  markBad(version: string, reason: string): Promise<void>;
  /** It may be tried again. */
  clearMark(version: string): Promise<void>;
  /** Ends what a kill or a power cut left half done. */
  settle(): Promise<void>;
  /** Removes versions that are not current, previous, among `keep` or in use by a process. Marks stay. */
  prune(keep: string[]): Promise<void>;
  /** Removes all that was made here; what else is in the prefix, which may be /usr/local, stays. */
  removeAll(): Promise<void>;
}

/** What is made in each directory of a prefix, in the order in which it goes. The last is the prefix itself. */
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

/** The prefix and version of an installed executable; null: it was not started from a prefix. */
export function placeOf(executable: string): { prefix: string; version: string } | null {
  const [, prefix = "", version = "", name] = /^(\/.*)\/versions\/([^/]+)\/([^/]+)$/.exec(executable) ?? [];
  return name === product && isVersionName(version) ? { prefix, version } : null;
}

export function openPlaces({ prefix, files }: { prefix: string; files: DurableFiles }): Places {
  const bin = `${prefix}/bin/${product}`;
  const prev = `${bin}.prev`;
  const staging = `${prefix}/staging`;
  const boot = `${prefix}/boot`;
  const directoryOf = (version: string): string => `${prefix}/versions/${version}`;
  const executableOf = (version: string): string => `${directoryOf(version)}/${product}`;

  const named = async (link: string): Promise<string | null> => {
    const version = /^\.\.\/versions\/([^/]+)\//.exec((await files.readLink(link)) ?? "")?.[1];
    return version !== undefined && isVersionName(version) ? version : null;
  };
  const current = async (): Promise<string | null> => await named(bin);
  const point = async (link: string, version: string): Promise<void> =>
    await files.setLink(link, `../versions/${version}/${product}`);

  const hashOf = async (version: string): Promise<string | null> => {
    const bytes = await files.readBytes(`${directoryOf(version)}/sha256`);
    return bytes === null ? null : (/^[0-9a-f]{64}(?=\s)/.exec(text(bytes))?.[0] ?? null);
  };

  /** The files in boot/ that speak of a version, with what each says. */
  async function marks(version: string): Promise<{ name: string; says: "good" | "bad" | number }[]> {
    const names = (await files.list(boot)).filter((name) => name.startsWith(version));
    return names.flatMap<{ name: string; says: "good" | "bad" | number }>((name) => {
      const [, good, bad, left] = /^(?:(\.good)|(\.bad)|\+(\d))$/.exec(name.slice(version.length)) ?? [];
      if (good !== undefined) return [{ name, says: "good" }];
      if (bad !== undefined) return [{ name, says: "bad" }];
      return left === undefined ? [] : [{ name, says: Number(left) }];
    });
  }

  async function mark(version: string): Promise<Mark> {
    const found = await marks(version);
    if (found.some(({ says }) => says === "bad")) {
      return {
        kind: "bad",
        reason: text((await files.readBytes(`${boot}/${version}.bad`)) ?? new Uint8Array()).trim(),
      };
    }
    if (found.some(({ says }) => says === "good")) return { kind: "good" };
    const counts = found.map(({ says }) => Number(says));
    return counts.length > 0 ? { kind: "trial", startsLeft: Math.min(...counts) } : null;
  }

  /** By renaming the mark that is there: that works on a full disk. */
  async function setMark(version: string, ending: ".good" | ".bad" | `+${number}`): Promise<void> {
    const kept = `${version}${ending}`;
    await files.makeDirectory(boot);
    const [first, ...others] = (await marks(version)).map(({ name }) => name);
    if (first === undefined) await files.write(`${boot}/${kept}`, "", 0o644);
    else if (first !== kept) await files.rename(`${boot}/${first}`, `${boot}/${kept}`);
    for (const name of others) if (name !== kept) await files.remove(`${boot}/${name}`);
  }

  async function markBad(version: string, reason: string): Promise<void> {
    await setMark(version, ".bad");
    try {
      await files.write(`${boot}/${version}.bad`, `${reason}\n`, 0o644);
    } catch (error) {
      // The mark counts; its text finds no room on a full disk.
      if (!isRefusedBySystem(error)) throw error;
    }
  }

  async function clearMark(version: string): Promise<void> {
    for (const { name } of await marks(version)) await files.remove(`${boot}/${name}`);
  }

  async function versions(): Promise<{ version: string; sha256: string }[]> {
    const names = (await files.list(`${prefix}/versions`)).filter(isVersionName);
    const found = await Promise.all(
      names.map(async (version) => ({ version, sha256: await hashOf(version) })),
    );
    return found.flatMap(({ version, sha256 }) => (sha256 === null ? [] : [{ version, sha256 }]));
  }

  async function isPlaced(version: string, sha256: string): Promise<boolean> {
    if ((await hashOf(version)) !== sha256) return false;
    const path = executableOf(version);
    if ((await files.size(path)) !== null && (await files.sha256(path)) === sha256) return true;
    // It is whole no more; its executable stays until the right one is beside it.
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
        {
          hint: "A release is never changed under its name: build it with another version",
        },
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
    // Without its hash, it was never whole.
    await files.remove(directoryOf(version));
    await files.rename(draft, directoryOf(version));
    return true;
  }

  async function switchTo(version: string): Promise<void> {
    if ((await hashOf(version)) === null)
      throw new FactoryError(`Cannot switch to ${version}: it is not installed`);
    const before = await current();
    if (before === version) return;
    await files.makeDirectory(`${prefix}/bin`);
    const isTrusted = before !== null && ["good", undefined].includes((await mark(before))?.kind);
    if (isTrusted) await point(prev, before);
    if ((await named(prev)) === null) await setMark(version, ".good");
    else await setMark(version, `+${startsOfTrial}`);
    await point(bin, version);
    // It did not fail its trial, which ends here.
    if (before !== null && (await mark(before))?.kind === "trial") await clearMark(before);
  }

  async function rollBack(reason: string): Promise<{ from: string; to: string }> {
    const [from, to] = [await current(), await named(prev)];
    if (from === null || to === null) {
      throw new FactoryError("Cannot roll back: no version before this one is installed", {
        hint: "update --to VERSION --allow-downgrade gets an older one",
      });
    }
    // The link first: it works on a full disk, and what is started next is right even if nothing else is written.
    await files.rename(prev, bin);
    if (from !== to) await markBad(from, reason);
    return { from, to };
  }

  /** What processes of this host run: another factory of this prefix may have an older version, or jobs of one. */
  async function inUse(): Promise<string[]> {
    const ids = (await files.list("/proc")).filter((name) => /^\d+$/.test(name));
    // One that ended meanwhile, or is another user's, cannot be read.
    const read = ids.map((id) => files.readLink(`/proc/${id}/exe`).catch(() => null));
    const places = (await Promise.all(read)).map((path) => placeOf(path ?? ""));
    return places.flatMap((place) => (place?.prefix === prefix ? [place.version] : []));
  }

  async function settle(): Promise<void> {
    const now = await current();
    for (const name of await files.list(boot)) {
      const [, version = "", left = ""] = /^(.+)\+(\d)$/.exec(name) ?? [];
      if (version === "" || version === now) continue;
      // Not started by a switch that was cut short; or started, and rolled back without a mark.
      if (Number(left) === startsOfTrial) await files.remove(`${boot}/${name}`);
      else await files.rename(`${boot}/${name}`, `${boot}/${version}.bad`);
    }
  }

  return {
    prefix,
    bin,
    prev,
    staging,
    bootScript: `${prefix}/libexec/boot`,
    executableOf,
    versions,
    isPlaced,
    current,
    previous: async () => await named(prev),
    mark,
    place,
    switchTo,
    rollBack,
    markGood: async (version) => await setMark(version, ".good"),
    markBad,
    clearMark,
    settle,
    prune: async (keep) => {
      const kept = [...keep, ...(await inUse()), await current(), await named(prev)];
      for (const name of await files.list(`${prefix}/versions`)) {
        if (isVersionName(name) && !kept.includes(name)) await files.remove(directoryOf(name));
      }
    },
    removeAll: async () => {
      for (const [directory, names] of made) {
        const path = `${prefix}${directory}`;
        for (const name of await files.list(path)) {
          if (names.test(name.replace(draftEnding, ""))) await files.remove(`${path}/${name}`);
        }
        if ((await files.list(path)).length === 0) await files.remove(path);
      }
    },
  };
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
