/** What follows from what the server or a host as a whole was found to say: here alone it goes into memory and store. */
import type { Worker } from "../server/factory-side.ts";
import { type Instance, instanceName } from "../words/domain.ts";
import { limits } from "../policy/times-and-limits.ts";
import { replaceList, updateWorker } from "../policy/server-view.ts";
import { type Checked, done, failed, type Found, type Outcome, waiting } from "./outcome.ts";
import { noteNow } from "./journal.ts";
import { howToClear } from "./rust-instances.ts";
import { commitTroubles, showTroubles } from "./trouble.ts";
import { advance, setView, openInstances } from "./instance-memory.ts";
import { type Factory, logFor } from "./memory.ts";
import { learnSeqs, testbedMemory } from "./testbed-memory.ts";

type Needs = Pick<Factory, "clock" | "config" | "known" | "log" | "random" | "store">;

export function takeIn(factory: Needs, found: Found): Outcome {
  const { known, log } = factory;
  if (found.isTokenGood !== undefined) takeToken(factory, found.isTokenGood);
  switch (found.kind) {
    case "done":
    case "waiting":
    case "failed":
    case "outage": {
      const { isTokenGood: _, ...outcome } = found;
      return outcome;
    }
    case "token refused":
      return waiting(limits.pingWhileRefusedMs);
    case "listed":
      replaceList(known.server, found.workers, found.askedAtMs, openInstances(known));
      learnSeqs(
        factory,
        found.workers.map((worker) => worker.private),
      );
      logHolds(factory, found.workers);
      for (const instance of openInstances(known)) {
        const isOnline = known.server.list?.workers.get(instance.worker ?? "")?.online === true;
        if (!isOnline || instance.isOnline) continue;
        advance(factory, instance, { isOnline });
        known.tally.online.add(factory.clock.wallMs() - instance.begunMs);
      }
      return done;
    case "leased":
      takeLease(factory, found);
      return done;
    case "looked":
      return takeViews(factory, found);
    case "locks seen":
      takeLocks(factory, found);
      return done;
    case "checked":
      takeCheck(factory, found);
      return done;
    case "list is old":
      known.server.isListWanted = true;
      return waiting(limits.heldMs);
    case "stranger deleted": {
      const { id, private: name } = found.worker;
      updateWorker(known.server, id, null);
      log.warn(`deleted a worker of no instance of ours (${name ?? "not associated"})`, { worker: id });
      return done;
    }
  }
}

/** An operator must see why a testbed stays in use, and what ends that. */
function logHolds(factory: Needs, workers: Worker[]): void {
  const { known } = factory;
  const held = new Set(workers.filter(({ hold }) => hold).map(({ id }) => id));
  for (const record of known.instances.values()) {
    const { row } = record;
    const isHeld = row.worker !== null && held.has(row.worker);
    if (isHeld === record.isHeld) continue;
    record.isHeld = isHeld;
    if (isHeld) {
      logFor(factory, row).warn(
        "held on the server: nothing of it is touched, and the testbed stays in use, until an administrator releases it",
      );
    } else {
      logFor(factory, row).info("no longer held on the server");
    }
  }
}

function takeToken(factory: Needs, isGood: boolean): void {
  const { known, log, config, clock } = factory;
  if (known.server.isTokenRefused === !isGood || known.outdated.has(config)) return;
  known.server.isTokenRefused = !isGood;
  known.server.refusedSinceMs = isGood ? null : clock.uptimeMs();
  noteNow(factory, { what: "server", is: isGood ? "takes the token again" : "refuses the token", lines: [] });
  if (isGood) log.info("the server takes the factory's token again");
  else {
    log.error(
      `the server refuses the factory's token: no job is taken, agents are left running; put one that it takes into factory.token or token_file of ${config.path}`,
    );
  }
}

function takeLease(
  { known, clock, config, random, log }: Needs,
  { lease, askedAt, targets }: Extract<Found, { kind: "leased" }>,
): void {
  const nextMs = (jitter: number): number => clock.uptimeMs() + config.general.pollIntervalMs * jitter;
  if (lease === null) known.server.leaseDueMs = nextMs(0.9 + random.fraction() / 5);
  else if (targets.includes(lease.target)) {
    known.leases.push({ ...lease, askedAt, tried: [] });
    known.tally.leases += 1;
    known.server.leaseDueMs = Number.NEGATIVE_INFINITY;
  } else {
    known.server.leaseDueMs = nextMs(1);
    log.warn("the server leased a job for a target that was not asked for", lease);
  }
}

