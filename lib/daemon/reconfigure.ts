/**
 * What this process knows, made fit for a configuration that was read anew: what was learnt by a section that has changed is
 * forgotten, so that it is learnt again before a job is taken. What runs goes on as it began. What an operator wants stays.
 */
import { isMoved } from "../config/changes.ts";
import type { Config, Testbed } from "../config/config.ts";
import type { Instance } from "../words/domain.ts";
import { isPassing } from "../store/store.ts";
import { type InstanceRecords, memoryOf } from "./instance-memory.ts";
import { dropRetries, type Factory } from "./memory.ts";
import { testbedMemory } from "./testbed-memory.ts";
import { commitTroubles } from "./trouble.ts";

type Needs = Pick<Factory, "known" | "store" | "clock">;

export function reconfigure(factory: Needs, before: Config, after: Config): void {
  const { known } = factory;
  const now = new Map(after.testbeds.map((testbed) => [testbed.name, testbed]));
  known.outdated.add(before);
  for (const testbed of before.testbeds) {
    const today = now.get(testbed.name);
    if (today === testbed) continue;
    // What is under way by the old section takes nothing in any more.
    known.outdated.add(testbed);
    if (today !== undefined && !isMoved(testbed, today)) continue;
    for (const record of known.instances.values())
      if (record.row.testbed === testbed.name) record.section ??= testbed;
    forget(factory, testbed.name);
  }
  // Its faults are by testbed, and of the agent that is configured.
  known.formerHost = known.host ?? known.formerHost;
  known.host = null;
  if (before.token.reveal() !== after.token.reveal()) {
    known.server.isListWanted = true;
    known.server.lastPingMs = Number.NEGATIVE_INFINITY;
    for (const key of ["ping", "list workers", "lease"]) known.retryAtMs.delete(key);
  }
}

function forget(factory: Needs, testbed: string): void {
  const { known, store, clock } = factory;
  const record = testbedMemory(known, testbed);
  record.reached = null;
  record.check = null;
  record.rest = null;
  record.isAlone = false;
  record.isRecalled = false;
  record.recoveringSinceMs = Number.NEGATIVE_INFINITY;
  dropRetries(known, testbed);
  try {
    commitTroubles(factory, new Map([[testbed, null]]));
    if (record.health === null) return;
    // The change may be the fix: it is tried at once. That it failed is not forgotten.
    const health = { ...record.health, retryAt: { bootId: clock.bootId, uptimeMs: clock.uptimeMs() } };
    store.setHealth(testbed, health);
    record.health = health;
  } catch (error) {
    // They stay until the next look, or until their time has come.
    if (!isPassing(error)) throw error;
  }
}

/** The section by which an instance was begun, also if it has changed since. Undefined: it was gone before this process began. */
export function sectionOf(
  { config, known }: { config: Config; known: InstanceRecords },
  instance: Instance,
): Testbed | undefined {
  return memoryOf(known, instance).section ?? config.testbeds.find(({ name }) => name === instance.testbed);
}
