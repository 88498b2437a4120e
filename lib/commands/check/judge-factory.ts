/** What the factory of this database says of itself: whether it runs, what it has read, and what it has quarantined. Pure. */
import type { Testbed } from "../../config/config.ts";
import { isReached } from "../../policy/free-testbeds.ts";
import type { Snapshot, TestbedState } from "../../status/snapshot.ts";
import { compareSummaries, summaryOf } from "../../config/summary.ts";
import { localTime } from "../../words/log-line.ts";
import type { Facts, Seen } from "./facts.ts";
import { error, type Finding, ok, warning } from "./finding.ts";

export function judgeRunning({ base, troubles }: Facts, isRunning: Seen<boolean>): Finding[] {
  if (!isRunning.ok) {
    const hint = `${base.database}.lock must be readable and writable by the factory's user`;
    return [warning("factory", `cannot tell whether a factory is running: ${isRunning.reason}`, hint)];
  }
  if (!isRunning.value) return [ok("factory", `none is running on ${base.database}`)];
  const one = ok("factory", `one is running on ${base.database}; a second one would not start`);
  if (troubles.ok) return [one];
  return [one, warning("factory", `cannot read its last reports: ${troubles.reason}`, null)];
}

const restart =
  "The factory reads a saved file within seconds, and logs what it does with it; restart it if the log says that something changes with the next start";

/** What several testbeds suffer from at once, in the running factory's words. */
export function judgeShared(facts: Facts): Finding[] {
  const snapshot = liveOf(facts);
  return (snapshot?.shared ?? []).map(({ reason, testbeds }) => {
    const state = snapshot?.testbeds.find(({ testbed }) => testbed === testbeds[0])?.state ?? "not known";
    return liveFinding("testbeds", `${reason} (${testbeds.join(", ")})`, state, testbeds);
  });
}

export function isShared(facts: Facts, { name }: Testbed): boolean {
  return liveOf(facts)?.shared.some(({ testbeds }) => testbeds.includes(name)) === true;
}

/** What the running factory says of a testbed; null: it takes jobs, or has one. */
export function judgeLive(facts: Facts, { name }: Testbed): Finding | null {
  const seen = liveOf(facts)?.testbeds.find(({ testbed }) => testbed === name);
  if (seen === undefined) return null;
  const { state, whyNot, whyNotNext, job, untilMs } = seen;
  const subject = `testbed.${name}`;
  if (job !== null) {
    const message = `takes no job after its own: ${whyNotNext}`;
    return whyNotNext === null ? null : { ...warning(subject, message, null), keepsJobsFrom: [name] };
  }
  if (whyNot === null) return null;
  const until = untilMs === null ? "" : `${state} until ${localTime(untilMs)}: `;
  return liveFinding(subject, `${until}${whyNot}`, state, [name]);
}

const liveOf = ({ live }: Facts): Snapshot | null => (live.ok ? live.value : null);

/** What a running factory that does not say more committed last. */
export function judgeTrouble(facts: Facts, testbed: Testbed): Finding | null {
  const { troubles } = facts;
  // Of a testbed that is on this host by now, what the factory said is out of date.
  const trouble = isReached(testbed) && troubles.ok ? troubles.value.get(testbed.name) : undefined;
  if (trouble === undefined || liveOf(facts) !== null) return null;
  return error(`testbed.${testbed.name}`, `the running factory says: ${trouble}`, noticed);
}

const noticed = "If it is fixed, the factory notices within 10 s";

/** What passes by itself, or is as an operator wants it. */
const passing: readonly TestbedState[] = [
  "paused",
  "reserved",
  "in use",
  "quarantined",
  "backing off",
  "preparing",
];

function liveFinding(subject: string, text: string, state: TestbedState, testbeds: string[]): Finding {
  const message = `the running factory says: ${text}`;
  const hint =
    state === "quarantined"
      ? `Fix that; "clear ${testbeds[0]} --because TEXT" then lifts it at once`
      : state === "unavailable" || state === "unreachable"
        ? noticed
        : null;
  const make = passing.includes(state) ? warning : error;
  return { ...make(subject, message, hint), keepsJobsFrom: testbeds };
}

/** How the file differs from what the running factory has read. */
export function judgeRunningConfig({ config, runningConfig }: Facts): Finding[] {
  if (!runningConfig.ok || runningConfig.value === null) return [];
  const { testbeds, isChanged } = compareSummaries(runningConfig.value, summaryOf(config));
  const said = {
    added: "the running factory has not read this section yet: it takes no jobs",
    changed: "its section was changed after the running factory read it",
    removed: "its section is gone, but the running factory still uses it",
  };
  if (isChanged && testbeds.size === 0) {
    return [warning("configuration", "it was changed after the running factory read it", restart)];
  }
  return [...testbeds].map(([name, how]) => ({
    ...warning(`testbed.${name}`, said[how], restart),
    ...(how === "added" ? { keepsJobsFrom: [name] } : {}),
  }));
}

/** Null: it is not quarantined, or that cannot be read. */
export function judgeQuarantine(facts: Facts, { name }: Testbed): Finding | null {
  const { quarantines } = facts;
  if (liveOf(facts) !== null) return null;
  const found = quarantines.ok ? quarantines.value.get(name) : undefined;
  if (found === undefined) return null;
  const { strikes, reason, untilMs } = found;
  const why = `quarantined until ${localTime(untilMs)} after ${strikes} failures in a row: ${reason}`;
  const hint = `Fix that; "clear ${name} --because TEXT" then lifts it at once`;
  return { ...warning(`testbed.${name}`, why, hint), keepsJobsFrom: [name] };
}
