/**
 * Times as the server reads and prints them: RFC 3339, in UTC, with as many digits as the value has
 * (lib/devserver/README.md "Conventions").
 */

/** 0, 3, 6 or 9 digits after the second, as few as hold the value. */
function trimFraction(digits: string): string {
  const used = digits
    .padEnd(9, "0")
    .slice(0, 9)
    .replace(/(?:000){1,3}$/, "");
  return used === "" ? "" : `.${used}`;
}

export function formatTime(wallMs: number): string {
  const whole = new Date(wallMs).toISOString();
  return `${whole.slice(0, 19)}${trimFraction(whole.slice(20, 23))}Z`;
}

export const formatOptionalTime = (wallMs: number | null): string | null =>
  wallMs === null ? null : formatTime(wallMs);

/** The same moment in UTC, to the nanosecond; null if the text is not a time with a zone. */
export function parseTime(text: string): string | null {
  const [, seconds = "", fraction = "", zone = ""] =
    /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/i.exec(text) ?? [];
  const wallMs = Date.parse(`${seconds}${zone.toUpperCase()}`);
  if (Number.isNaN(wallMs)) return null;
  return `${new Date(wallMs).toISOString().slice(0, 19)}${trimFraction(fraction)}Z`;
}

/** A duration as in control events: `1 h 2 m 3 s`, `5 s`. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const parts = [`${seconds % 60} s`];
  if (minutes > 0) parts.unshift(`${minutes} m`);
  if (hours > 0) parts.unshift(`${hours} h`);
  return parts.join(" ");
}
