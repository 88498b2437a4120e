/**
 * Where the journal is read: in the database, which a factory may be writing, or from that factory on its control socket by those
 * who may not read its files. The file comes first, because a long history would take the factory's time.
 */
import type { Base } from "../config/locations.ts";
import { isFactoryRunning, type StoreReader } from "../store/store.ts";
import { errorText, FactoryError } from "../words/failure.ts";
import type { JournalQuery, Recorded } from "../words/journal.ts";
import { openForReading } from "./database.ts";
import { clientOf, type LabDoors } from "./lab-snapshot.ts";

export interface Journal {
  /** The latest so many, the oldest first. */
  read(query: JournalQuery): Promise<Recorded[]>;
  /** Names of testbeds that ever had a job. */
  testbeds(): Promise<string[]>;
  /** What people should know of it; null: nothing. */
  remark: string | null;
  close(): void;
}

/** Throws a FactoryError if there is no way to read it. */
export async function openJournal(doors: LabDoors, base: Base): Promise<Journal> {
  const store = await openForReading(base.database, doors.files).catch((error: unknown) => {
    if (error instanceof FactoryError) return error;
    throw error;
  });
  if (store instanceof FactoryError) return await askFactory(doors, base, store);
  const isRunning = await isFactoryRunning(base.database, doors.files.isThere);
  return fileJournal(store, isRunning ? null : "no factory is running");
}

function fileJournal(store: StoreReader | null, remark: string | null): Journal {
  return {
    read: (query) => Promise.resolve(store?.journal(query) ?? []),
    testbeds: () => Promise.resolve(store?.latest().map(({ testbed }) => testbed) ?? []),
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
    throw new FactoryError(`${errorText(unreadable)}; and the factory does not tell: ${first.reason}`, {
      hint: "Run this as the factory's user, or as one who may open its control socket",
      cause: unreadable,
    });
  }
  return {
    read: async (query) => {
      const asked = await client.history(query);
      if (asked.ok) return asked.value;
      throw new FactoryError(`Cannot read the journal: ${asked.reason}`);
    },
    testbeds: async () => {
      const asked = await client.status();
      return asked.ok ? asked.value.testbeds.map(({ testbed }) => testbed) : [];
    },
    remark: null,
    close: () => undefined,
  };
}