function takeViews(
  factory: Needs,
  { at, instances, begunMs, views }: Extract<Found, { kind: "looked" }>,
): Outcome {
  const { known } = factory;
  const unseen: { instance: Instance; why: string; isNew: boolean }[] = [];
  for (const instance of instances) {
    const name = instanceName(instance);
    const seen = views.get(name);
    // What was committed while we looked is newer than the look.
    const record = known.instances.get(name);
    if (record?.row.phase !== instance.phase) continue;
    const before = record.look;
    // An action has learnt more since this look began, or a hint came that this look may have missed: look again.
    if (before !== null && before.atMs >= begunMs) {
      before.isStale = true;
      continue;
    }
    const after = setView(factory, instance, seen === undefined ? "cannot tell" : seen.state);
    after.output = seen?.output ?? null;
    after.exit = seen?.exit ?? null;
    record.jobName ??= seen?.jobName ?? null;
    after.isHostAway = at !== "" && seen?.isHostSilent === true;
    after.isStale = record.hintedMs >= begunMs;
    if (after.view === "cannot tell") {
      const why = `cannot tell whether its agent runs: ${seen?.reason ?? "no reason is known"}; the testbed stays reserved; ${howToClear(instance)}`;
      unseen.push({ instance, why, isNew: before?.view !== "cannot tell" });
    }
    if (before === null) continue;
    // While the agent itself works, or nobody can tell, it is not taken for silent.
    const isSilent = after.output !== null && after.output !== "own" && after.output === before.output;
    if (isSilent) after.printedMs = before.printedMs;
    if (after.output !== null)
      record.longestSilenceMs = Math.max(record.longestSilenceMs ?? 0, after.atMs - after.printedMs);
  }
  if (at !== "") {
    const why = new Map(unseen.map((each) => [each.instance.testbed, each.why]));
    commitTroubles(factory, new Map(instances.map(({ testbed }) => [testbed, why.get(testbed) ?? null])));
    // A host that does not answer is asked less and less often, which the loop sees to, as it logs it.
    const [first] = unseen;
    if (first !== undefined && unseen.length === instances.length) return failed(first.why);
  }
  for (const { instance, why, isNew } of unseen) if (isNew) logFor(factory, instance).warn(why);
  return done;
}

export function takeCheck(
  factory: Pick<Factory, "clock" | "known" | "log" | "store">,
  { testbed, isPassed, said, instance }: Checked,
): void {
  const { known, clock, log } = factory;
  if (known.outdated.has(testbed)) return;
  const record = testbedMemory(known, testbed.name);
  const wasPassed = (record.check?.fault ?? null) === null;
  record.check = { atMs: clock.uptimeMs(), fault: isPassed ? null : `its check fails: ${said}`, instance };
  // Its words may differ each time: logged once until it succeeds.
  const about = { testbed: testbed.name };
  if (!isPassed && wasPassed) log.warn(`no job is taken for it until its check succeeds: ${said}`, about);
  if (isPassed && !wasPassed) log.info("its check succeeds again", about);
  showTroubles(factory, [testbed]);
}

function takeLocks(
  { known, config, clock, log }: Needs,
  { locks, ours }: Extract<Found, { kind: "locks seen" }>,
): void {
  // What was open before we looked, or is now, is ours.
  const cookies = new Set<string | null>([...ours, ...openInstances(known).map(({ cookie }) => cookie)]);
  const owners = new Map<string, string>();
  for (const { testbed, owner, cookie, instance, directory } of locks) {
    if (owner !== "dead" && !cookies.has(cookie)) owners.set(testbed, `${instance} in ${directory}`);
  }
  for (const { name: testbed } of config.testbeds) {
    const owner = owners.get(testbed);
    if (owner !== undefined && testbedMemory(known, testbed).elsewhere === null)
      log.warn(`the testbed is in use elsewhere: ${owner}`, { testbed });
  }
  for (const record of known.testbeds.values()) record.elsewhere = null;
  for (const [testbed, owner] of owners) testbedMemory(known, testbed).elsewhere = owner;
  known.locksSeenMs = clock.uptimeMs();
}
