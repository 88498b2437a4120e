/** What a snapshot says of a testbed whatever happens on it: its section, the operator's intent, its health. Pure. */
import type { ShownTestbed } from "../config/summary.ts";
import type { Health } from "../words/domain.ts";
import type { Intent } from "../words/intent.ts";
import { type Past, type Present, wallOf } from "./job-view.ts";
import type { TestbedSnapshot } from "./snapshot.ts";

/** `testbed` is null if it is no longer configured. The deadline of `intent` is one of this boot. */
export function testbedView(
  name: string,
  testbed: ShownTestbed | null,
  known: { intent: Intent | undefined; health: Health | undefined; past: Pick<Past, "recent"> },
  present: Present,
): TestbedSnapshot {
  return {
    testbed: name,
    type: testbed?.spType ?? null,
    targets: testbed?.targets ?? [],
    host: testbed?.host ?? null,
    service: testbed?.spRunnerUrl ?? null,
    state: "free",
    sinceMs: null,
    whyNot: null,
    whyNotNext: null,
    untilMs: null,
    note: testbed?.note ?? "",
    intent: intentView(known.intent, present),
    health: healthView(known.health, present),
    job: null,
    freeAt: null,
    recent: known.past.recent(name),
  };
}

/** Of a testbed in config.toml that the running factory does not know. */
export function unreadView(testbed: ShownTestbed): TestbedSnapshot {
  const nothing = { intent: undefined, health: undefined, past: { recent: () => [] } };
  return {
    ...testbedView(testbed.name, testbed, nothing, { now: { bootId: "", uptimeMs: 0 }, wallMs: 0 }),
    state: "not served",
    whyNot: "the running factory has not read its section yet",
  };
}

/** Null also for one whose time is over. */
function intentView(intent: Intent | undefined, present: Present): TestbedSnapshot["intent"] {
  if (intent === undefined) return null;
  const { kind, who, note, sinceMs, until, isAfterJob } = intent;
  const untilMs = wallOf(until?.at ?? null, present);
  if (untilMs !== null && !isAfterJob && untilMs <= present.wallMs) return null;
  return { kind, who, note, sinceMs, untilMs, isAfterJob };
}

function healthView(health: Health | undefined, present: Present): TestbedSnapshot["health"] {
  if (health === undefined) return null;
  const { strikes, reason, retryAt } = health;
  return { strikes, reason, untilMs: ifLater(wallOf(retryAt, present), present) };
}

export function ifLater(ms: number | null, { wallMs }: Present): number | null {
  return ms !== null && ms > wallMs ? ms : null;
}
