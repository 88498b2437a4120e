/** What this process has learnt of each testbed, and for how long one takes no job after a failure. */
import type { Clock } from "../doors/clock.ts";
import type { Reached } from "../hosts/host.ts";
import type { Minder } from "../hosts/minder/minder.ts";
import { waitAfterMs } from "../policy/health.ts";
import { limits } from "../policy/times-and-limits.ts";
import type { Check } from "../policy/observation.ts";
import type { Store } from "../store/store.ts";
import { type Health, type Instance, parseInstanceName, type Trouble } from "../words/domain.ts";
import type { Intent } from "../words/intent.ts";
import type { Log } from "../words/logger.ts";
import { notedNow } from "./journal.ts";

export class TestbedMemory {
  /** As committed. */
  health: Health | null = null;
  /** What an operator wants of it, as committed; its deadline is one of this boot. */
  intent: Intent | null = null;
  /** What keeps jobs from it, as committed. */
  trouble: Trouble | null = null;
  /** How many leases in a row came to nothing there, and when the next may be asked for. */
  rest: { count: number; untilMs: number; reason: string } | null = null;
  /** Instances that run there, found at the start, while the database has an older one open. */
  untaken: { minder: Minder; instances: Instance[] } | null = null;
  /** Who holds its lock on this host, if not an instance of ours. */
  elsewhere: string | null = null;
  check: Check | null = null;
  /** How its host or its service was last reached. */
  reached: (Reached & { atMs: number }) | null = null;
  /** Its host, another one, refuses to isolate instances. */
  isAlone = false;
  /** Its directories on another host were searched for instances that have no row. */
  isRecalled = false;
  /** When its service was last told to recover the board. */
  recoveringSinceMs = Number.NEGATIVE_INFINITY;
  /** When the last job that ended in this run did; wall-clock ms. */
  endedMs: number | null = null;
  /** Largest seq seen outside the database: work directories and the server's workers. */
  seq = 0;
}

export interface TestbedRecords {
  testbeds: Map<string, TestbedMemory>;
}

export function testbedMemory({ testbeds }: TestbedRecords, name: string): TestbedMemory {
  const record = testbeds.get(name) ?? new TestbedMemory();
  testbeds.set(name, record);
  return record;
}

/** The next seq of a testbed: one more than any that was ever seen. */
export function nextSeq({ store, known }: { store: Store; known: TestbedRecords }, testbed: string): number {
  return 1 + Math.max(store.largestSeq(testbed), testbedMemory(known, testbed).seq);
}

/** From names `<testbed>/<seq>`; any other is left out. */
export function learnSeqs({ known }: { known: TestbedRecords }, names: Iterable<string | null>): void {
  for (const name of names) {
    const parsed = name === null ? null : parseInstanceName(name);
    if (parsed === null) continue;
    const record = testbedMemory(known, parsed.testbed);
    record.seq = Math.max(parsed.seq, record.seq);
  }
}

interface Judging {
  known: TestbedRecords;
  store: Store;
  clock: Clock;
  log: Log;
}

/** The lab failed on this testbed: no lease for it for a while, longer each time. */
export function strike({ known, store, clock, log }: Judging, testbed: string, reason: string): void {
  const record = testbedMemory(known, testbed);
  const strikes = (record.health?.strikes ?? 0) + 1;
  const waitMs = waitAfterMs(strikes);
  const retryAt = { bootId: clock.bootId, uptimeMs: clock.uptimeMs() + waitMs };
  const health = { strikes, retryAt, reason };
  const is = strikes < limits.quarantineStrikes ? "strike" : "quarantined";
  store.setHealth(testbed, health, notedNow({ clock }, [{ what: "health", testbed, is, reason }]));
  record.health = health;
  // Its own check is run before the next job is asked for, not only once that is leased.
  record.check = null;
  const why =
    strikes < limits.quarantineStrikes ? reason : `quarantined after ${strikes} failures in a row: ${reason}`;
  log.warn(`no job for this testbed for ${waitMs / 1000} s: ${why}`, { testbed });
}

/** It was not the testbed's fault; `reason` says whose it was. */
export function takeBackStrike(
  { known, store, clock }: Omit<Judging, "log">,
  testbed: string,
  reason: string,
): void {
  const record = testbedMemory(known, testbed);
  const strikes = (record.health?.strikes ?? 0) - 1;
  if (record.health === null || strikes < 1) return clearStrikes({ known, store, clock }, testbed, reason);
  const health = { ...record.health, strikes, retryAt: { bootId: clock.bootId, uptimeMs: clock.uptimeMs() } };
  store.setHealth(
    testbed,
    health,
    notedNow({ clock }, [{ what: "health", testbed, is: "strike taken back", reason }]),
  );
  record.health = health;
}

/** `reason`: why its failures no longer count, for people. */
export function clearStrikes(
  { known, store, clock }: Pick<Judging, "known" | "store" | "clock">,
  testbed: string,
  reason: string,
): void {
  const record = testbedMemory(known, testbed);
  if (record.health === null) return;
  record.health = null;
  store.setHealth(testbed, null, notedNow({ clock }, [{ what: "health", testbed, is: "recovered", reason }]));
}

/** A lease came to nothing on this testbed: the next is asked for after a while, longer each time until an agent is online. */
export function rest(
  { known, clock, log }: Omit<Judging, "store">,
  testbed: string,
  reason: string,
  of: "job waits" | "job is gone",
): void {
  const record = testbedMemory(known, testbed);
  const count = (record.rest?.count ?? 0) + 1;
  // A lease that is not used keeps its job from everybody until it is forgotten: no other one for this testbed before.
  const firstMs = of === "job waits" ? limits.leaseLifeMs : limits.restMs;
  const restMs = Math.min(firstMs * 2 ** (count - 1), limits.longestRestMs);
  record.rest = { count, untilMs: clock.uptimeMs() + restMs, reason };
  if (restMs >= limits.strikeMs) log.warn(`asks for no job for ${restMs / 1000} s: ${reason}`, { testbed });
}
