/** What operators want of testbeds: how it is committed, how it begins after a job, is announced and ends. */
import { deadlineIn, type Intent, type IntentKind } from "../words/intent.ts";
import type { ActEntry, Noted } from "../words/journal.ts";
import { instanceName } from "../words/domain.ts";
import { showRoundDuration } from "../words/duration.ts";
import { localMinute } from "../words/log-line.ts";
import { limits } from "../policy/times-and-limits.ts";
import { isPassing } from "../store/store.ts";
import { memoryOf, openInstanceOf } from "./instance-memory.ts";
import { type Factory, now } from "./memory.ts";
import { testbedMemory } from "./testbed-memory.ts";

/** What a process without a running factory has, too. */
export type Operated = Pick<Factory, "clock" | "known" | "log" | "store"> & {
  config: Pick<Factory["config"], "testbeds">;
};

/** What a kind is called, and the verb that ends it. */
export const intentWords: Record<IntentKind, { noun: string; endedBy: string }> = {
  paused: { noun: "pause", endedBy: "resume" },
  reserved: { noun: "reservation", endedBy: "release" },
  quarantined: { noun: "quarantine", endedBy: "trust" },
};

/** Commits it with the entries, then knows it. Null: nothing any more. */
export function setIntent(
  { store, known }: Operated,
  testbed: string,
  intent: Intent | null,
  entries: Noted[],
): void {
  store.setIntent(testbed, intent, entries);
  testbedMemory(known, testbed).intent = intent;
  known.intentsDueMs = Number.NEGATIVE_INFINITY;
  // An instance that was not begun yet is ended without waiting for its next attempt.
  known.retryAtMs.delete(`testbed ${testbed}`);
}

/** `reserved by ann until 2026-11-28 17:00`. */
export function describeIntent({ kind, who, until }: Intent): string {
  return `${kind} by ${who}${until === null ? "" : ` until ${localMinute(until.wallMs)}`}`;
}

/** The same, and how that is ended. */
export function describeObstacle(intent: Intent, testbed: string): string {
  return `${describeIntent(intent)}; \`${intentWords[intent.kind].endedBy} ${testbed}\` ends that`;
}

export function entryOf(
  { clock }: Pick<Operated, "clock">,
  entry: Pick<ActEntry, "verb" | "testbed" | "who" | "answer"> & Partial<ActEntry>,
): Noted {
  return { atMs: clock.wallMs(), entry: { what: "act", note: "", untilMs: null, ...entry } };
}

/** In each turn of the loop. Without something due it costs nothing, however many testbeds there are. */
export function turnIntents(factory: Operated): void {
  const { known, clock } = factory;
  if (known.intentsWaiting.size === 0 && clock.uptimeMs() < known.intentsDueMs) return;
  try {
    for (const testbed of known.intentsWaiting) takeAfterJob(factory, testbed);
    if (clock.uptimeMs() >= known.intentsDueMs) takeDue(factory);
  } catch (error) {
    // Nothing was committed, and it is still due.
    if (!isPassing(error)) throw error;
  }
}

/** A job runs, so that what waited for it keeps the next one away; its time begins when that job has ended. */
function takeAfterJob(factory: Operated, testbed: string): void {
  const { known, clock } = factory;
  const { intent } = testbedMemory(known, testbed);
  if (intent === null) return;
  const open = openInstanceOf(known, testbed);
  const isBegun = open !== undefined && ["running", "destroying", "stopped"].includes(open.phase);
  if (intent.isAfterJob && isBegun) setIntent(factory, testbed, { ...intent, isAfterJob: false }, []);
  else if (!intent.isAfterJob && open === undefined && intent.forMs !== undefined) {
    const { forMs, ...rest } = intent;
    const until = deadlineIn(forMs, { now: now(factory), wallMs: clock.wallMs() });
    setIntent(factory, testbed, { ...rest, until }, []);
  }
}

function takeDue(factory: Operated): void {
  const { known, clock } = factory;
  let dueMs = Number.POSITIVE_INFINITY;
  let isChanged = false;
  const waiting = new Set<string>();
  for (const [testbed, { intent }] of known.testbeds) {
    if (intent === null) continue;
    if (intent.isAfterJob || intent.forMs !== undefined) waiting.add(testbed);
    if (intent.until === null) continue;
    const leftMs = intent.until.at.uptimeMs - clock.uptimeMs();
    const remindMs = announcedMs(intent);
    const isEnded = leftMs <= 0;
    const isAnnounced = !isEnded && remindMs !== null && leftMs <= remindMs;
    if (isEnded) endIntent(factory, testbed, intent);
    if (isAnnounced) remind(factory, testbed, intent);
    if (isEnded || isAnnounced) isChanged = true;
    else dueMs = Math.min(dueMs, intent.until.at.uptimeMs - (remindMs ?? 0));
  }
  known.intentsWaiting = waiting;
  known.intentsDueMs = isChanged ? Number.NEGATIVE_INFINITY : dueMs;
}

/** How long before its end that is announced; null: it is not. A short one needs no reminder. */
function announcedMs({ kind, until, sinceMs, isReminded }: Intent): number | null {
  if (kind !== "reserved" || until === null || isReminded === true) return null;
  return until.wallMs - sinceMs > limits.remindMs ? limits.remindMs : null;
}

function endIntent(factory: Operated, testbed: string, intent: Intent): void {
  const { noun } = intentWords[intent.kind];
  const answer = `the ${noun} by ${intent.who} ended; jobs are taken again`;
  setIntent(factory, testbed, null, [
    entryOf(factory, { verb: `${noun} ended`, testbed, who: intent.who, answer }),
  ]);
  factory.log.info(answer, { testbed });
}

function remind(factory: Operated, testbed: string, intent: Intent): void {
  const { who, until } = intent;
  if (until === null) return;
  const left = showRoundDuration(until.wallMs - factory.clock.wallMs());
  const answer = `the reservation by ${who} ends in ${left}, at ${localMinute(until.wallMs)}; \`reserve\` again makes it longer`;
  const noted = entryOf(factory, { verb: "reminder", testbed, who, untilMs: until.wallMs, answer });
  setIntent(factory, testbed, { ...intent, isReminded: true }, [noted]);
  factory.log.warn(answer, { testbed });
}

/** What becomes of the testbed's job, for people; null: it has none. `isWithheld`: one that is not begun yet is passed on. */
export function describeJob(
  { known }: Pick<Operated, "known">,
  testbed: string,
  isWithheld: boolean,
): string | null {
  const open = openInstanceOf(known, testbed);
  if (open === undefined) return null;
  const { jobName } = memoryOf(known, open);
  const named = jobName === null ? `job ${open.job}` : `job ${JSON.stringify(jobName)} (${open.job})`;
  const job = open.job === null ? instanceName(open) : named;
  if (open.phase === "preparing" && isWithheld)
    return `${job} is not begun here: it goes to another testbed, or back to the queue`;
  return open.phase === "destroying" || open.phase === "stopped" ? `${job} is ending` : `${job} runs on`;
}
