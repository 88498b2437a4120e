/** Durations and sizes as people write them in the configuration and on the command line. */

export const dayMs = 86_400_000;
const unitMs: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: dayMs };

/** kB means 1000 and KiB 1024: both are in use, and each has its own unit. */
const unitBytes: Record<string, number> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
};

/** Milliseconds of "500ms", "90s", "5m", "2h" or "1d"; fractions are allowed. Null for any other text. */
export function parseDurationMs(text: string): number | null {
  return measure(text, unitMs);
}

/** Bytes of "10GB", "500MB" or "4GiB"; fractions are allowed. Null for any other text. */
export function parseBytes(text: string): number | null {
  return measure(text, unitBytes);
}

/** As parseDurationMs() reads it, in the largest unit that needs no fraction: `2h`, `90s`. */
export function writeDuration(ms: number): string {
  return write(ms, unitMs, "ms");
}

/** As parseBytes() reads it: `10GB`, `4GiB`. */
export function writeBytes(bytes: number): string {
  return write(bytes, unitBytes, "B");
}

/** The nearest whole number of minutes, or of seconds if it is less than one: `5 min`, `30 s`. */
export function showRoughly(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}

/** `0.4 s`, `12 s`, `3 min 05 s`, `2 h 07 min`. */
export function showDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${String(seconds % 60).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** The same without what is zero: `2 h`, `10 min`. */
export function showRoundDuration(ms: number): string {
  return showDuration(ms).replace(/ 00 (?:min|s)$/, "");
}

function measure(text: string, units: Record<string, number>): number | null {
  const [, count = "", unit = ""] = /^(\d{1,15}(?:\.\d{1,9})?) ?([A-Za-z]{1,3})$/.exec(text.trim()) ?? [];
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined;
  if (factor === undefined) return null;
  const amount = Math.round(Number(count) * factor);
  return Number.isSafeInteger(amount) ? amount : null;
}

function write(amount: number, units: Record<string, number>, least: string): string {
  const whole = Object.entries(units).filter(([, factor]) => amount % factor === 0 && amount >= factor);
  const [unit, factor] = whole.toSorted(([, a], [, b]) => b - a)[0] ?? [least, 1];
  return `${amount / factor}${unit}`;
}
