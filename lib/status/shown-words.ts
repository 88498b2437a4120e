/** The times, signs and colours in which a snapshot is shown to people. Pure. */
import type { JobResult } from "../words/journal.ts";
import { localTime } from "../words/log-line.ts";
import type { TestbedSnapshot, TestbedState } from "./snapshot.ts";

export const resultSigns: Record<JobResult, string> = {
  passed: "✓",
  failed: "✗",
  cancelled: "-",
  lost: "!",
  ended: "·",
  "not begun": "0",
};

export type Colour = "green" | "cyan" | "yellow" | "red" | "dim";

const codes: Record<Colour, number> = { green: 32, cyan: 36, yellow: 33, red: 31, dim: 2 };

export const stateColours: Record<TestbedState, Colour> = {
  free: "green",
  preparing: "cyan",
  running: "cyan",
  ending: "cyan",
  held: "yellow",
  draining: "yellow",
  paused: "yellow",
  reserved: "yellow",
  "backing off": "yellow",
  "in use": "yellow",
  quarantined: "red",
  unreachable: "red",
  unavailable: "red",
  "no server": "red",
  "no factory": "red",
  "not known": "red",
  disabled: "dim",
  "not served": "dim",
};

export type Paint = (text: string, colour: Colour) => string;

export const painted: Paint = (text, colour) => `\x1b[${codes[colour]}m${text}\x1b[0m`;
export const plain: Paint = (text) => text;

export function showState({ state }: Pick<TestbedSnapshot, "state">, paint: Paint): string {
  return paint(state, stateColours[state]);
}

export function showResults(results: readonly JobResult[], paint: Paint): string {
  return results
    .map((result) => {
      const sign = resultSigns[result];
      if (result === "passed") return paint(sign, "green");
      return result === "failed" || result === "lost" ? paint(sign, "red") : sign;
    })
    .join("");
}

/** `15:04` of today, `11-27` of another day. `madeMs` is now. */
export function showShortTime(ms: number, madeMs: number): string {
  const [date = "", time = ""] = localTime(ms).split(" ");
  const [today] = localTime(madeMs).split(" ");
  return date === today ? time.slice(0, 5) : date.slice(5);
}

/** `34s`, `5m`, `1h02`, `3d4h`: at most five columns. */
export function showShortDuration(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (ms < 100_000) return `${Math.floor(ms / 1000)}s`;
  if (minutes < 100) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours}h${String(minutes % 60).padStart(2, "0")}`;
  return hours < 240 ? `${Math.floor(hours / 24)}d${hours % 24}h` : `${Math.floor(hours / 24)}d`;
}

/** One line of what a job, an operator or another program wrote: without signs that a terminal would act on. */
export function oneLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, " ").trim();
}

/** Cut to so many columns of a terminal, with a sign for what is left out. */
export function cut(text: string, columns: number): string {
  if (Bun.stringWidth(text) <= columns) return text;
  let shown = "";
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    if (Bun.stringWidth(shown + segment) > columns - 1) break;
    shown += segment;
  }
  return `${shown}…`;
}
