/**
 * The snapshot without a factory that says what it knows: from its files and the configuration alone. Pure. No testbed is free in
 * it, because nobody takes jobs, or nobody knows.
 */
import type { ShownTestbed } from "../config/summary.ts";
import { afterStrikes, intentText, targetIds, unservedText } from "../policy/free-testbeds.ts";
import type { Health, Instance, Trouble } from "../words/domain.ts";
import type { Intent } from "../words/intent.ts";
import { freeAt, jobView, type Past, type Present, stateOf } from "./job-view.ts";
import { ifStopped, sharedReasons } from "./lab-wide.ts";
import type { ShownConfig } from "./shown-config.ts";
import type { Snapshot, TestbedSnapshot, TestbedState } from "./snapshot.ts";
import { testbedView, unreadView } from "./testbed-view.ts";

export interface Stored extends Present {
  config: ShownConfig;
  /** The server's; null: the configuration cannot be read. */
  url: string | null;
  database: string;
  /** Why the factory that runs does not say what it knows; null: none runs. */
  whySilent: string | null;
  open: Instance[];
  health: ReadonlyMap<string, Health>;
  /** With deadlines of this boot. */
  intents: ReadonlyMap<string, Intent>;
  /** What a running factory committed; what an ended one did is out of date. */
  troubles: ReadonlyMap<string, Trouble>;
  past: Past;
}

export function storedSnapshot(stored: Stored): Snapshot {
  const { config, url, database, whySilent, wallMs, open } = stored;
  const isRunning = whySilent !== null;
  const unread = new Set(config.unread.map(({ name }) => name));
  const configured = [...config.testbeds, ...config.unread];
  const names = new Set(configured.map(({ name }) => name));
  const testbeds = [
    ...configured.map((testbed): TestbedSnapshot => {
      const instance = open.find((each) => each.testbed === testbed.name);
      if (instance !== undefined) return busy(instance, testbed, stored);
      return idle(testbed, unread.has(testbed.name), stored);
    }),
    ...open.filter(({ testbed }) => !names.has(testbed)).map((instance) => busy(instance, null, stored)),
  ];
  return {
    format: 1,
    madeMs: wallMs,
    source: "files",
    factory: { isRunning, version: null, mode: null, startedMs: null, database },
    server: { url, is: "not known", sinceMs: null, reason: null, leases: 0 },
    remarks: config.remarks,
    shared: sharedReasons(testbeds),
    ifStopped: isRunning ? ifStopped(open, 0) : null,
    testbeds,
  };
}

/** For whom no testbed takes a job. */
function everybody({ whySilent }: Stored): { state: TestbedState; reason: string } {
  if (whySilent === null) return { state: "no factory", reason: "no factory is running" };
  return { state: "not known", reason: `the running factory does not say: ${whySilent}` };
}

function busy(instance: Instance, testbed: ShownTestbed | null, stored: Stored): TestbedSnapshot {
  const { wallMs, past, whySilent } = stored;
  const view = viewOf(instance.testbed, testbed, stored);
  const state = stateOf(instance);
  // Without a factory a job runs on: only its beginning and its end wait for the next start.
  const waits = state === "running" ? null : everybody(stored).reason;
  const stuck = whySilent === null ? waits : (stored.troubles.get(instance.testbed)?.reason ?? null);
  const job = jobView(instance, stored, { name: null, silentMs: null, stuck });
  const never = testbed === null ? "it is no longer configured" : whyNever(testbed, view, stored)?.reason;
  return {
    ...view,
    state,
    sinceMs: state === "running" ? job.wentMs : state === "preparing" ? job.leasedMs : null,
    whyNot: "a job has it",
    whyNotNext: never ?? (whySilent === null ? everybody(stored).reason : null),
    job,
    freeAt: state === "ending" ? null : freeAt(job, instance.testbed, { past, wallMs }),
  };
}

function idle(testbed: ShownTestbed, isUnread: boolean, stored: Stored): TestbedSnapshot {
  const view = viewOf(testbed.name, testbed, stored);
  if (isUnread) return unreadView(testbed);
  const all = everybody(stored);
  const own = whyNever(testbed, view, stored) ?? whyNotNow(testbed, view, stored);
  if (own === null) return { ...view, state: all.state, whyNot: all.reason };
  const { reason, ...rest } = own;
  return { ...view, ...rest, whyNot: stored.whySilent === null ? `${reason}; ${all.reason}` : reason };
}

type Why = { state: TestbedState; reason: string; sinceMs?: number; untilMs?: number | null };

/** Whether a factory runs or not. */
function whyNever(testbed: ShownTestbed, { intent }: TestbedSnapshot, { config }: Stored): Why | null {
  if (!testbed.enabled) return { state: "disabled", reason: "enabled = false" };
  if (targetIds(testbed, config).length === 0) return { state: "not served", reason: unservedText(testbed) };
  if (intent === null || intent.isAfterJob) return null;
  const { kind, sinceMs, untilMs } = intent;
  return { state: kind, reason: intentText(intent), sinceMs, untilMs };
}

function whyNotNow(
  testbed: ShownTestbed,
  { health }: TestbedSnapshot,
  { troubles, whySilent }: Stored,
): Why | null {
  if (health !== null && health.untilMs !== null) {
    const { strikes, reason, untilMs } = health;
    return { state: afterStrikes(strikes), reason, untilMs };
  }
  const trouble = whySilent === null ? undefined : troubles.get(testbed.name);
  return trouble === undefined
    ? null
    : { state: "unavailable", reason: trouble.reason, sinceMs: trouble.sinceMs };
}

function viewOf(name: string, testbed: ShownTestbed | null, stored: Stored): TestbedSnapshot {
  const { intents, health, past } = stored;
  return testbedView(name, testbed, { intent: intents.get(name), health: health.get(name), past }, stored);
}
