/** The values that a job's tasks and its owner leave for each other (lib/devserver/README.md "Store"). */
import { z } from "zod";
import { conflict } from "./exchange.ts";
import { text, truth } from "../calls/json-body.ts";
import type { JobRecord, State, StoreRecord } from "./state.ts";
import { formatTime } from "./timestamps.ts";

export const storeShape = z.object({ value: text, secret: truth });

const maxValueBytes = 10 * 1024;
const maxValues = 100;

/** A value that was once secret stays secret. */
export function putStoreValue(
  state: State,
  job: JobRecord,
  given: { name: string; value: string; secret: boolean; source: StoreRecord["source"] },
): void {
  const { name, value, secret, source } = given;
  if (!/^[A-Za-z0-9_]+$/.test(name)) throw conflict("invalid store entry name");
  if (Buffer.byteLength(value) > maxValueBytes) throw conflict("maximum value size is 10KiB");
  if (job.isComplete) throw conflict(`job ${job.id} already complete; cannot update store`);
  const known = job.store.get(name);
  if (known === undefined && job.store.size >= maxValues) {
    throw conflict(`job ${job.id} already has ${maxValues} store values`);
  }
  const isSecret = secret || known?.isSecret === true;
  job.store.set(name, { value, isSecret, updatedMs: state.now().wallMs, source });
}

/** Only the worker reads secrets. */
export function ownerView(job: JobRecord): unknown {
  return Object.fromEntries(
    Array.from(job.store, ([name, { value, isSecret, updatedMs, source }]) => [
      name,
      { value: isSecret ? null : value, secret: isSecret, time_update: formatTime(updatedMs), source },
    ]),
  );
}
