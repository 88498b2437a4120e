/**
 * What the loop remembers of how actions ended: an outage of the server, the back-off after failures. What goes wrong is logged
 * once, and once more when it has recovered.
 */
import type { Config } from "../config/config.ts";
import type { Clock } from "../doors/clock.ts";
import type { Random } from "../doors/random.ts";
import { type Action, rowOf } from "../policy/action.ts";
import { limits } from "../policy/times-and-limits.ts";
import { backOffMs, recordAnswer, recordSilence } from "../policy/server-view.ts";
import type { Store } from "../store/store.ts";
import type { Log } from "../words/logger.ts";
import { noteNow } from "./journal.ts";
import type { Memory } from "./memory.ts";
import type { Outcome } from "./outcome.ts";

export interface FailureParts {
  known: Pick<Memory, "server" | "retryAtMs" | "failures" | "tally">;
  config: { general: Pick<Config["general"], "baseurl"> };
  clock: Pick<Clock, "uptimeMs" | "wallMs">;
  store: Pick<Store, "note">;
  random: Pick<Random, "fraction">;
  log: Log;
}

/** Takes in how an action ended. */
export function recordOutcome(parts: FailureParts, action: Action, outcome: Outcome): void {
  if (outcome.kind === "outage") parts.known.tally.serverErrors += 1;
  if (outcome.kind === "outage" && rowOf(action).isServerWide === true)
    recordOutage(parts, action, outcome.reason);
  else if (outcome.kind === "failed" || outcome.kind === "outage") recordFailure(parts, action, outcome);
  else recordSuccess(parts, action, outcome);
}

/** The server as a whole does not answer. */
function recordOutage(parts: FailureParts, action: Action, reason: string): void {
  const { known, config, clock, random, log } = parts;
  if (!known.failures.has("server")) {
    log.error(`the server ${config.general.baseurl} (general.baseurl) does not answer: ${reason}`);
    known.failures.set("server", { count: 1, message: reason });
    noteNow(parts, { what: "server", is: "does not answer", lines: [reason] });
  }
  recordSilence(known.server, clock.uptimeMs(), random.fraction());
  known.retryAtMs.set(rowOf(action).key(action), known.server.retryAtMs);
}

function recordFailure(
  { known, clock, random, log }: FailureParts,
  action: Action,
  outcome: Extract<Outcome, { reason: string }>,
): void {
  const { key: keyOf, about, isServerWide, isPreflight } = rowOf(action);
  const key = keyOf(action);
  const before = known.failures.get(key);
  const count = (before?.count ?? 0) + 1;
  // Whether the server as a whole is away, the list shows; one call alone says nothing of it, and is not logged.
  const isOutage = outcome.kind === "outage";
  if (isOutage) known.server.isListWanted = true;
  else if (before?.message !== outcome.reason) log.warn(outcome.reason, about(action));
  if (isServerWide === true) {
    known.server.answeringSinceMs = null;
    known.server.silentSinceMs ??= clock.uptimeMs();
  }
  known.failures.set(key, { count, message: isOutage ? (before?.message ?? null) : outcome.reason });
  const waitMs = backOffMs(count - 1, random.fraction());
  const longestMs = isPreflight === true ? limits.faultyHostMs : waitMs;
  known.retryAtMs.set(key, clock.uptimeMs() + Math.min(waitMs, longestMs));
}

function recordSuccess(
  parts: FailureParts,
  action: Action,
  outcome: Exclude<Outcome, { reason: string }>,
): void {
  const { known, clock, log } = parts;
  const { key: keyOf, about, isServerWide } = rowOf(action);
  const key = keyOf(action);
  const nowMs = clock.uptimeMs();
  const before = known.failures.get(key);
  const isLogged = before !== undefined && before.message !== null;
  known.failures.delete(key);
  known.retryAtMs.delete(key);
  if (outcome.kind === "waiting") {
    known.retryAtMs.set(key, nowMs + outcome.ms);
    // What comes and goes is logged once.
    if (isLogged) known.failures.set(key, { ...before, count: 0 });
  } else if (isLogged) log.info(`${action.kind}: recovered`, about(action));
  if (isServerWide !== true) return;
  if (known.failures.delete("server")) {
    log.info("the server answers again");
    // With a token that it refuses it is not well again: its refusal is on record.
    if (!known.server.isTokenRefused) noteNow(parts, { what: "server", is: "answers again", lines: [] });
  }
  recordAnswer(known.server, nowMs);
}
