/** Which leased job goes to which free testbed, and which targets are asked for next. */
import type { Testbed } from "../config/config.ts";
import { elapsedMs, type Instance } from "../words/domain.ts";
import { type Agenda, atOnceMs } from "./action-queue.ts";
import {
  canServe,
  isAlone,
  isChecked,
  notBeforeMs,
  type Taken,
  targetIds,
  whyNoLease,
  whyNotFree,
} from "./free-testbeds.ts";
import { limits } from "./times-and-limits.ts";
import type { Observation } from "./observation.ts";

export function planLeases(open: readonly Instance[], seen: Observation, taken: Taken, agenda: Agenda): void {
  const notTaken = seen.config.testbeds.filter((testbed) => {
    agenda.wakeAt(notBeforeMs(testbed, seen));
    return whyNotFree(testbed, seen, taken) === null;
  });
  const usable = notTaken.filter((testbed) => isReady(testbed, seen, agenda));
  for (const testbed of usable) {
    if (isChecked(testbed, seen) || seen.mode === "drain") continue;
    const check = seen.checks.get(testbed.name);
    agenda.add({ kind: "check", testbed }, check === undefined ? atOnceMs : check.atMs + limits.checkMs);
  }
  const free = new Set(usable.filter((testbed) => isChecked(testbed, seen)));
  const soon = notTaken.filter((testbed) => !free.has(testbed) && isChecked(testbed, seen));
  giveLeases(open, { free, soon }, seen, agenda);
  ask(free, seen, agenda);
}

/** Whether an action of it could begin now: none is under way, and none is tried again in a moment. */
function isReady({ name }: Testbed, { busy, retryAtMs, now }: Observation, agenda: Agenda): boolean {
  const key = `testbed ${name}`;
  if (busy.has(key)) return false;
  const readyMs = retryAtMs.get(key) ?? atOnceMs;
  agenda.wakeAt(readyMs);
  return readyMs <= now.uptimeMs;
}

/** Begins each leased job on a testbed, and takes that from those that are free. */
function giveLeases(
  open: readonly Instance[],
  { free, soon }: { free: Set<Testbed>; soon: readonly Testbed[] },
  seen: Observation,
  agenda: Agenda,
): void {
  const jobs = new Set(open.map(({ job }) => job));
  for (const lease of seen.leases) {
    const ageMs = elapsedMs(lease.askedAt, seen.now) ?? Number.POSITIVE_INFINITY;
    const isWanted = seen.mode !== "drain" && !jobs.has(lease.job) && ageMs <= limits.leaseLifeMs;
    const testbed = isWanted ? free.values().find((each) => canServe(each, lease, seen.config)) : undefined;
    if (testbed === undefined) {
      // The job is kept for us all the same: what failed may go better in a moment, for example a write to the database.
      if (isWanted && soon.some((each) => canServe(each, lease, seen.config))) continue;
      agenda.add({ kind: "let lapse", lease });
      continue;
    }
    jobs.add(lease.job);
    free.delete(testbed);
    if (isAlone(testbed, seen)) {
      for (const each of free) if (each.host === testbed.host && isAlone(each, seen)) free.delete(each);
    }
    agenda.add({ kind: "begin", lease, testbed });
  }
}

/** Asks for jobs of the targets that a free testbed serves; if none does, a ping proves that the token is good. */
function ask(free: ReadonlySet<Testbed>, seen: Observation, agenda: Agenda): void {
  const { server, locksSeenMs, elsewhere, config } = seen;
  const isTaking = seen.mode === "run" && !server.isTokenRefused;
  const isAnyElsewhere = elsewhere.has(".host") || config.testbeds.some(({ name }) => elsewhere.has(name));
  if (isTaking && (free.size > 0 || isAnyElsewhere)) {
    agenda.add({ kind: "look at locks" }, locksSeenMs === null ? atOnceMs : locksSeenMs + limits.locksMs);
  }
  const targets = new Set(
    whyNoLease(seen) === null ? [...free].flatMap((testbed) => targetIds(testbed, config)) : [],
  );
  if (targets.size === 0) agenda.add({ kind: "ping" }, server.lastPingMs + limits.pingMs);
  else agenda.add({ kind: "lease", targets: [...targets] }, server.leaseDueMs);
}
