/**
 * Times as the server reads and prints them: RFC 3339, in UTC, with as many digits as there are
 * (lib/devserver/README.md "Conventions").
 */

/** 0, 3, 6 or 9 digits after the second, as few as hold the value. */
function trimFraction(digits: string): string {
  const nine = digits.padEnd(9, "0").slice(0, 9);
  if (nine === "000000000") return "";
  if (nine.endsWith("000000")) return `.${nine.slice(0, 3)}`;
  if (nine.endsWith("000")) return `.${nine.slice(0, 6)}`;
  return `.${nine}`;
}

export function formatTime(wallMs: number): string {
  const whole = new Date(wallMs).toISOString();
  return `${whole.slice(0, 19)}${trimFraction(whole.slice(20, 23))}Z`;
}

/** The same moment in UTC, to the nanosecond, or why it is none, in the words of the server's own parser. */
export function parseTime(text: string): { ok: true; time: string } | { ok: false; why: string } {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|z|[+-]\d\d:\d\d)?$/.exec(text);
  if (match === null) return { ok: false, why: "input contains invalid characters" };
  const [, seconds = "", fraction = "", zone] = match;
  if (zone === undefined) return { ok: false, why: "premature end of input" };
  const wallMs = Date.parse(`${seconds}${zone.toUpperCase()}`);
  if (Number.isNaN(wallMs)) return { ok: false, why: "input is out of range" };
  return { ok: true, time: `${new Date(wallMs).toISOString().slice(0, 19)}${trimFraction(fraction)}Z` };
}

/** A length of time as the control events say it: `1 h 2 m 3 s`, `5 s`. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const parts = [`${seconds % 60} s`];
  if (minutes > 0) parts.unshift(`${minutes} m`);
  if (hours > 0) parts.unshift(`${hours} h`);
  return parts.join(" ");
}
