/**
 * Downloads an artifact into staging. Its size is limited to what the signed manifest says, a cut download is resumed, and the
 * file is trusted only by its hash as read back from the disk. It must not know what it is downloaded for.
 */
import type { DurableFiles } from "../doors/durable-files.ts";
import { errorText, FactoryError, isRefusedBySystem } from "../words/failure.ts";
import type { Artifact } from "./manifest.ts";
import type { Mirror } from "./mirror.ts";

/** Give up a mirror that cuts this many replies in a row before so many bytes have come. */
const mostCuts = 5;
const worthACut = 1_000_000;
/** Other programs need some of the disk meanwhile. */
const spareBytes = 50_000_000;

export interface Downloading {
  artifact: Artifact;
  mirror: Mirror;
  files: DurableFiles;
  /** A directory on the file system of the prefix. */
  staging: string;
  signal: AbortSignal;
  onProgress(doneBytes: number, allBytes: number): void;
}

/** Resolves with the path of the signed executable in staging. Throws a FactoryError, or the system's error if it cannot write. */
export async function download(downloading: Downloading): Promise<string> {
  const { artifact, files, staging } = downloading;
  const name = `${staging}/${artifact.sha256.slice(0, 16)}`;
  const [packed, executable] = [`${name}.part`, `${name}.executable`];
  await files.makeDirectory(staging);
  if (!(await isWhole(files, executable, artifact.executable))) {
    await needRoom(downloading, (await files.size(packed)) ?? 0);
    if (!(await isWhole(files, packed, artifact))) await fetchPacked(downloading, packed);
    await unpack(downloading, packed, executable);
  }
  await files.remove(packed);
  return executable;
}

async function isWhole(
  files: DurableFiles,
  path: string,
  { size, sha256 }: { size: number; sha256: string },
): Promise<boolean> {
  return (await files.size(path)) === size && (await files.sha256(path)) === sha256;
}

async function needRoom({ artifact, files, staging }: Downloading, have: number): Promise<void> {
  const needed = artifact.size - Math.min(have, artifact.size) + artifact.executable.size + spareBytes;
  const free = await files.freeBytes(staging);
  if (free >= needed) return;
  throw new FactoryError(`Cannot get the new version: ${staging} has ${inMegabytes(free)} free`, {
    hint: `It needs ${inMegabytes(needed)}; \`df -h ${staging}\` shows the disk`,
  });
}

async function fetchPacked(downloading: Downloading, path: string): Promise<void> {
  const { artifact, files, signal } = downloading;
  const sizeNow = async (): Promise<number> => (await files.size(path)) ?? 0;
  let cuts = 0;
  let size = 0;
  while (size < artifact.size) {
    const there = await sizeNow();
    const before = there < artifact.size ? there : 0;
    const fault = await fetchRest(downloading, path, before).then(
      () => null,
      (error: unknown) => (error instanceof Error ? error : new Error(errorText(error))),
    );
    size = await sizeNow();
    const gained = size - before;
    cuts = gained >= worthACut ? 0 : cuts + 1;
    const isOver = gained <= 0 || cuts >= mostCuts || signal.aborted || isRefusedBySystem(fault);
    if (size < artifact.size && isOver) {
      throw fault ?? notTheSigned(artifact, `it ends after ${size} of ${artifact.size} bytes`);
    }
  }
  if (await isWhole(files, path, artifact)) return;
  await files.remove(path);
  const why = size === artifact.size ? "its hash is another" : `it has more than ${artifact.size} bytes`;
  throw notTheSigned(artifact, why);
}

/** Writes what comes, and stops after the part that exceeds the signed size. */
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

async function unpack({ artifact, files }: Downloading, packed: string, executable: string): Promise<void> {
  try {
    await files.unpack(packed, executable, artifact.executable.size);
    if (await isWhole(files, executable, artifact.executable)) return;
  } catch (error) {
    await files.remove(executable);
    if (isRefusedBySystem(error)) throw error;
    throw notTheSigned(artifact, `it cannot be unpacked: ${errorText(error)}`);
  }
  await files.remove(executable);
  throw notTheSigned(artifact, "unpacked, it is another file");
}

function notTheSigned({ path }: Artifact, why: string): FactoryError {
  return new FactoryError(`Cannot use ${path} of the mirror: ${why}, which is not what was signed`, {
    hint: "The mirror is out of date, broken or not to be trusted: try another one (update.url)",
  });
}

const inMegabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;
