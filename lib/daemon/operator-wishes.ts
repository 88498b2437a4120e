/** pause, reserve, quarantine, and what takes them back: resume, release, trust. A job that runs is never touched. */
import { type Act, type ActAnswer, refused } from "../control/act.ts";
import { whyNoLease, whyNotFree } from "../policy/free-testbeds.ts";
import type { Observation } from "../policy/observation.ts";
import { limits } from "../policy/times-and-limits.ts";
import { showRoundDuration } from "../words/duration.ts";
import { deadlineIn, type Intent, type IntentKind } from "../words/intent.ts";
import { now } from "./memory.ts";
import { commitHealthy, forgetFailures } from "./operator-clear.ts";
import {
  describeIntent,
  describeJob,
  describeObstacle,
  entryOf,
  intentWords,
  type Operated,
  setIntent,
} from "./operator-intents.ts";
import { testbedMemory } from "./testbed-memory.ts";

type Asked<Verb extends Act["verb"]> = Act & { verb: Verb; testbed: string; who: string };

const wanted = { pause: "paused", reserve: "reserved", quarantine: "quarantined" } as const;
const lifted = { resume: "paused", release: "reserved", trust: "quarantined" } as const;

export function want(factory: Operated, act: Asked<keyof typeof wanted>): ActAnswer {
  const { verb, testbed, who, note, isAfterJob } = act;
  const { clock, known, log } = factory;
  const kind = wanted[verb];
  const { intent: before } = testbedMemory(known, testbed);
  if (before !== null && !mayReplace(before, kind, who)) {
    return refused(`${testbed} is ${describeObstacle(before, testbed)}`);
  }
  const forMs = act.forMs ?? (kind === "reserved" ? limits.reservationMs : null);
  const wallMs = clock.wallMs();
  const isTimed = forMs !== null && !isAfterJob;
  const intent: Intent = {
    kind,
    who,
    note,
    sinceMs: wallMs,
    until: isTimed ? deadlineIn(forMs, { now: now(factory), wallMs }) : null,
    isAfterJob,
    ...(forMs !== null && isAfterJob ? { forMs } : {}),
  };
  const job = describeJob(factory, testbed, !isAfterJob);
  const length = forMs === null ? "" : showRoundDuration(forMs);
  const when = isAfterJob ? `after ${job === null ? "its next job" : "the job that it has"}` : null;
  const replaced = before === null ? null : `before, it was ${describeIntent(before)}`;
  const isOpen = forMs === null && when === null && job === null;
  const said = [
    describeIntent(intent),
    isTimed ? ` (${length})` : forMs === null ? "" : ` for ${length}`,
    when === null ? "" : `, ${when}`,
    isOpen ? ` until \`${intentWords[kind].endedBy} ${testbed}\`` : "",
    job === null ? "" : `; ${job}`,
  ].join("");
  const lines = [said, ...(replaced === null ? [] : [replaced])].map((line) => `${testbed}: ${line}`);
  if (kind === "reserved" && act.forMs === undefined) {
    lines.push(
      `${testbed}: ${showRoundDuration(limits.reservationMs)} is the usual; --for 3h makes it longer`,
    );
  }
  const answer = [when, job, replaced].filter((each) => each !== null).join("; ");
  const entry = { verb, testbed, who, note, untilMs: intent.until?.wallMs ?? null, answer };
  setIntent(factory, testbed, intent, [entryOf(factory, entry)]);
  log.info(`${said}${note === "" ? "" : `: ${note}`}`, { testbed });
  return { isDone: true, lines };
}

/** One's own, or a pause, or the same again; but nobody reserves what somebody else wants otherwise. */
function mayReplace(before: Intent, kind: IntentKind, who: string): boolean {
  return before.who === who || (kind !== "reserved" && (before.kind === kind || before.kind === "paused"));
}

/** Also `trust` of what the factory itself has quarantined. */
export function lift(
  factory: Operated,
  { verb, testbed, who, note, isForced }: Asked<keyof typeof lifted>,
  observe: (() => Observation) | null,
): ActAnswer {
  const { known, store, log } = factory;
  const record = testbedMemory(known, testbed);
  const kind = lifted[verb];
  const { intent: before, health } = record;
  const isIntent = before?.kind === kind;
  const isHealth = verb === "trust" && health !== null;
  if (!isIntent && !isHealth) {
    const other = before === null ? "" : `, but ${describeObstacle(before, testbed)}`;
    // What was wanted is so, unless something else keeps jobs away.
    return { isDone: before === null, lines: [`${testbed} is not ${kind}${other}`] };
  }
  if (isIntent && kind === "reserved" && before.who !== who && !isForced) {
    return refused(`${testbed} is ${describeIntent(before)}; --yes releases it all the same`);
  }
  const was = isIntent ? describeIntent(before) : `quarantined by the factory: ${health?.reason}`;
  const answer = `no longer ${was}`;
  const noted = entryOf(factory, { verb, testbed, who, note, answer });
  const next = isIntent ? null : before;
  store.atOnce(() => {
    if (isHealth) commitHealthy(factory, testbed, `${who} trusts it`);
    store.setIntent(testbed, next, [noted]);
  });
  record.intent = next;
  known.intentsDueMs = Number.NEGATIVE_INFINITY;
  if (isHealth) forgetFailures(factory, testbed);
  log.info(`${verb} by ${who}: ${answer}${note === "" ? "" : `: ${note}`}`, { testbed });
  return {
    isDone: true,
    lines: [answer, ...(observe === null ? [] : [outlook(testbed, observe())])].map(
      (line) => `${testbed}: ${line}`,
    ),
  };
}

/** What the plan says of it now. */
function outlook(name: string, seen: Observation): string {
  const testbed = seen.config.testbeds.find((each) => each.name === name);
  if (testbed === undefined) return "it is not configured any more";
  // Locks are looked at while a testbed is free, which it is again now.
  const why = whyNotFree(testbed, seen) ?? whyNoLease({ ...seen, locksSeenMs: seen.locksSeenMs ?? 0 });
  return why === null ? "it takes jobs" : `it takes no job now: ${why.reason}`;
}
