/**
 * An operator's word that nothing of an instance is left running: what it changes. It ends the instance; wind-down.ts relies on it
 * only if nothing else can be found out.
 */
import { type Act, type ActAnswer, refused } from "../control/act.ts";
import { type Changes, type Instance, instanceName } from "../words/domain.ts";
import type { End } from "../words/end-cause.ts";
import { endedBy, endText, toldOwner } from "../policy/end-causes.ts";
import { memoryOf } from "./instance-memory.ts";
import { notedNow } from "./journal.ts";
import { dropRetries, logFor } from "./memory.ts";
import { entryOf, type Operated } from "./operator-intents.ts";
import { testbedMemory } from "./testbed-memory.ts";

/** What becomes of an open instance, whatever its phase. Its job's owner reads why, unless its end was decided before. */
export function clearedBy(instance: Instance, because: string): Changes {
  const { phase, endReason, endCause, untold } = instance;
  const end: End = { cause: "cleared", detail: because };
  const isEnding = phase === "destroying" || phase === "stopped";
  return {
    isCleared: true,
    phase: phase === "stopped" ? phase : "destroying",
    ...(endReason === null ? endedBy(end) : { endReason, endCause }),
    untold: isEnding ? untold : toldOwner(end),
  };
}

/**
 * Only commits: the next pass acts on it. `seqs`: the instances that the operator vouches for; without one only the testbed's
 * failures are cleared. Null: an action is under way there, or nobody knows yet what is held.
 */
export function clear(
  factory: Operated,
  { testbed, seqs, because, who, note }: Act & { testbed: string; who: string },
  isRunning: boolean,
): ActAnswer | null {
  const { known, store, clock } = factory;
  if (isRunning && known.busy.has(`testbed ${testbed}`)) return null;
  const names = seqs.map((seq) => instanceName({ testbed, seq }));
  const rows = names.map((name) => known.instances.get(name)?.row);
  for (const row of rows) {
    const worker = row?.worker ?? null;
    if (row === undefined || worker === null || !isRunning) continue;
    // The first list says what is held. A server that is away does not keep an operator waiting: it is asked again before the end.
    if (known.server.list === null && !known.failures.has("server")) return null;
    if (known.server.list?.workers.get(worker)?.hold === true) {
      return refused(heldText(instanceName(row), worker));
    }
  }
  const lines = rows.map((row, index) =>
    row === undefined ? `${names[index]} has already ended` : `${names[index]}: ${whatFollows}`,
  );
  if (lines.length === 0) lines.push(`${testbed} can take the next job`);
  const noted = entryOf(factory, {
    verb: "clear",
    testbed,
    who,
    note: because || note,
    answer: lines.join("\n"),
  });
  const cleared: Instance[] = [];
  store.atOnce(() => {
    commitHealthy(factory, testbed, `${who} cleared it`);
    for (const row of rows) {
      // Said again, or committed just before a crash.
      if (row !== undefined && !row.isCleared) cleared.push(store.advance(row, clearedBy(row, because)));
    }
    store.note([noted]);
  });
  forgetFailures(factory, testbed);
  for (const row of cleared) {
    const memory = memoryOf(known, row);
    // A worker that its request may still make is a stranger from now on.
    if (memory.row.phase === "creating") known.server.lastSettledMs = clock.uptimeMs();
    memory.row = row;
    logFor(factory, row).warn(endText({ cause: "cleared", detail: because }));
  }
  return { isDone: true, lines };
}

/** Commits that its failures no longer count. `reason` is for people. */
export function commitHealthy(
  { store, known, clock }: Pick<Operated, "store" | "known" | "clock">,
  testbed: string,
  reason: string,
): void {
  if (testbedMemory(known, testbed).health === null) return;
  store.setHealth(testbed, null, notedNow({ clock }, [{ what: "health", testbed, is: "recovered", reason }]));
}

/** Its next step is not put off any longer. The store knows it already. */
export function forgetFailures({ known }: Pick<Operated, "known">, testbed: string): void {
  const record = testbedMemory(known, testbed);
  record.health = null;
  record.rest = null;
  dropRetries(known, testbed);
}

/** What a word leads to, for people. */
export const whatFollows =
  "what is left of it is stopped, its worker is deleted, and then the testbed is free";

export function heldText(name: string, worker: string): string {
  return `${name}: its worker ${worker} is held on the server: nothing is touched until an administrator releases it there`;
}
