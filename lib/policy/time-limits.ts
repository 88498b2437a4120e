/** The limits of time that an instance may pass while its agent is alive. Pure. */
import { elapsedMs, type Instance, type WorkerView } from "../words/domain.ts";
import type { End } from "../words/end-cause.ts";
import type { Look, Observation } from "./observation.ts";

/** The time limit that an instance has passed whose agent is alive; null: it has passed none. */
export function passedLimit(
  instance: Instance,
  look: Look,
  worker: WorkerView,
  seen: Observation,
  isDue: (atMs: number) => boolean,
): End | null {
  if (instance.wentAt === null) return null;
  const now = seen.now.uptimeMs;
  const ranMs = elapsedMs(instance.wentAt, seen.now);
  if (ranMs === null) return null;
  const wentMs = now - ranMs;
  const { startTimeoutMs, jobTimeoutMs, silenceTimeoutMs, isOnline } = instance;
  const { answeringSinceMs, list } = seen.server;
  // A server that does not answer is no fault of the agent's: the time counts anew when it is back. And only a list
  // that was asked for after the limit proves that the agent was not online before it.
  if (!isOnline && worker === "offline" && answeringSinceMs !== null && list !== null) {
    if (list.askedAtMs >= Math.max(wentMs, answeringSinceMs) + startTimeoutMs) {
      return { cause: "never online", detail: `${startTimeoutMs / 1000} s` };
    }
  }
  if (jobTimeoutMs !== null && isDue(wentMs + jobTimeoutMs)) {
    return { cause: "job too long", detail: `${jobTimeoutMs / 1000} s` };
  }
  const silentAtMs = silentAt(instance, look, seen);
  // Only a look from after it proves that nothing was printed meanwhile.
  if (silenceTimeoutMs !== null && silentAtMs !== null && look.atMs >= silentAtMs) {
    const silentMs = silenceTimeoutMs + look.atMs - silentAtMs;
    const detail = `${Math.floor(silentMs / 1000)} s (silence_timeout is ${silenceTimeoutMs / 1000} s)`;
    return { cause: "job silent", detail };
  }
  return null;
}

/** When the job will have been silent for too long; null: never. A server that does not answer may be what it waits for. */
export function silentAt(
  { phase, wentAt, silenceTimeoutMs }: Instance,
  { view, printedMs }: Look,
  { now, server }: Observation,
): number | null {
  if (silenceTimeoutMs === null || wentAt === null || phase !== "running" || view !== "alive") return null;
  const ranMs = elapsedMs(wentAt, now);
  if (ranMs === null || server.answeringSinceMs === null) return null;
  return Math.max(now.uptimeMs - ranMs, printedMs, server.answeringSinceMs) + silenceTimeoutMs;
}
