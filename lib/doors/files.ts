/** The door to this host's files, for the few that the daemon itself touches. Instance directories are the minder's. */
import { createHash } from "node:crypto";
import { constants, createReadStream, watch } from "node:fs";
import { link, lstat, mkdir, mkdtemp, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";

export interface Files {
  /** The file's text, or null if there is none. */
  readText(path: string): Promise<string | null>;
  /** Up to `maxBytes` of a regular file from `offset` on, and its size; null if the file does not exist or is a link. */
  readPiece(
    path: string,
    offset: number,
    maxBytes: number,
  ): Promise<{ bytes: Uint8Array; size: number } | null>;
  /** Names in a directory, in byte order; empty if there is none. */
  list(path: string): Promise<string[]>;
  /** SHA-256 of a file's content, in hex. */
  sha256(path: string): Promise<string>;
  /** Makes a private directory, unless there is one. */
  makePrivate(path: string): Promise<void>;
  /** Removes a directory with its content; does not follow links. */
  removeTree(path: string): Promise<void>;
  /** Whether anything has this name, even a broken link. */
  isThere(path: string): Promise<boolean>;
  /**
   * Writes a file for this user alone, whole or not at all, and makes its directory where there is none.
   * False where something has this name already and is not to be replaced. `keepsAccess`: who may read the file that is replaced
   * may read the new one.
   */
  writePrivate(
    path: string,
    text: string,
    options: { replace: boolean; keepsAccess?: boolean },
  ): Promise<boolean>;
  /** Differs whenever a file was written or replaced; null if there is none or it cannot be looked at. */
  stamp(path: string): Promise<string | null>;
  /**
   * Calls `onChange` when something in the directory may have changed, with its name if that is known. Hints only: a missed one
   * must not matter.
   */
  watch(directory: string, onChange: (name?: string | null) => void): { close(): void };
}

export function openFiles(): Files {
  return {
    readText: async (path) => {
      try {
        return await readFile(path, "utf8");
      } catch (error) {
        if (isMissing(error)) return null;
        throw error;
      }
    },
    readPiece,
    list: async (path) => {
      try {
        return (await readdir(path)).toSorted();
      } catch (error) {
        if (isMissing(error)) return [];
        throw error;
      }
    },
    sha256,
    makePrivate: async (path) => {
      await mkdir(path, { recursive: true, mode: 0o700 });
    },
    removeTree: async (path) => {
      await rm(path, { recursive: true, force: true });
    },
    isThere: async (path) => {
      try {
        await lstat(path);
        return true;
      } catch (error) {
        if (isMissing(error)) return false;
        throw error;
      }
    },
    writePrivate,
    stamp: async (path) => {
      try {
        const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
        return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
      } catch {
        return null;
      }
    },
    watch: (directory, onChange) => {
      try {
        const watcher = watch(directory, (_, name) => onChange(name));
        watcher.on("error", () => watcher.close());
        return watcher;
      } catch {
        return { close: () => undefined };
      }
    },
  };
}

export async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const part of createReadStream(path)) hash.update(part as Buffer);
  return hash.digest("hex");
}

async function readPiece(
  path: string,
  offset: number,
  maxBytes: number,
): Promise<{ bytes: Uint8Array; size: number } | null> {
  try {
    // Opening something else, for example a pipe, may block.
    const seen = await stat(path);
    if (!seen.isFile()) return null;
    if (maxBytes === 0) return { bytes: new Uint8Array(), size: seen.size };
    // A job may leave a link there to what it must not read itself, for example the configuration.
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    await using file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const opened = await file.stat();
    // It may have been replaced just now.
    if (!opened.isFile()) return null;
    const { size } = opened;
    const { buffer, bytesRead } = await file.read(new Uint8Array(maxBytes), 0, maxBytes, offset);
    return { bytes: buffer.subarray(0, bytesRead), size };
  } catch (error) {
    if (isMissing(error) || hasCode(error, "ELOOP")) return null;
    throw error;
  }
}

async function writePrivate(
  path: string,
  text: string,
  { replace, keepsAccess = false }: { replace: boolean; keepsAccess?: boolean },
): Promise<boolean> {
  const directory = dirname(path);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  // A directory of this write's own, beside the file: both are on one file system, and no name is met twice.
  const draftDirectory = await mkdtemp(`${directory}/.${basename(path)}.`);
  try {
    const draft = `${draftDirectory}/${basename(path)}`;
    const file = await open(draft, "wx", 0o600);
    try {
      await file.writeFile(text);
      if (keepsAccess) {
        const { uid, gid, mode } = await stat(path);
        await file.chown(uid, gid);
        await file.chmod(mode & 0o777);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    if (replace) await rename(draft, path);
    else await link(draft, path);
  } catch (error) {
    if (hasCode(error, "EEXIST")) return false;
    throw error;
  } finally {
    await rm(draftDirectory, { recursive: true, force: true });
  }
  const holder = await open(directory, "r");
  try {
    await holder.sync();
  } finally {
    await holder.close();
  }
  return true;
}

function isMissing(error: unknown): boolean {
  return hasCode(error, "ENOENT");
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
