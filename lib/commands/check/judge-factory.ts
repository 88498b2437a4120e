/** What the factory of this database says of itself: whether it runs, what it has read, and what it has quarantined. Pure. */
import type { Testbed } from "../../config/config.ts";
import { compareSummaries, summaryOf } from "../../config/summary.ts";
import { localTime } from "../../words/log-line.ts";
import type { Facts, Seen } from "./facts.ts";
import { type Finding, ok, warning } from "./finding.ts";

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
  return [...testbeds].map(([name, how]) => warning(`testbed.${name}`, said[how], restart));
}

/** Null: it is not quarantined, or that cannot be read. */
export function judgeQuarantine({ quarantines }: Facts, { name }: Testbed): Finding | null {
  const found = quarantines.ok ? quarantines.value.get(name) : undefined;
  if (found === undefined) return null;
  const { strikes, reason, untilMs } = found;
  const why = `quarantined until ${localTime(untilMs)} after ${strikes} failures in a row: ${reason}`;
  const hint = `Fix that; "clear ${name} --because TEXT" then lifts it at once`;
  return warning(`testbed.${name}`, why, hint);
}
