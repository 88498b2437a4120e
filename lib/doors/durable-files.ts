/** The door to files that must be whole after a power cut: each change is on the disk when its call resolves. */
import { randomUUID } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import {
  chmod,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  statfs,
  symlink,
} from "node:fs/promises";
import { dirname } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { sha256 } from "./files.ts";

/** What a person may read and start; secrets do not belong here. */
export interface DurableFiles {
  readBytes(path: string): Promise<Uint8Array | null>;
  /** Names in a directory, in byte order; empty if there is none. */
  list(path: string): Promise<string[]>;
  /** What a symbolic link names; null: it is not a link, or not there. */
  readLink(path: string): Promise<string | null>;
  /** Bytes of a file; null if there is none. */
  size(path: string): Promise<number | null>;
  /** The id of the user who owns a file; null if there is none. */
  owner(path: string): Promise<number | null>;
  /** SHA-256 of a file as it is read from the disk, in hex. */
  sha256(path: string): Promise<string>;
  /** A file's bytes from `offset` on. */
  readParts(path: string, offset: number): AsyncIterable<Uint8Array>;
  /** Throws an Error with code `ERR_TOO_LONG` once more than `maxBytes` come out. */
  unpack(from: string, to: string, maxBytes: number): Promise<void>;
  makeDirectory(path: string): Promise<void>;
  /** A file, whole or not at all: written beside its name, then renamed over it. */
  write(path: string, content: string | Uint8Array, mode: number): Promise<void>;
  /** A symbolic link, replaced by one rename. */
  setLink(path: string, target: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  setMode(path: string, mode: number): Promise<void>;
  /** Removes a file, or a directory and all in it. */
  remove(path: string): Promise<void>;
  /** Opens a file to write from `offset` on; what was behind it is cut off. Its bytes are on the disk once it is closed. */
  openAt(
    path: string,
    offset: number,
  ): Promise<{ write(bytes: Uint8Array): Promise<void>; close(): Promise<void> }>;
  /** What a user may still write on the file system of `path`. */
  freeBytes(path: string): Promise<number>;
}

export function openDurableFiles(): DurableFiles {
  return {
    readBytes: async (path) => await orNull(async () => new Uint8Array(await readFile(path))),
    list: async (path) => ((await orNull(() => readdir(path))) ?? []).toSorted(),
    readLink: async (path) => await orNull(() => readlink(path)),
    size: async (path) => (await orNull(() => lstat(path)))?.size ?? null,
    owner: async (path) => (await orNull(() => lstat(path)))?.uid ?? null,
    sha256,
    readParts: (path, offset) => createReadStream(path, { start: offset }) as AsyncIterable<Uint8Array>,
    unpack: async (from, to, maxBytes) => {
      await rm(to, { force: true });
      await pipeline(
        createReadStream(from),
        createGunzip(),
        upTo(maxBytes),
        createWriteStream(to, { flags: "wx" }),
      );
      await sync(to);
    },
    makeDirectory: async (path) => {
      if ((await mkdir(path, { recursive: true, mode: 0o755 })) !== undefined) await chmod(path, 0o755);
      await sync(dirname(path));
    },
    write: async (path, content, mode) => {
      const draft = draftOf(path);
      try {
        await writeDraft(draft, content, mode);
        await renameDurably(draft, path);
      } catch (error) {
        // A full disk would get one more each time.
        await rm(draft, { force: true }).catch(() => undefined);
        throw error;
      }
    },
    setLink: async (path, target) => {
      const draft = draftOf(path);
      await symlink(target, draft);
      await renameDurably(draft, path);
    },
    rename: renameDurably,
    setMode: async (path, mode) => {
      await chmod(path, mode);
      await sync(path);
    },
    remove: async (path) => await rm(path, { recursive: true, force: true }),
    openAt: async (path, offset) => {
      const file = await open(path, offset === 0 ? "w" : "r+", 0o644);
      await file.truncate(offset);
      let at = offset;
      return {
        write: async (bytes) => {
          for (let done = 0; done < bytes.byteLength;) {
            const { bytesWritten } = await file.write(bytes, done, bytes.byteLength - done, at);
            done += bytesWritten;
            at += bytesWritten;
          }
        },
        close: async () => {
          try {
            await file.sync();
          } finally {
            await file.close();
          }
        },
      };
    },
    freeBytes: async (path) => {
      const { bavail, bsize } = await statfs(path);
      return bavail * bsize;
    },
  };
}

function upTo(maxBytes: number): (parts: AsyncIterable<Uint8Array>) => AsyncGenerator<Uint8Array> {
  return async function* count(parts) {
    let seen = 0;
    for await (const part of parts) {
      seen += part.byteLength;
      if (seen > maxBytes)
        throw Object.assign(new Error(`more than ${maxBytes} bytes`), { code: "ERR_TOO_LONG" });
      yield part;
    }
  };
}

/** Two may write at once. */
const draftOf = (path: string): string => `${path}.${randomUUID().slice(0, 8)}.new`;

async function writeDraft(draft: string, content: string | Uint8Array, mode: number): Promise<void> {
  const file = await open(draft, "wx", mode);
  try {
    await file.writeFile(content);
    // The umask of the process does not count.
    await file.chmod(mode);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  await sync(dirname(to));
  if (dirname(from) !== dirname(to)) await sync(dirname(from));
}

async function sync(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

const absent = ["ENOENT", "EINVAL", "ENOTDIR"];

/** `EINVAL` is readlink's word for a file that is not a link. */
async function orNull<T>(read: () => Promise<T>): Promise<T | null> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof Error && "code" in error && absent.includes(String(error.code))) return null;
    throw error;
  }
}
