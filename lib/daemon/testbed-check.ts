/**
 * A testbed's own `check`, which must succeed before a job is taken: once before the first lease, and again between each
 * lease and its worker. It runs on the factory's host.
 */
import type { Testbed } from "../config/config.ts";
import { type LeasedJob, runBoardCheck } from "../hosts/board-check.ts";
import type { Instance, PreparingInstance } from "../words/domain.ts";
import { isPassing } from "../store/store.ts";
import { type Checked, done, type Found, type Learnt } from "./outcome.ts";
import { limits } from "../policy/times-and-limits.ts";
import { advance, memoryOf } from "./instance-memory.ts";
import { type Factory, now, leaseAgeMs } from "./memory.ts";

type Runner = Pick<Factory, "hosts" | "processes">;
type Needs = Runner & Pick<Factory, "api" | "clock" | "config" | "known" | "store">;

export async function check(runner: Runner, testbed: Testbed): Promise<Found> {
  return (await runCheck(runner, testbed, null)) ?? done;
}

async function runCheck(
  { hosts, processes }: Runner,
  testbed: Testbed,
  leased: LeasedJob | null,
): Promise<Checked | null> {
  const result = await runBoardCheck(processes, testbed, hosts.here, leased);
  return result === null ? null : { kind: "checked", testbed, ...result, instance: null };
}

/** For an armed instance. If it fails, the job is untouched: another testbed may take it. */
export async function checkAgain(factory: Needs, instance: PreparingInstance): Promise<Learnt> {
  const testbed = factory.config.testbeds.find(({ name }) => name === instance.testbed);
  if (testbed === undefined) return done;
  const { job, target: id } = instance;
  const target = factory.config.targets.find((each) => each.id === id)?.name ?? id;
  const ended = new AbortController();
  const [checked, isLeased] = await Promise.all([
    runCheck(factory, testbed, { job, target }).finally(() => ended.abort()),
    keepLease(factory, instance, ended.signal),
  ]);
  return { kind: "checked again", checked, isLeased };
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
