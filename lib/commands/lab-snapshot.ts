/** The snapshot of a lab, for each verb that shows one: what the running factory knows, else what the files say. */
import type { Config } from "../config/config.ts";
import { type Base, readConfig, type Surroundings } from "../config/locations.ts";
import { type FactoryClient, mayNotHint, openFactoryClient } from "../control/client.ts";
import { controlSocketOf } from "../control/socket-path.ts";
import type { Clock } from "../doors/clock.ts";
import type { Files } from "../doors/files.ts";
import type { Http } from "../doors/http.ts";
import { countedJobs, PastJobs } from "../status/past-jobs.ts";
import { chooseShown } from "../status/shown-config.ts";
import type { Snapshot } from "../status/snapshot.ts";
import { storedSnapshot } from "../status/stored-snapshot.ts";
import { unreadView } from "../status/testbed-view.ts";
import { isFactoryRunning } from "../store/store.ts";
import { FactoryError } from "../words/failure.ts";
import { intentsInThisBoot } from "../words/intent.ts";
import { redactTexts } from "../words/secret.ts";
import { openForReading } from "./database.ts";

export interface LabDoors {
  http: Http;
  clock: Clock;
  files: Files;
}

export function clientOf({ http }: Pick<LabDoors, "http">, { database }: Base): FactoryClient {
  return openFactoryClient({ http, path: controlSocketOf(database) });
}

/** Null: none is running, or it does not say. */
export async function askFactory(doors: Pick<LabDoors, "http">, base: Base): Promise<Snapshot | null> {
  const asked = await clientOf(doors, base).status();
  return asked.ok ? asked.value : null;
}

/** Throws a FactoryError if neither can be had. */
export async function readSnapshot(
  doors: LabDoors,
  base: Base,
  surroundings: Surroundings,
): Promise<Snapshot> {
  const asked = await clientOf(doors, base).status();
  const config = orFactoryError(() => readConfig(base, surroundings));
  if (asked.ok) return await withFile(asked.value, config, doors, base);
  try {
    const isRunning = await isFactoryRunning(base.database, doors.files.isThere);
    return await readStored(doors, base, config, isRunning ? whySilent(asked) : null);
  } catch (error) {
    if (asked.is !== "may not" || !(error instanceof FactoryError)) throw error;
    throw new FactoryError(`Cannot ask the factory: ${asked.reason}`, { hint: mayNotHint, cause: error });
  }
}

function whySilent({ is, reason }: { is: "nobody" | "may not" | "failed"; reason: string }): string {
  if (is !== "nobody") return reason;
  return "it has no control socket: it is an older version, or is just starting or ending";
}

async function readStored(
  { clock, files }: LabDoors,
  base: Base,
  config: Config | FactoryError,
  whySilent: string | null,
): Promise<Snapshot> {
  const store = await openForReading(base.database, files);
  try {
    const present = {
      now: { bootId: clock.bootId, uptimeMs: clock.uptimeMs() },
      wallMs: clock.wallMs(),
    };
    const past = new PastJobs();
    for (const entry of store?.lastJobs(countedJobs) ?? []) past.take(entry);
    const running = store?.configSummary() ?? null;
    const stored = storedSnapshot({
      ...present,
      config: chooseShown(config, { path: base.config, running, isRunning: whySilent !== null }),
      url: config instanceof FactoryError ? null : config.general.baseurl,
      database: base.database,
      whySilent,
      open: store?.open() ?? [],
      health: store?.health() ?? new Map(),
      intents: intentsInThisBoot(store?.intents() ?? new Map(), present),
      troubles: store?.troubles() ?? new Map(),
      past,
    });
    const secrets = config instanceof FactoryError ? [] : [config.token];
    return redactTexts(stored, secrets);
  } finally {
    store?.close();
  }
}

/**
 * With what the file says that the running factory has not read yet. Whoever may only look can read neither the file nor what the
 * factory has read.
 */
async function withFile(
  live: Snapshot,
  config: Config | FactoryError,
  { files }: LabDoors,
  { config: path, database }: Base,
): Promise<Snapshot> {
  const store = await openForReading(database, files).catch(orThrow);
  const running = store instanceof FactoryError ? null : (store?.configSummary() ?? null);
  if (!(store instanceof FactoryError)) store?.close();
  if (running === null) return live;
  const { unread, remarks } = chooseShown(config, { path, running, isRunning: true });
  const known = new Set(live.testbeds.map(({ testbed }) => testbed));
  return {
    ...live,
    remarks: live.remarks.length > 0 ? live.remarks : remarks,
    testbeds: [...live.testbeds, ...unread.filter(({ name }) => !known.has(name)).map(unreadView)],
  };
}

/** What `read` gives, or the error in the user's files. */
function orFactoryError<T>(read: () => T): T | FactoryError {
  try {
    return read();
  } catch (error) {
    return orThrow(error);
  }
}

export function orThrow(error: unknown): FactoryError {
  if (error instanceof FactoryError) return error;
  throw error;
}
