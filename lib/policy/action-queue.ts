/**
 * What is to be done now, and when the plan is to be made again. An action that is under way, that failed a short while ago or
 * that needs a server that is away is left out. It knows no policy.
 */
import { type Action, type Plan, rowOf } from "./action.ts";
import type { Observation } from "./observation.ts";

export interface Agenda {
  /** To be begun at this uptime: now, if that has come; if not, the plan is made again then. */
  add(action: Action, dueMs?: number): void;
  /**
   * The same for a question to another host, after all others. Not all may find a place at once: those that were not asked for
   * longest go first.
   */
  addFar(action: Action, lastAskedMs: number, dueMs?: number): void;
  /** The plan is made again at this uptime even if nothing happens. */
  wakeAt(atMs: number): void;
  plan(): Plan;
}

/** Before any uptime: due at once, and never asked yet. */
export const atOnceMs = Number.MIN_SAFE_INTEGER;

export function openAgenda(seen: Pick<Observation, "now" | "busy" | "retryAtMs" | "server">): Agenda {
  const now = seen.now.uptimeMs;
  const actions: Action[] = [];
  const far: { action: Action; lastAskedMs: number; dueMs: number }[] = [];
  const keys = new Set(seen.busy);
  let wakeAtMs = Number.POSITIVE_INFINITY;

  function wakeAt(atMs: number): void {
    if (atMs > now) wakeAtMs = Math.min(wakeAtMs, atMs);
  }

  function add(action: Action, dueMs = atOnceMs): void {
    if (dueMs > now) return wakeAt(dueMs);
    const { key: keyOf, needsServer } = rowOf(action);
    const key = keyOf(action);
    if (keys.has(key)) return;
    const serverMs = needsServer === true ? seen.server.retryAtMs : atOnceMs;
    const readyMs = Math.max(seen.retryAtMs.get(key) ?? atOnceMs, serverMs);
    if (readyMs > now) return wakeAt(readyMs);
    keys.add(key);
    actions.push(action);
  }

  return {
    add,
    addFar: (action, lastAskedMs, dueMs = atOnceMs) => void far.push({ action, lastAskedMs, dueMs }),
    wakeAt,
    plan: () => {
      for (const { action, dueMs } of far.toSorted((a, b) => a.lastAskedMs - b.lastAskedMs))
        add(action, dueMs);
      return { actions, wakeAtMs };
    },
  };
}
