/**
 * An operator's word that nothing of an instance is left running: what it changes, and how the loop takes it up. It ends the
 * instance; wind-down.ts relies on it only if nothing else can be found out.
 */
import { type Changes, type Instance, instanceName } from "../words/domain.ts";
import type { End } from "../words/end-cause.ts";
import { endedBy, endText, toldOwner } from "../policy/end-causes.ts";
import { isPassing } from "../store/store.ts";
import type { OperatorWord, WordAnswer } from "../store/operator-words.ts";
import { advance } from "./instance-memory.ts";
import { type Factory, logFor } from "./memory.ts";
import { clearStrikes, testbedMemory } from "./testbed-memory.ts";

type Needs = Pick<Factory, "clock" | "known" | "log" | "store">;

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

/** Only commits: the next pass acts on it. A testbed on which an action is under way is left for the pass after it. */
export function takeWords(factory: Needs): void {
  const { store, known } = factory;
  try {
    for (const word of store.words()) {
      if (known.busy.has(`testbed ${word.testbed}`)) continue;
      const answer = take(factory, word);
      if (answer !== null) store.answerWord(word, answer);
    }
  } catch (error) {
    // Nothing was committed, and the word is still there.
    if (!isPassing(error)) throw error;
  }
}

/** Null: it cannot be answered yet. */
function take(factory: Needs, { testbed, seq, because }: OperatorWord): WordAnswer | null {
  const { known, clock } = factory;
  const name = instanceName({ testbed, seq });
  const instance = known.instances.get(name)?.row;
  const worker = instance?.worker ?? null;
  if (worker !== null) {
    // The first list says what is held. A server that is away does not keep an operator waiting: it is asked again before the end.
    if (known.server.list === null && !known.failures.has("server")) return null;
    if (known.server.list?.workers.get(worker)?.hold === true)
      return { isObeyed: false, text: heldText(name, worker) };
  }
  clearStrikes(factory, testbed, "an operator cleared it");
  testbedMemory(known, testbed).rest = null;
  for (const what of ["testbed", "reach", "check"]) known.retryAtMs.delete(`${what} ${testbed}`);
  if (seq === 0) return { isObeyed: true, text: `${testbed} can take the next job` };
  if (instance === undefined) return { isObeyed: true, text: `${name} has already ended` };
  // Said again, or committed just before a crash.
  if (!instance.isCleared) {
    // A worker that its request may still make is a stranger from now on.
    if (instance.phase === "creating") known.server.lastSettledMs = clock.uptimeMs();
    const cleared = advance(factory, instance, clearedBy(instance, because));
    logFor(factory, cleared).warn(endText({ cause: "cleared", detail: because }));
  }
  return { isObeyed: true, text: `${name}: ${whatFollows}` };
}

/** What a word leads to, for people. */
export const whatFollows =
  "what is left of it is stopped, its worker is deleted, and then the testbed is free";

export function heldText(name: string, worker: string): string {
  return `${name}: its worker ${worker} is held on the server: nothing is touched until an administrator releases it there`;
}
