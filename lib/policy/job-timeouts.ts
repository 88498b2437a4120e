/** The timeouts of an instance whose agent is alive: start_timeout, job_timeout, silence_timeout. Pure. */
import { elapsedMs, type Instance, type Moment, type WorkerView } from "../words/domain.ts";
import type { End } from "../words/end-cause.ts";
import { limits } from "./times-and-limits.ts";
import type { Look, Observation } from "./observation.ts";

/** The timeout that an instance with a live agent has passed; null: none. */
export function passedTimeout(
  instance: Instance,
  look: Look,
  worker: WorkerView,
  seen: Observation,
): End | null {
  const wentMs = wentAtMs(instance, seen.now);
  if (wentMs === null) return null;
  const { startTimeoutMs, jobTimeoutMs, silenceTimeoutMs, isOnline } = instance;
  const { answeringSinceMs, list } = seen.server;
  // A silent server is not the agent's fault: the time starts again when it answers. And only a list that was
  // requested after the limit proves that the agent was not online before it.
  if (!isOnline && worker === "offline" && answeringSinceMs !== null && list !== null) {
    if (list.askedAtMs >= Math.max(wentMs, answeringSinceMs) + startTimeoutMs) {
      return { cause: "never online", detail: `${startTimeoutMs / 1000} s` };
    }
  }
  if (jobTimeoutMs !== null && wentMs + jobTimeoutMs <= seen.now.uptimeMs) {
    return { cause: "job too long", detail: `${jobTimeoutMs / 1000} s` };
  }
  const silentAtMs = silentAt(instance, look, seen);
  // Only a later look proves that nothing was printed until then.
  if (silenceTimeoutMs !== null && silentAtMs !== null && look.atMs >= silentAtMs) {
    const silentMs = silenceTimeoutMs + look.atMs - silentAtMs;
    const detail = `${Math.floor(silentMs / 1000)} s (silence_timeout is ${silenceTimeoutMs / 1000} s)`;
    return { cause: "job silent", detail };
  }
  return null;
}

/** When the job will have run for too long; null: never, or it is not known. */
export function jobTimeoutAt(instance: Instance, now: Moment): number | null {
  const wentMs = wentAtMs(instance, now);
  return wentMs === null || instance.jobTimeoutMs === null ? null : wentMs + instance.jobTimeoutMs;
}

/**
 * When the instance is to be looked at again. A job's silence counts from the look that saw its last output. `announcedAtMs`: when
 * the end by silence is to be announced, if it is silent until then.
 */
export function lookDueMs(
  instance: Instance,
  look: Look,
  seen: Observation,
  announcedAtMs: number | null,
): number {
  const { silenceTimeoutMs } = instance;
  if (silenceTimeoutMs === null) return look.atMs + limits.lookMs;
  const nextMs = look.atMs + Math.min(limits.lookMs, Math.max(limits.silenceLookMs, silenceTimeoutMs / 4));
  const silentAtMs = silentAt(instance, look, seen);
  const dueMs = [silentAtMs, announcedAtMs].filter((atMs) => atMs !== null && atMs > look.atMs);
  return Math.min(nextMs, ...dueMs.map(Number));
}

/** When the job will have been silent for too long; null: never. It may be waiting for a server that does not answer. */
export function silentAt(
  { phase, wentAt, silenceTimeoutMs }: Instance,
  { view, printedMs }: Look,
  { now, server }: Observation,
): number | null {
  if (silenceTimeoutMs === null || phase !== "running" || view !== "alive") return null;
  const wentMs = wentAtMs({ wentAt }, now);
  if (wentMs === null || server.answeringSinceMs === null) return null;
  return Math.max(wentMs, printedMs, server.answeringSinceMs) + silenceTimeoutMs;
}

/** Null: its agent was not started, or in another boot. */
function wentAtMs({ wentAt }: Pick<Instance, "wentAt">, now: Moment): number | null {
  const ranMs = wentAt === null ? null : elapsedMs(wentAt, now);
  return ranMs === null ? null : now.uptimeMs - ranMs;
}
