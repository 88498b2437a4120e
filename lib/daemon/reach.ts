/**
 * The hosts of testbeds that are not on this one: reached before a job is leased for them, so that nothing is promised that
 * a host which is away cannot keep.
 */
import type { Testbed } from "../config.ts";
import type { Host, Reached } from "../host.ts";
import { type Factory, noteSeqs } from "./known.ts";
import { isReached } from "../plan-testbeds.ts";
import { reachBoard } from "./board.ts";
import { done, failed, type Outcome } from "./outcome.ts";
import { takeOver } from "./recover.ts";

export async function reach(factory: Factory, testbed: Testbed): Promise<Outcome> {
  const reached = await reachAnew(factory, testbed);
  return reached.ok ? done : failed(reached.reason);
}

/** The host of a testbed, as it was last reached; null where it was not. */
export function hostOf({ hosts, known }: Factory, testbed: Testbed): Host | null {
  if (!isReached(testbed)) return hosts.here;
  const reached = known.reached.get(testbed.name);
  return reached?.ok === true ? reached.host : null;
}

/** The same, reached now where it was not before; a board is looked at each time, for others may use it, too. */
export async function reachedHost(factory: Factory, testbed: Testbed): Promise<Reached> {
  const host = testbed.spRunnerUrl === null ? hostOf(factory, testbed) : null;
  return host === null ? await reachAnew(factory, testbed) : { ok: true, host };
}

async function reachAnew(factory: Factory, testbed: Testbed): Promise<Reached> {
  const { hosts } = factory;
  const reached =
    testbed.spRunnerUrl === null
      ? await lookAround(factory, testbed, await hosts.reach(testbed))
      : await reachBoard(factory, testbed, testbed.spRunnerUrl);
  note(factory, testbed, reached);
  return reached;
}

/** What keeps jobs away is committed, so that it can be seen from outside. */
function note({ known, store, clock }: Factory, { name }: Testbed, reached: Reached): void {
  known.reached.set(name, { ...reached, atMs: clock.uptimeMs() });
  const before = known.troubles.get(name);
  if (reached.ok) {
    if (before !== undefined) store.setTrouble(name, null);
    known.troubles.delete(name);
    return;
  }
  const { reason } = reached;
  if (before?.reason === reason) return;
  const trouble = { sinceMs: clock.wallMs(), recoveries: 0, ...before, reason };
  store.setTrouble(name, trouble);
  known.troubles.set(name, trouble);
}

/** What is there already: instances that only their directories still tell of, and other factories' locks. */
async function lookAround(factory: Factory, testbed: Testbed, reached: Reached): Promise<Reached> {
  if (!reached.ok) return reached;
  const { minder, workDirectory } = reached.host;
  if (!factory.known.recalled.has(testbed.name)) {
    const recalled = await minder.recall(workDirectory);
    if (!recalled.ok) return recalled;
    const ours = recalled.instances.filter(({ intentJson }) => testbedOf(intentJson) === testbed.name);
    noteSeqs(
      factory,
      ours.map(({ directory }) => directory.replace(/^.*\/(.*)_(\d+)$/, "$1/$2")),
    );
    await takeOver(factory, minder, ours);
    factory.known.recalled.add(testbed.name);
    // What is kept there is looked through now.
    factory.known.sweptMs = null;
  }
  const locks = await minder.locks();
  if (!locks.ok) return locks;
  const cookies = new Set([...factory.known.instances.values()].map(({ cookie }) => cookie));
  const other = locks.locks.find(
    (lock) => lock.testbed === testbed.name && lock.owner !== "dead" && !cookies.has(lock.cookie),
  );
  if (other === undefined) return reached;
  return {
    ok: false,
    reason: `in use elsewhere: ${other.instance} in ${other.directory} on ${testbed.host}`,
  };
}

/** Another factory holds the testbed: it is not free until a further look shows otherwise. */
export function noteElsewhere(factory: Factory, testbed: Testbed, owner: string): void {
  if (testbed.host === null) factory.known.elsewhere.set(testbed.name, owner);
  else noteUnreached(factory, testbed, `in use elsewhere: ${owner}`);
}

/** A testbed on another host takes no job until that host has been reached anew. */
export function noteUnreached(factory: Factory, testbed: Testbed, reason: string): void {
  if (isReached(testbed)) note(factory, testbed, { ok: false, reason });
}

function testbedOf(intentJson: string): unknown {
  try {
    return (JSON.parse(intentJson) as { testbed?: unknown }).testbed;
  } catch {
    return null;
  }
}
