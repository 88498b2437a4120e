/** A clock that stands still until a test moves it. Sleeps and deadlines end in their order, at their own moment. */
import { randomUUID } from "node:crypto";
import type { Clock } from "../../lib/doors/clock.ts";

export interface SettableClock extends Clock {
  /**
   * Moves both clocks on, from one sleep's or deadline's end to the next, and lets what waited for each run on before time moves
   * further, so that a loop that sleeps again is counted again.
   */
  advance(ms: number): Promise<void>;
  /** Sleeps and deadlines that have not ended: 0 when nothing was left behind. */
  waiting(): number;
}

interface Alarm {
  atMs: number;
  ring(): void;
}

/** Where it starts is of no account, unless a test says so. */
export function createSettableClock(
  start: { wallMs?: number; uptimeMs?: number; bootId?: string } = {},
): SettableClock {
  const wallAtStart = start.wallMs ?? Date.UTC(2026, 0, 1);
  const uptimeAtStart = start.uptimeMs ?? 1_000_000;
  const alarms = new Set<Alarm>();
  let passedMs = 0;

  const setAlarm = (ms: number, ring: () => void): Alarm => {
    const alarm: Alarm = { atMs: passedMs + Math.max(ms, 0), ring };
    alarms.add(alarm);
    return alarm;
  };
  const nextAlarm = (): Alarm | undefined => {
    let next: Alarm | undefined;
    for (const alarm of alarms) if (next === undefined || alarm.atMs < next.atMs) next = alarm;
    return next;
  };
  /** A turn of the event loop: a sleeper that was woken sleeps again, or waits for something real. */
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  return {
    wallMs: () => wallAtStart + passedMs,
    wallTime: () => new Date(wallAtStart + passedMs).toISOString().replace("Z", "000000Z"),
    uptimeMs: () => uptimeAtStart + passedMs,
    bootId: start.bootId ?? randomUUID(),
    waiting: () => alarms.size,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted === true) return resolve();
        const finish = (): void => {
          alarms.delete(alarm);
          signal?.removeEventListener("abort", finish);
          resolve();
        };
        const alarm = setAlarm(ms, finish);
        signal?.addEventListener("abort", finish);
      }),
    deadline: (ms) => {
      const controller = new AbortController();
      const alarm = setAlarm(ms, () => {
        alarms.delete(alarm);
        controller.abort();
      });
      return { signal: controller.signal, release: () => void alarms.delete(alarm) };
    },
    advance: async (ms) => {
      const untilMs = passedMs + ms;
      await settle();
      for (let next = nextAlarm(); next !== undefined && next.atMs <= untilMs; next = nextAlarm()) {
        passedMs = Math.max(passedMs, next.atMs);
        next.ring();
        await settle();
      }
      passedMs = untilMs;
    },
  };
}
