/**
 * Where the journal is read: in the database, which a factory may be writing, or from that factory on its control socket by those
 * who may not read its files. The file comes first, because a long history would take the factory's time.
 */
import type { Base } from "../config/locations.ts";
import { mayNotHint } from "../control/client.ts";
import type { Snapshot } from "../status/snapshot.ts";
import { isFactoryRunning, type StoreReader } from "../store/store.ts";
import { type Instance, parseInstanceName } from "../words/domain.ts";
import { errorText, FactoryError } from "../words/failure.ts";
import type { JournalQuery, Recorded } from "../words/journal.ts";
import { openForReading } from "./database.ts";
import { clientOf, type LabDoors, orThrow } from "./lab-snapshot.ts";

/** A snapshot takes the factory some time. */
const lookAgainMs = 1000;

export interface Journal {
  /** The latest so many, the oldest first. */
  read(query: JournalQuery): Promise<Recorded[]>;
  /** Names of testbeds that are known. */
  testbeds(): Promise<string[]>;
  /** Instances that are not over. */
  running(): Promise<Pick<Instance, "testbed" | "seq" | "job">[]>;
  /** Of a testbed; null: none. */
  lastInstance(testbed: string): Promise<Pick<Instance, "testbed" | "seq"> | null>;
  /** Null: not on record, or this user may not read that. */
  instance(named: { testbed: string; seq: number }): Instance | null;
  /** What people should know of it; null: nothing. */
  remark: string | null;
  close(): void;
}

/** Throws a FactoryError if neither the file nor the factory can be read. */
export async function openJournal(doors: LabDoors, base: Base): Promise<Journal> {
  const store = await openForReading(base.database, doors.files).catch(orThrow);
  if (store instanceof FactoryError) return await askFactory(doors, base, store);
  const isRunning = await isFactoryRunning(base.database, doors.files.isThere);
  return fileJournal(store, isRunning ? null : "no factory is running");
}

function fileJournal(store: StoreReader | null, remark: string | null): Journal {
  return {
    read: (query) => Promise.resolve(store?.journal(query) ?? []),
    testbeds: () => Promise.resolve(store?.latest().map(({ testbed }) => testbed) ?? []),
    running: () => Promise.resolve(store?.open() ?? []),
    lastInstance: (testbed) =>
      Promise.resolve(store?.latest().find((each) => each.testbed === testbed) ?? null),
    instance: (named) => store?.instance(named) ?? null,
    remark,
    close: () => store?.close(),
  };
}

/** `unreadable`: what is wrong with the file. */
async function askFactory(doors: LabDoors, base: Base, unreadable: FactoryError): Promise<Journal> {
  const client = clientOf(doors, base);
  const first = await client.history({ most: 1 });
  if (!first.ok) {
    if (first.is === "nobody") throw unreadable;
    throw new FactoryError(`${errorText(unreadable)}; and the factory does not answer: ${first.reason}`, {
      hint: mayNotHint,
      cause: unreadable,
    });
  }
  const read: Journal["read"] = async (query) => {
    const asked = await client.history(query);
    if (asked.ok) return asked.value;
    throw new FactoryError(`Cannot read the journal: ${asked.reason}`);
  };
  let seen: { atMs: number; testbeds: Snapshot["testbeds"] } | null = null;
  const look = async (): Promise<Snapshot["testbeds"]> => {
    const atMs = doors.clock.uptimeMs();
    if (seen !== null && atMs - seen.atMs < lookAgainMs) return seen.testbeds;
    const asked = await client.status();
    seen = { atMs, testbeds: asked.ok ? asked.value.testbeds : [] };
    return seen.testbeds;
  };
  const running: Journal["running"] = async () =>
    (await look()).flatMap(({ job }) => {
      const named = job === null ? null : parseInstanceName(job.instance);
      return named === null ? [] : { ...named, job: job?.id ?? null };
    });
  return {
    read,
    testbeds: async () => (await look()).map(({ testbed }) => testbed),
    running,
    lastInstance: async (testbed) => {
      const open = (await running()).find((each) => each.testbed === testbed);
      if (open !== undefined) return open;
      const [last] = await read({ testbed, what: ["job"], most: 1 });
      return last?.entry.what === "job" ? last.entry : null;
    },
    instance: () => null,
    remark: null,
    close: () => undefined,
  };
}
