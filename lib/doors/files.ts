/** The door to this host's files, for the few that the daemon itself touches. Instance directories are the minder's. */
import { watch } from "node:fs";
import { lstat, readdir, readFile, rm } from "node:fs/promises";

export interface Files {
  /** The file's text, or null where there is none. */
  readText(path: string): Promise<string | null>;
  /** Names in a directory, in byte order; empty where there is none. */
  list(path: string): Promise<string[]>;
  /** Bytes of all files in a directory, links not followed; 0 where there is none. */
  treeBytes(path: string): Promise<number>;
  /** Removes a directory and all in it; links are not followed. */
  removeTree(path: string): Promise<void>;
  /** Calls `onChange` when something in the directory may have changed. Hints only: a missed one must not matter. */
  watch(directory: string, onChange: () => void): { close(): void };
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
    list: async (path) => {
      try {
        return (await readdir(path)).toSorted();
      } catch (error) {
        if (isMissing(error)) return [];
        throw error;
      }
    },
    treeBytes,
    removeTree: async (path) => {
      await rm(path, { recursive: true, force: true });
    },
    watch: (directory, onChange) => {
      try {
        const watcher = watch(directory, () => onChange());
        watcher.on("error", () => watcher.close());
        return watcher;
      } catch {
        return { close: () => undefined };
      }
    },
  };
}

async function treeBytes(path: string): Promise<number> {
  let bytes = 0;
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const inner = `${path}/${entry.name}`;
    if (entry.isDirectory()) bytes += await treeBytes(inner);
    else bytes += (await lstat(inner).catch(() => null))?.size ?? 0;
  }
  return bytes;
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
