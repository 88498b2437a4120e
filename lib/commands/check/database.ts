/** What `check` reads in the database of a factory. It leaves no file beside it and judges nothing. */
import { copyFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ConfigSummary } from "../../config/summary.ts";
import type { Health } from "../../words/domain.ts";
import type { Clock } from "../../doors/clock.ts";
import { errorText } from "../../words/failure.ts";
import { tryReading } from "../../store/file.ts";
import { isFactoryRunning, openStoreForReading, type StoreReader } from "../../store/store.ts";
import { limits } from "../../policy/times-and-limits.ts";

export interface Quarantine {
  strikes: number;
  reason: string;
  /** Wall-clock ms. */
  untilMs: number;
}

/** Why the database cannot be used; null: it can, or does not exist. */
export async function tryDatabase(database: string, scratch: string): Promise<string | null> {
  // A running factory has it open.
  if (!(await isFile(database)) || (await isFactoryRunning(database, isThere))) return null;
  const copy = await copyDatabase(database, join(scratch, "database-tried"));
  try {
    tryReading(copy);
    return null;
  } catch (error) {
    return errorText(error).replace(copy, database);
  }
}

/** By testbed. Empty if no factory runs: what an ended factory left is out of date. */
export async function readTroubles(database: string): Promise<Map<string, string>> {
  return await readOfRunning(
    database,
    (store) => new Map([...store.troubles()].map(([testbed, { reason }]) => [testbed, reason])),
    new Map<string, string>(),
  );
}

/** What the running factory has read of its configuration; null: none is running, or it did not say. */
export async function readRunningConfig(database: string): Promise<ConfigSummary | null> {
  return await readOfRunning(database, (store) => store.configSummary(), null);
}

/** Quarantines outlive the factory that imposed them. */
export async function readQuarantines(
  database: string,
  scratch: string,
  clock: Clock,
): Promise<Map<string, Quarantine>> {
  if (!(await isFile(database))) return new Map();
  const isRunning = await isFactoryRunning(database, isThere);
  const path = isRunning ? database : await copyDatabase(database, join(scratch, "database-read"));
  const health = readFrom(path, (store) => store.health(), new Map<string, Health>());
  const nowMs = clock.uptimeMs();
  return new Map(
    [...health]
      .filter(([, { strikes }]) => strikes >= limits.quarantineStrikes)
      .filter(([, { retryAt }]) => retryAt.bootId === clock.bootId && retryAt.uptimeMs > nowMs)
      .map(([testbed, { strikes, reason, retryAt }]) => [
        testbed,
        { strikes, reason, untilMs: clock.wallMs() + retryAt.uptimeMs - nowMs },
      ]),
  );
}

/** Gives `nothing` if no factory runs, because reading would leave files beside the database. */
async function readOfRunning<T>(database: string, read: (store: StoreReader) => T, nothing: T): Promise<T> {
  if (!(await isFile(database)) || !(await isFactoryRunning(database, isThere))) return nothing;
  return readFrom(database, read, nothing);
}

function readFrom<T>(path: string, read: (store: StoreReader) => T, nothing: T): T {
  const store = openStoreForReading(path);
  try {
    return store === null ? nothing : read(store);
  } finally {
    store?.close();
  }
}

async function copyDatabase(database: string, copy: string): Promise<string> {
  await copyFile(database, copy);
  if (await isFile(`${database}-wal`)) await copyFile(`${database}-wal`, `${copy}-wal`);
  return copy;
}

async function isFile(path: string): Promise<boolean> {
  return (await lookAt(path))?.isFile() === true;
}

/** False also for a path through a file. */
export async function isThere(path: string): Promise<boolean> {
  return (await lookAt(path)) !== null;
}

async function lookAt(path: string): Promise<Awaited<ReturnType<typeof stat>> | null> {
  try {
    return await stat(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")) {
      return null;
    }
    throw error;
  }
}
