/**
 * A testbed's own `check`, which must succeed before a job is taken: once before the first lease, and again between each
 * lease and its worker. It runs on the factory's host.
 */
import type { Testbed } from "../config/config.ts";
import { runBoardCheck } from "../hosts/board-check.ts";
import { type Instance, instanceName, type PreparingInstance } from "../words/domain.ts";
import { isPassing } from "../store/store.ts";
import { cannotGoOn, done, type Learnt, type Outcome } from "./outcome.ts";
import { showTroubles } from "./trouble.ts";
import { limits } from "../policy/times-and-limits.ts";
import { advance, memoryOf } from "./instance-memory.ts";
import { type Factory, now, leaseAgeMs } from "./memory.ts";
import { testbedMemory } from "./testbed-memory.ts";

type Needs = Pick<Factory, "api" | "clock" | "config" | "hosts" | "known" | "log" | "processes" | "store">;

export async function check(factory: Needs, testbed: Testbed): Promise<Outcome> {
  await runCheck(factory, testbed, null);
  return done;
}

/** For an armed instance. If it fails, the job is untouched: another testbed may take it. */
export async function checkAgain(factory: Needs, instance: PreparingInstance): Promise<Learnt> {
  const testbed = factory.config.testbeds.find(({ name }) => name === instance.testbed);
  if (testbed === undefined) return done;
  const ended = new AbortController();
  const [fault, isLeased] = await Promise.all([
    runCheck(factory, testbed, instanceName(instance)).finally(() => ended.abort()),
    keepLease(factory, instance, ended.signal),
  ]);
  if (!isLeased) return cannotGoOn("lease lost");
  return fault === null ? done : cannotGoOn("check failed", fault);
}

/** The command, and how it failed, for people; null: it succeeded. */
async function runCheck(factory: Needs, testbed: Testbed, instance: string | null): Promise<string | null> {
  const { processes, known, clock, log } = factory;
  const { name } = testbed;
  const result = await runBoardCheck(processes, testbed, factory.hosts.here);
  if (result === null) return null;
  const fault = result.isPassed ? null : `its check fails: ${result.said}`;
  const record = testbedMemory(known, name);
  const isNew = (record.check?.fault ?? null) === null;
  record.check = { atMs: clock.uptimeMs(), fault, instance };
  // Its words may differ each time: logged once until it succeeds.
  if (fault !== null && isNew)
    log.warn(`no job is taken for it until its check succeeds: ${result.said}`, { testbed: name });
  if (fault === null && !isNew) log.info("its check succeeds again", { testbed: name });
  showTroubles(factory, [testbed]);
  return result.isPassed ? null : result.said;
}

/** Until `ended`; false: the server no longer leases the job to us. */
async function keepLease(factory: Needs, instance: Instance, ended: AbortSignal): Promise<boolean> {
  const { known, clock, api } = factory;
  let waitMs = 0;
  while (instance.job !== null) {
    const ageMs = leaseAgeMs(factory, memoryOf(known, instance).row);
    await clock.sleep(Math.max(waitMs, limits.leaseRenewDuringCheckMs - ageMs), ended);
    if (ended.aborted) return true;
    const leasedAt = now(factory);
    const answer = await api.renew(instance.job);
    waitMs = limits.leaseRenewAgainMs;
    if (!answer.ok) continue;
    if (!answer.value) return false;
    try {
      advance(factory, instance, { leasedAt });
    } catch (error) {
      if (!isPassing(error)) throw error;
    }
  }
  return true;
}
