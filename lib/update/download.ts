/**
 * An artifact into staging: bounded by what the signed manifest says of it, taken up again after a cut, and believed only by its
 * hash as it is read back from the disk. It must not know why it is wanted.
 */
import type { DurableFiles } from "../doors/durable-files.ts";
import { errorText, FactoryError, isRefusedBySystem } from "../words/failure.ts";
import type { Artifact } from "./manifest.ts";
import type { Mirror } from "./mirror.ts";

/** A mirror that cuts each reply is given up, unless each brought this much. */
const mostCuts = 5;
const worthACut = 1_000_000;
/** What other programs need of the disk meanwhile. */
const roomLeft = 50_000_000;

export interface Downloading {
  artifact: Artifact;
  mirror: Mirror;
  files: DurableFiles;
  /** On the file system of the prefix. */
  staging: string;
  signal: AbortSignal;
  onProgress(doneBytes: number, allBytes: number): void;
}

/** Resolves with the executable's path in staging; it is whole, and the one that was signed. Throws a FactoryError. */
export async function download(downloading: Downloading): Promise<string> {
  const { artifact, files, staging } = downloading;
  const name = `${staging}/${artifact.sha256.slice(0, 16)}`;
  const [packed, executable] = [`${name}.part`, `${name}.executable`];
  return await withRoom(staging, async () => {
    await files.makeDirectory(staging);
    if (await isWhole(files, executable, artifact.executable)) {
      await files.remove(packed);
      return executable;
    }
    await needRoom(downloading, (await files.size(packed)) ?? 0);
    if (!(await isWhole(files, packed, artifact))) await fetchPacked(downloading, packed);
    try {
      await files.unpack(packed, executable, artifact.executable.size);
    } catch (error) {
      if (isRefusedBySystem(error)) throw error;
      throw notTheSigned(artifact, `it cannot be unpacked: ${errorText(error)}`);
    } finally {
      if (!(await isWhole(files, executable, artifact.executable))) await files.remove(executable);
    }
    await files.remove(packed);
    if ((await files.size(executable)) === null) throw notTheSigned(artifact, "unpacked, it is another file");
    return executable;
  });
}

async function isWhole(
  files: DurableFiles,
  path: string,
  { size, sha256 }: { size: number; sha256: string },
): Promise<boolean> {
  return (await files.size(path)) === size && (await files.sha256(path)) === sha256;
}

async function needRoom({ artifact, files, staging }: Downloading, have: number): Promise<void> {
  const needed = artifact.size - Math.min(have, artifact.size) + artifact.executable.size + roomLeft;
  const free = await files.freeBytes(staging);
  if (free >= needed) return;
  throw new FactoryError(`Cannot get the new version: ${staging} has ${inMegabytes(free)} free`, {
    hint: `${inMegabytes(needed)} are needed there; \`df -h ${staging}\` shows the disk`,
  });
}

async function fetchPacked(downloading: Downloading, path: string): Promise<void> {
  const { artifact, files, signal } = downloading;
  let cuts = 0;
  for (;;) {
    const there = (await files.size(path)) ?? 0;
    const before = there < artifact.size ? there : 0;
    const fault = await fetchRest(downloading, path, before).then(
      () => null,
      (error: unknown) => (error instanceof Error ? error : new Error(errorText(error))),
    );
    const size = (await files.size(path)) ?? 0;
    if (size >= artifact.size) break;
    const gained = size - before;
    cuts = gained >= worthACut ? 0 : cuts + 1;
    if (gained > 0 && cuts < mostCuts && !signal.aborted && !isRefusedBySystem(fault)) continue;
    throw fault ?? notTheSigned(artifact, `it ends after ${size} of ${artifact.size} bytes`);
  }
  if (await isWhole(files, path, artifact)) return;
  const size = await files.size(path);
  await files.remove(path);
  throw notTheSigned(
    artifact,
    size === artifact.size ? "its hash is another" : `it has more than ${artifact.size} bytes`,
  );
}

/** Writes what comes, until it is more than was signed. */
async function fetchRest(downloading: Downloading, path: string, from: number): Promise<void> {
  const { artifact, mirror, files, signal, onProgress } = downloading;
  const { at, parts } = await mirror.open(artifact.path, from, artifact.size);
  const file = await files.openAt(path, at);
  let size = at;
  try {
    for await (const part of parts) {
      signal.throwIfAborted();
      size += part.byteLength;
      await file.write(part);
      if (size > artifact.size) return;
      onProgress(size, artifact.size);
    }
  } finally {
    await file.close();
  }
}

function notTheSigned({ path }: Artifact, why: string): FactoryError {
  return new FactoryError(`Cannot use ${path} of the mirror: ${why}, which is not what was signed`, {
    hint: "The mirror is stale, broken or not to be trusted: try another one (update.url)",
  });
}

/** What the system says when staging cannot be written, in words for people. */
async function withRoom<T>(staging: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asFactoryError(error, staging);
  }
}

const refusals: Record<string, string> = {
  ENOSPC: "The disk is full: make room and try again; nothing was changed",
  EDQUOT: "This user's quota is used up; nothing was changed",
  EROFS: "The file system is read-only; nothing was changed",
  EACCES: "Run this as the user who owns the prefix",
  EPERM: "Run this as the user who owns the prefix",
};

/** A refusal of the system as an error for people; any other error as it is. */
export function asFactoryError(error: unknown, place: string): unknown {
  if (error instanceof FactoryError || !(error instanceof Error) || !("code" in error)) return error;
  const hint = refusals[String(error.code)];
  return hint === undefined
    ? error
    : new FactoryError(`Cannot write ${place}: ${error.message}`, { hint, cause: error });
}

const inMegabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;
