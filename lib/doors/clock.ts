/**
 * The clock's door: the only file that reads time or waits for it. It knows nothing of what the time is for.
 */
import { readFileSync } from "node:fs";
import { uptime } from "node:os";

export interface Clock {
  /** Milliseconds since 1970. For showing, event times and retention; no decision uses it, because it can jump. */
  wallMs(): number;
  /** The same as a text, in UTC, with nanoseconds: events of one millisecond keep their order. */
  wallTime(): string;
  /** Milliseconds since this machine booted, suspended time included. Every deadline counts in it. */
  uptimeMs(): number;
  /** Names this boot of this machine: an uptime is comparable only with one of the same boot. */
  readonly bootId: string;
  /** Resolves after `ms`, or at once when `signal` aborts. Never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** A signal that aborts after `ms`. Release it when the wait is over, so that no timer is left. */
  deadline(ms: number): { signal: AbortSignal; release(): void };
}

/** Longest wait that the runtime's timers take (2^31-1 ms); a longer one would fire at once. */
const longestTimerMs = 2_147_483_647;

export function openClock(): Clock {
  return {
    wallMs: () => Date.now(),
    wallTime: openWallTime(),
    uptimeMs: readUptimeMs,
    bootId: readBootId(),
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted === true) return resolve();
        const finish = (): void => {
          clearTimeout(timer);
          signal?.removeEventListener("abort", finish);
          resolve();
        };
        const timer = setTimeout(finish, Math.min(Math.max(ms, 0), longestTimerMs));
        signal?.addEventListener("abort", finish);
      }),
    deadline: (ms) => {
      const controller = new AbortController();
      const timer = setTimeout(() => controller.abort(), Math.min(ms, longestTimerMs));
      return { signal: controller.signal, release: () => clearTimeout(timer) };
    },
  };
}

/** The runtime's wall clock has whole milliseconds. What lies between is counted from the last one that was read here. */
function openWallTime(): () => string {
  let startMs = Date.now();
  let startNs = Bun.nanoseconds();
  return () => {
    const nowMs = Date.now();
    let passedNs = Bun.nanoseconds() - startNs;
    // The clock was set.
    if (Math.abs(startMs + passedNs / 1e6 - nowMs) > 2) {
      startMs = nowMs;
      startNs += passedNs;
      passedNs = 0;
    }
    const whole = new Date(startMs + Math.floor(passedNs / 1e6)).toISOString();
    return `${whole.slice(0, -1)}${String(passedNs % 1e6).padStart(6, "0")}Z`;
  };
}

/** /proc/uptime is CLOCK_BOOTTIME (counts suspend) with 10 ms steps; elsewhere the runtime's own figure serves. */
function readUptimeMs(): number {
  try {
    return Math.round(Number.parseFloat(readFileSync("/proc/uptime", "latin1")) * 1000);
  } catch {
    return Math.round(uptime() * 1000);
  }
}

function readBootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  } catch {
    // macOS and illumos: the boot's moment, to the minute, because it is computed from two clocks.
    return `boot-${Math.round((Date.now() - uptime() * 1000) / 60_000)}`;
  }
}
