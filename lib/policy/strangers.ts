/** Workers of ours that belong to no open instance: which of them are to be deleted, and when a request for one is given up. */
import type { Instance } from "../words/domain.ts";
import type { Worker } from "../server/factory-side.ts";
import { limits } from "./times-and-limits.ts";
import type { Observation } from "./observation.ts";

/** `isAnyUnconfirmed`: another list must confirm one. `settledMs`: before this uptime none is confirmed. */
export function judgeStrangers(
  open: readonly Instance[],
  seen: Pick<Observation, "now" | "startedMs" | "server">,
): { confirmed: Worker[]; isAnyUnconfirmed: boolean; settledMs: number } {
  const { list, lastSettledMs, firstListedMs } = seen.server;
  const settledMs = open.reduce((ms, each) => Math.max(ms, settlesUntilMs(each, seen)), 0);
  if (list === null) return { confirmed: [], isAnyUnconfirmed: false, settledMs };
  const isAnySettling = settledMs > seen.now.uptimeMs;
  const ours = new Set(open.map(({ worker }) => worker));
  const confirmed: Worker[] = [];
  let isAnyUnconfirmed = false;
  for (const worker of list.workers.values()) {
    if (ours.has(worker.id) || worker.hold) continue;
    const listedMs = firstListedMs.get(worker.id) ?? list.askedAtMs;
    const isForgotten = !worker.online && list.askedAtMs - listedMs >= limits.strangerMs;
    if (worker.private !== null && !worker.recycle && !isForgotten) continue;
    // An unassociated worker may be the answer to a request that was open when the first list was asked for.
    const isJudged = worker.private !== null || listedMs > lastSettledMs;
    const isConfirmed = isJudged && !isAnySettling && list.askedAtMs - listedMs >= limits.confirmMs;
    if (isConfirmed) confirmed.push(worker);
    else isAnyUnconfirmed = true;
  }
  return { confirmed, isAnyUnconfirmed, settledMs };
}

/**
 * Until when a worker of no instance may be the answer to this one's request: one that cannot be settled is given up in the end.
 * Only time in which this run had a server that answers counts: a request that was sent before may be settled yet.
 */
export function settlesUntilMs(
  { phase, createSentAt }: Instance,
  { now, startedMs, server }: Pick<Observation, "now" | "startedMs" | "server">,
): number {
  if (phase !== "creating") return Number.NEGATIVE_INFINITY;
  const sentMs = createSentAt?.bootId === now.bootId ? createSentAt.uptimeMs : startedMs;
  return Math.max(sentMs, startedMs, server.answeringSinceMs ?? now.uptimeMs) + limits.settleMs;
}
