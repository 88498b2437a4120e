/** What the lab has against a testbed, as it is committed. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Log } from "../../lib/words/logger.ts";
import { openStore, type Store } from "../../lib/store/store.ts";
import { createSettableClock } from "../lab/settable-clock.ts";
import { openMemory } from "../../lib/daemon/memory.ts";
import {
  strike,
  rest,
  clearStrikes,
  takeBackStrike,
  testbedMemory,
} from "../../lib/daemon/testbed-memory.ts";

let directory: string;
let store: Store;
let lines: string[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "known-"));
  store = openStore({ path: join(directory, "data.sqlite3"), nowMs: 0, directoryOf: () => directory });
  lines = [];
});
afterEach(() => {
  store.close();
  rmSync(directory, { recursive: true, force: true });
});

function openFactory() {
  const say = (line: string): void => void lines.push(line);
  const log: Log = { debug: say, info: say, warn: say, error: say };
  return { store, clock: createSettableClock(), known: openMemory(store, createSettableClock()), log };
}

test("strike() commits the last reason alone, however many there were before, and logs the quarantine", () => {
  const factory = openFactory();
  for (const reason of ["one", "two", "three", "four"]) strike(factory, "a", reason);
  expect(store.health().get("a")).toMatchObject({ strikes: 4, reason: "four" });
  expect(testbedMemory(factory.known, "a").health?.reason).toBe("four");
  expect(lines).toEqual([
    "no job for this testbed for 10 s: one",
    "no job for this testbed for 20 s: two",
    "no job for this testbed for 60 s: quarantined after 3 failures in a row: three",
    "no job for this testbed for 120 s: quarantined after 4 failures in a row: four",
  ]);
});

test("rest() says how long no job is asked for, unless that is over in a moment", () => {
  const factory = openFactory();
  for (const testbed of ["a", "b", "b"]) rest(factory, testbed, "no worker", "job waits");
  for (let job = 1; job <= 5; job += 1) rest(factory, "c", "it is gone", "job is gone");
  expect(lines).toEqual([
    "asks for no job for 60 s: no worker",
    "asks for no job for 60 s: no worker",
    "asks for no job for 120 s: no worker",
    "asks for no job for 16 s: it is gone",
  ]);
});

test("clearStrikes() forgets them, in the database too", () => {
  const factory = openFactory();
  for (const reason of ["one", "two", "three"]) strike(factory, "a", reason);
  clearStrikes(factory, "a", "a job was done");
  expect([store.health().size, testbedMemory(factory.known, "a").health]).toEqual([0, null]);
});

test("takeBackStrike() takes one back and no more, and the testbed waits for it no longer", () => {
  const factory = openFactory();
  for (const reason of ["one", "two"]) strike(factory, "a", reason);
  takeBackStrike(factory, "a", "its host");
  const nowMs = factory.clock.uptimeMs();
  expect(store.health().get("a")).toMatchObject({ strikes: 1, retryAt: { uptimeMs: nowMs } });
  expect(testbedMemory(factory.known, "a").health).toMatchObject({
    strikes: 1,
    retryAt: { uptimeMs: nowMs },
  });
  takeBackStrike(factory, "a", "its host");
  expect([store.health().size, testbedMemory(factory.known, "a").health]).toEqual([0, null]);
});

test("rest() is never longer than ten minutes", () => {
  const factory = openFactory();
  for (let job = 1; job <= 30; job += 1) rest(factory, "a", "no worker", "job waits");
  const { untilMs = 0 } = testbedMemory(factory.known, "a").rest ?? {};
  expect(untilMs - factory.clock.uptimeMs()).toBe(600_000);
});
