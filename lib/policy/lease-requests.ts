/** Which leased job goes to which free testbed, and which targets are asked for next. */
import type { Testbed } from "../config/config.ts";
import { elapsedMs, type Instance } from "../words/domain.ts";
import { type Agenda, atOnceMs } from "./action-queue.ts";
import {
  aloneOnHost,
  canServe,
  isAlone,
  notBeforeMs,
  type Obstacle,
  type Taken,
  targetIds,
  whyNoLease,
  whyNotChecked,
  whyNotFree,
  whyNotReady,
} from "./free-testbeds.ts";
import { limits } from "./times-and-limits.ts";
import type { Observation, PendingLease } from "./observation.ts";

/** What becomes of the testbeds and of the leased jobs now. */
export interface Placement {
  /** A job of any of their targets would be begun on them. */
  free: Set<Testbed>;
  /** Their check is to be run first. */
  unchecked: Testbed[];
  /** Leased jobs, by the testbed that takes each now. */
  given: Map<Testbed, PendingLease>;
  /** Leased jobs that no testbed can take. */
  lapsing: PendingLease[];
  /** By name: why a testbed is not free. */
  obstacles: Map<string, Obstacle>;
}

export function placeJobs(open: readonly Instance[], seen: Observation, taken: Taken): Placement {
  const free = new Set<Testbed>();
  const soon: Testbed[] = [];
  const unchecked: Testbed[] = [];
  const obstacles = new Map<string, Obstacle>();
  for (const testbed of seen.config.testbeds) {
    const lasting = whyNotFree(testbed, seen, taken);
    const unready = lasting === null ? whyNotReady(testbed, seen) : null;
    const check = lasting === null ? whyNotChecked(testbed, seen) : null;
    const obstacle = lasting ?? check ?? unready;
    if (obstacle === null) free.add(testbed);
    else obstacles.set(testbed.name, obstacle);
    if (check === null && unready !== null) soon.push(testbed);
    if (check !== null && unready === null) unchecked.push(testbed);
  }
  return { free, unchecked, obstacles, ...giveLeases(open, { free, soon, obstacles }, seen) };
}

export function planLeases(open: readonly Instance[], seen: Observation, taken: Taken, agenda: Agenda): void {
  const { free, unchecked, given, lapsing } = placeJobs(open, seen, taken);
  for (const testbed of seen.config.testbeds) {
    agenda.wakeAt(notBeforeMs(testbed, seen));
    agenda.wakeAt(seen.retryAtMs.get(`testbed ${testbed.name}`) ?? atOnceMs);
  }
  for (const testbed of seen.mode === "drain" ? [] : unchecked) {
    const check = seen.checks.get(testbed.name);
    agenda.add({ kind: "check", testbed }, check === undefined ? atOnceMs : check.atMs + limits.checkMs);
  }
  for (const [testbed, lease] of given) agenda.add({ kind: "begin", lease, testbed });
  for (const lease of lapsing) agenda.add({ kind: "let lapse", lease });
  ask(free, seen, agenda);
}

/** Gives each leased job to a testbed, which is then no longer free. */
function giveLeases(
  open: readonly Instance[],
  { free, soon, obstacles }: Pick<Placement, "free" | "obstacles"> & { soon: readonly Testbed[] },
  seen: Observation,
): Pick<Placement, "given" | "lapsing"> {
  const given = new Map<Testbed, PendingLease>();
  const lapsing: PendingLease[] = [];
  const jobs = new Set(open.map(({ job }) => job));
  for (const lease of seen.leases) {
    const ageMs = elapsedMs(lease.askedAt, seen.now) ?? Number.POSITIVE_INFINITY;
    const isWanted = seen.mode !== "drain" && !jobs.has(lease.job) && ageMs <= limits.leaseLifeMs;
    const testbed = isWanted ? free.values().find((each) => canServe(each, lease, seen)) : undefined;
    if (testbed === undefined) {
      // The server keeps the job for us anyway, and what failed may soon succeed, for example a write to the database.
      if (!isWanted || !soon.some((each) => canServe(each, lease, seen))) lapsing.push(lease);
      continue;
    }
    jobs.add(lease.job);
    free.delete(testbed);
    given.set(testbed, lease);
    obstacles.set(testbed.name, { is: "in use", reason: "a job was leased for it just now" });
    if (!isAlone(testbed, seen)) continue;
    for (const each of free) {
      if (each.host !== testbed.host || !isAlone(each, seen)) continue;
      free.delete(each);
      obstacles.set(each.name, aloneOnHost);
    }
  }
  return { given, lapsing };
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
