/** What this process has learnt of the open instances, beside their rows. To forget one is to delete its record. */
import type { Testbed } from "../config/config.ts";
import type { Clock } from "../doors/clock.ts";
import type { Look } from "../policy/observation.ts";
import type { KnownServer } from "../policy/server-view.ts";
import type { IdleSpan } from "../runner/idle-board.ts";
import type { Store } from "../store/store.ts";
import { type Changes, type Instance, instanceName, isOpen } from "../words/domain.ts";
import type { Noted } from "../words/journal.ts";
import { type TestbedRecords, testbedMemory } from "./testbed-memory.ts";

/** A look, and what the next one is compared with. */
interface KnownLook extends Look {
  /** As the minder gave it. */
  output: string | null;
  /** Another host, which did not answer. */
  isHostAway: boolean;
}

/** The board of an instance, and its job's absence from the service, if the agent did not see the job's end. */
interface BoardMemory {
  idle: IdleSpan | null;
  absent: IdleSpan | null;
  isAtWork: boolean;
}

export class InstanceMemory {
  /** As it was committed last. */
  row: Instance;
  /** The section of its testbed by which it was begun, if the testbed was moved or removed since. */
  section: Testbed | null = null;
  look: KnownLook | null = null;
  /** When something was last said to have changed, also before the first look ended. */
  hintedMs = Number.NEGATIVE_INFINITY;
  /** Testbeds that could not be got ready for its job before. */
  tried: readonly string[] = [];
  /** This process leased its job, so its agent is this program. */
  isLeasedHere = false;
  /** When a minder may last have been armed for it. */
  armedMs: number | null = null;
  /** A worker is being asked for right now. */
  isAskingForWorker = false;
  /** How often its agent was started again. */
  resumed = 0;
  board: BoardMemory | null = null;
  /** The last list showed its worker as held. */
  isHeld = false;
  /** Its job's owner was told of an alarm. */
  isAlarmTold = false;
  /** Its agent was started in an earlier boot of this host: how long it ran is not known. */
  isFromEarlierBoot = false;
  /** For people: the job may have written it. Null: not known yet. */
  jobName: string | null = null;
  /** For how long its job printed nothing at the most, as the looks of this process show; null: they do not. */
  longestSilenceMs: number | null = null;
  /** When this process decided its end. */
  endsAtMs: number | null = null;
  /** Since an operator cleared it: how many looks could not find out whether anything of it is left. */
  failedLooks = 0;

  constructor(row: Instance) {
    this.row = row;
  }
}

export interface InstanceRecords {
  instances: Map<string, InstanceMemory>;
}

export function remember({ instances }: InstanceRecords, row: Instance): InstanceMemory {
  const fresh = new InstanceMemory(row);
  instances.set(instanceName(row), fresh);
  return fresh;
}

/** Its record; of one that has ended, a record that nobody keeps. */
export function memoryOf({ instances }: InstanceRecords, instance: Instance): InstanceMemory {
  return instances.get(instanceName(instance)) ?? new InstanceMemory(instance);
}

export function openInstances({ instances }: InstanceRecords): Instance[] {
  return [...instances.values()].map(({ row }) => row);
}

/** Undefined: the testbed has none. */
export function openInstanceOf(known: InstanceRecords, testbed: string): Instance | undefined {
  return openInstances(known).find((each) => each.testbed === testbed);
}

/** Whether a worker belongs to an open instance: what was asked before may have been settled while we waited. */
export function isTaken({ known }: { known: InstanceRecords }, worker: string): boolean {
  return known.instances.values().some(({ row }) => row.worker === worker);
}

/**
 * Commits what changed of an instance, and what the journal says of that, then knows it. The row that it starts from is the latest one: a list may have shown
 * that the worker is online since the action began.
 */
export function advance<I extends Instance, C extends Changes>(
  { store, known }: { store: Store; known: InstanceRecords & TestbedRecords & { server: KnownServer } },
  instance: I,
  changes: C,
  noted?: Noted,
): C extends { phase: Exclude<Instance["phase"], I["phase"]> } ? Instance : I {
  const record = memoryOf(known, instance);
  const next = store.advance(record.row, changes, noted);
  record.row = next;
  if (changes.isOnline === true) testbedMemory(known, next.testbed).rest = null;
  if (!isOpen(next.phase)) {
    known.instances.delete(instanceName(next));
    testbedMemory(known, next.testbed).endedMs = next.endedMs;
  }
  // A testbed came free: the next job is asked for at once. What was dropped may be refused again as fast as asked for.
  if (next.phase === "destroyed") known.server.leaseDueMs = Number.NEGATIVE_INFINITY;
  return next as I;
}

type Looking = { known: InstanceRecords; clock: Pick<Clock, "uptimeMs"> };

export function setView({ known, clock }: Looking, instance: Instance, view: Look["view"]): KnownLook {
  const atMs = clock.uptimeMs();
  const look = { view, atMs, isStale: false, printedMs: atMs, output: null, isHostAway: false };
  memoryOf(known, instance).look = look;
  return look;
}

/** Something of the instance may have changed: it is looked at again at once. */
export function hintAt({ known, clock }: Looking, instance: Instance): void {
  const record = memoryOf(known, instance);
  record.hintedMs = clock.uptimeMs();
  if (record.look !== null) record.look.isStale = true;
}
