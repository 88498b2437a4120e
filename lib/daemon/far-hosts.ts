/**
 * The hosts of testbeds that are not on this one: reached before a job is leased for them, so that nothing is promised that
 * a host which is away cannot keep.
 */
import type { Testbed } from "../config/config.ts";
import type { Host, Reached } from "../hosts/host.ts";
import { isReached } from "../policy/free-testbeds.ts";
import { reachBoard } from "./board.ts";
import { whyUnusable } from "./isolation.ts";
import { done, failed, type Outcome } from "./outcome.ts";
import { takeOver } from "./recover.ts";
import { showTroubles } from "./trouble.ts";
import { openInstances } from "./instance-memory.ts";
import type { Factory } from "./memory.ts";
import { learnSeqs, testbedMemory } from "./testbed-memory.ts";

type Needs = Pick<Factory, "clock" | "config" | "hosts" | "known" | "log" | "openRunner" | "store">;

export async function reach(factory: Needs, testbed: Testbed): Promise<Outcome> {
  const reached = await reachAnew(factory, testbed);
  return reached.ok ? done : failed(reached.reason);
}

/** The host of a testbed, as it was last reached; null where it was not. */
export function hostOf({ hosts, known }: Pick<Factory, "hosts" | "known">, testbed: Testbed): Host | null {
  if (!isReached(testbed)) return hosts.here;
  const { reached } = testbedMemory(known, testbed.name);
  return reached?.ok === true ? reached.host : null;
}

/** The same, reached now where it was not before; a board is looked at each time, for others may use it, too. */
export async function reachedHost(factory: Needs, testbed: Testbed): Promise<Reached> {
  const isToday = testbed.spRunnerUrl === null && !factory.known.outdated.has(testbed);
  const host = isToday ? hostOf(factory, testbed) : null;
  return host === null ? await reachAnew(factory, testbed) : { ok: true, host };
}

export async function reachAnew(factory: Needs, testbed: Testbed): Promise<Reached> {
  const { hosts } = factory;
  let reached: Reached;
  if (testbed.spRunnerUrl === null) {
    reached = await lookAround(factory, testbed, await hosts.reach(testbed));
  } else {
    const board = await reachBoard(factory, testbed, testbed.spRunnerUrl);
    // A service's tests are run by the built-in agent of this host.
    reached = board.ok ? { ok: true, host: { ...hosts.here, agent: hosts.builtIn } } : board;
  }
  markReached(factory, testbed, reached);
  return reached;
}

function markReached(factory: Needs, testbed: Testbed, reached: Reached): void {
  // What is kept there is looked through now: not before, because a sweep goes to the hosts that are noted here.
  if (factory.known.outdated.has(testbed)) return;
  const record = testbedMemory(factory.known, testbed.name);
  if (reached.host !== undefined && record.reached?.host === undefined) factory.known.sweptMs = null;
  record.reached = { ...reached, atMs: factory.clock.uptimeMs() };
  showTroubles(factory, [testbed]);
}

/** What is there already: instances that have a directory but no row, and other factories' locks. */
async function lookAround(factory: Needs, testbed: Testbed, reached: Reached): Promise<Reached> {
  if (!reached.ok) return reached;
  const { minder, workDirectory } = reached.host;
  const record = testbedMemory(factory.known, testbed.name);
  if (!record.isRecalled) {
    const recalled = await minder.recall(workDirectory);
    if (!recalled.ok) return recalled;
    const ours = recalled.instances.filter(({ intentJson }) => testbedIn(intentJson) === testbed.name);
    learnSeqs(
      factory,
      ours.map(({ directory }) => directory.replace(/^.*\/(.*)_(\d+)$/, "$1/$2")),
    );
    await takeOver(factory, minder, ours);
    if (!factory.known.outdated.has(testbed)) record.isRecalled = true;
  }
  const cookies = cookiesOf(factory);
  const locks = await minder.locks();
  if (!locks.ok) return locks;
  // What was open before we looked, or is now, is ours. Without isolation there is a lock of the whole host, too.
  for (const cookie of cookiesOf(factory)) cookies.add(cookie);
  const { isolate } = factory.config.general;
  const names = [testbed.name, ...(isolate === "off" || record.isAlone ? [".host"] : [])];
  const other = locks.locks.find(
    (lock) => names.includes(lock.testbed) && lock.owner !== "dead" && !cookies.has(lock.cookie),
  );
  if (other !== undefined) {
    const reason = `in use elsewhere: ${other.instance} in ${other.directory} on ${testbed.host}`;
    return { ok: false, reason, is: "in use" };
  }
  // What keeps jobs from it is known before one is leased.
  const { kind, argv } = reached.host.agent;
  const external = kind === "external" ? argv[0] : undefined;
  const probed = await minder.probe(argv.slice(0, 1), { external, isolate });
  if (!probed.ok) return probed;
  const setting = `testbed.${testbed.name}.work_dir`;
  const fault = whyUnusable(factory, probed, { usesHost: true, agent: 0, workDirectory, setting });
  if (fault === null) return reached;
  return { ok: false, reason: `${testbed.host}: ${fault}`, host: reached.host, is: "unavailable" };
}

function cookiesOf({ known }: Needs): Set<string | null> {
  return new Set(openInstances(known).map(({ cookie }) => cookie));
}

/** Another factory holds the testbed: it is not free until a further look shows otherwise. */
export function markElsewhere(factory: Needs, testbed: Testbed, owner: string): void {
  if (testbed.host === null) testbedMemory(factory.known, testbed.name).elsewhere = owner;
  else markReached(factory, testbed, { ok: false, reason: `in use elsewhere: ${owner}`, is: "in use" });
}

/** A testbed on another host takes no job until that host has been reached anew. */
export function markUnreached(factory: Needs, testbed: Testbed, reason: string): void {
  if (isReached(testbed)) markReached(factory, testbed, { ok: false, reason });
}

function testbedIn(intentJson: string): unknown {
  try {
    return (JSON.parse(intentJson) as { testbed?: unknown }).testbed;
  } catch {
    return null;
  }
}
