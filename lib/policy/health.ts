/**
 * Whom a failure of the lab is held against: the testbed that it came on, or what several testbeds share. Pure. Causes are
 * compared by their value, never by their text.
 */
import type { EndCause } from "../words/end-cause.ts";
import { limits } from "./times-and-limits.ts";
import type { ServerView } from "./observation.ts";

/** Times are uptimes in ms. */
export interface LabFailure {
  testbed: string;
  /** What it shares with others: its host or service; empty: this host. */
  place: string;
  cause: EndCause;
  atMs: number;
  /** The testbed has a strike for it. */
  isStruck: boolean;
}

/** What several testbeds share is at fault: none of them is struck, and all that failed wait. */
export interface SharedFault {
  cause: EndCause;
  /** Null: the lab as a whole. */
  place: string | null;
  testbeds: string[];
  /** How often in a row it was tried again in vain. */
  count: number;
  /** The testbed that failed last takes no job before; the others wait longer, unless its job is done. */
  untilMs: number;
}

/** What is remembered for judging the next failure. */
export interface LabHealth {
  failures: readonly LabFailure[];
  faults: readonly SharedFault[];
  /** By place: when a job was last done there. */
  doneMs: ReadonlyMap<string, number>;
}

export const noFailures: LabHealth = { failures: [], faults: [], doneMs: new Map() };

export type HealthVerdict =
  /** Nobody's: the server is away, or came back a moment ago. */
  | { kind: "excused" }
  | { kind: "strike" }
  /** `takenBack`: testbeds that were struck for it before it was known to be shared. */
  | { kind: "shared"; fault: SharedFault; isNew: boolean; takenBack: string[] };

/** How long a testbed takes no job after so many failures in a row. */
export function waitAfterMs(strikes: number): number {
  const quarantines = strikes - limits.quarantineStrikes;
  if (quarantines < 0) return limits.strikeMs * 2 ** (strikes - 1);
  return Math.min(limits.quarantineMs * 2 ** quarantines, limits.longestQuarantineMs);
}

/** Judges one more failure. */
export function judgeFailure(
  failure: Omit<LabFailure, "isStruck">,
  health: LabHealth,
  server: Pick<ServerView, "silentSinceMs" | "backSinceMs">,
): { verdict: HealthVerdict; health: LabHealth } {
  const { atMs } = failure;
  const isBack = server.backSinceMs === null || atMs - server.backSinceMs >= limits.serverBackMs;
  if (server.silentSinceMs !== null || !isBack) return { verdict: { kind: "excused" }, health };
  const recent = health.failures.filter((each) => atMs - each.atMs <= limits.sharedMs);
  const open = health.faults.find((fault) => isOpen(fault, failure));
  const found = open ?? findShared(failure, { ...health, failures: recent });
  if (found === null) {
    const failures = [...recent, { ...failure, isStruck: true }];
    return { verdict: { kind: "strike" }, health: { ...health, failures } };
  }
  const fault = tryAgain(found, failure);
  const isOfIt = (each: LabFailure): boolean => each.cause === fault.cause && isWithin(each.place, fault);
  const struck = recent.filter((each) => each.isStruck && isOfIt(each)).map(({ testbed }) => testbed);
  const failures = recent.map((each) => (isOfIt(each) ? { ...each, isStruck: false } : each));
  // One of the whole lab takes the place of those of its hosts.
  const others = health.faults.filter(
    (each) =>
      each !== open && !(each.cause === fault.cause && (fault.place === null || each.place === fault.place)),
  );
  return {
    verdict: { kind: "shared", fault, isNew: open === undefined, takenBack: struck },
    health: {
      ...health,
      failures: [...failures, { ...failure, isStruck: false }],
      faults: [...others, fault],
    },
  };
}

/** A job was done: what is shared there works. `over`: the faults that have ended with it. */
export function recordDone(
  health: LabHealth,
  place: string,
  atMs: number,
): { health: LabHealth; over: SharedFault[] } {
  const over = health.faults.filter((fault) => isWithin(place, fault));
  const faults = health.faults.filter((fault) => !over.includes(fault));
  // A strike from before it may have ended with it, and what is struck later is for something else.
  const failures = health.failures.filter((each) => each.place !== place);
  return { health: { failures, faults, doneMs: new Map(health.doneMs).set(place, atMs) }, over };
}

/** It is tried again when its time has come; what fails long after that is something new. */
function isOpen({ cause, untilMs, ...fault }: SharedFault, failure: Omit<LabFailure, "isStruck">): boolean {
  return (
    cause === failure.cause && isWithin(failure.place, fault) && failure.atMs <= untilMs + 2 * limits.sharedMs
  );
}

/**
 * Two testbeds or more fail for one cause, and since the first of these failures no job was done on what they share. One
 * testbed that works says that the others are at fault themselves.
 */
function findShared(
  failure: Omit<LabFailure, "isStruck">,
  { failures, doneMs }: LabHealth,
): SharedFault | null {
  const { cause, place, testbed } = failure;
  const alike = (sinceMs: number, where: string | null): string[] => {
    const found = failures.filter(
      (each) => each.cause === cause && each.atMs > sinceMs && (where === null || each.place === where),
    );
    return [...new Set([...found.map((each) => each.testbed), testbed])];
  };
  const never = Number.NEGATIVE_INFINITY;
  const none = { cause, count: 0, untilMs: never };
  const here = alike(doneMs.get(place) ?? never, place);
  if (here.length > 1) return { ...none, place, testbeds: here };
  const everywhere = alike(Math.max(never, ...doneMs.values()), null);
  return everywhere.length > 1 ? { ...none, place: null, testbeds: everywhere } : null;
}

/** Another testbed that fails while the others wait says nothing new. */
function tryAgain(fault: SharedFault, { testbed, atMs }: Omit<LabFailure, "isStruck">): SharedFault {
  const testbeds = [...new Set([...fault.testbeds, testbed])];
  if (atMs < fault.untilMs) return { ...fault, testbeds };
  const count = fault.count + 1;
  const waitMs = Math.min(limits.strikeMs * 2 ** (count - 1), limits.longestRestMs);
  return { ...fault, testbeds, count, untilMs: atMs + waitMs };
}

function isWithin(place: string, fault: Pick<SharedFault, "place">): boolean {
  return fault.place === null || fault.place === place;
}
