/** Opens the database of a base: for a factory, or for reading while one may run. */
import type { Clock } from "../doors/clock.ts";
import type { Files } from "../doors/files.ts";
import {
  isFactoryRunning,
  openStore,
  openStoreForReading,
  type Store,
  type StoreReader,
} from "../store/store.ts";
import { directoryName } from "../words/domain.ts";
import { errorText, FactoryError } from "../words/failure.ts";

/** The caller holds its lock. */
export function openOwnStore(path: string, workDirectory: string, clock: Clock): Store {
  return openStore({
    path,
    nowMs: clock.wallMs(),
    directoryOf: (row) => `${workDirectory}/${directoryName(row)}`,
  });
}

/** Null: no factory has made the database yet. */
export async function openForReading(
  path: string,
  files: Pick<Files, "isThere">,
): Promise<StoreReader | null> {
  const isThere = await files.isThere(path).catch((error: unknown) => {
    throw new FactoryError(`Cannot read the database ${path}: ${errorText(error)}`, {
      hint: "Run this as the factory's user",
      cause: error,
    });
  });
  if (!isThere) return null;
  const store = openStoreForReading(path);
  if (store !== null) return store;
  // A factory that has just been started for the first time is making them.
  if (await isFactoryRunning(path, files.isThere)) return null;
  throw new FactoryError(`Cannot read the database ${path}: it has none of this factory's tables`, {
    hint: "This factory takes over a Rust factory's file at its first start; otherwise -d names the wrong file",
  });
}
