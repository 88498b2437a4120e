/** One thing that `check` says, and how all of them are shown to people and to programs. It knows no subject by name. */
import { alignColumns } from "../../words/columns.ts";

export interface Finding {
  /** `error`: some or all jobs would not run. `warning`: jobs run, but something is missing or risky. */
  severity: "ok" | "warning" | "error";
  /** What it is about: one or two words, or a section of the configuration. */
  subject: string;
  message: string;
  /** What to do about it; null: nothing. */
  hint: string | null;
  /** Testbeds that take no job now because of it. */
  keepsJobsFrom?: string[];
}

export const ok = (subject: string, message: string): Finding => ({
  severity: "ok",
  subject,
  message,
  hint: null,
});

export const warning = (subject: string, message: string, hint: string | null): Finding => ({
  severity: "warning",
  subject,
  message,
  hint,
});

export const error = (subject: string, message: string, hint: string | null): Finding => ({
  severity: "error",
  subject,
  message,
  hint,
});

export function isGood(findings: Finding[]): boolean {
  return findings.every(({ severity }) => severity !== "error");
}

/** One line a finding, how to fix it below, and a summary. */
export function showFindings(findings: Finding[]): string {
  const printed = findings.map(({ severity, subject, message, hint }) => {
    const [first = "", ...more] = [...message.split("\n"), ...(hint?.split("\n") ?? [])].map(printable);
    return { row: [severity.padEnd(7), printable(subject), first], more };
  });
  const lines = alignColumns(printed.map(({ row }) => row)).flatMap((line, index) => [
    line,
    ...(printed[index]?.more ?? []).map((each) => `${" ".repeat(9)}${each}`.trimEnd()),
  ]);
  return [...lines, summarise(findings)].join("\n");
}

export function findingsJson(findings: Finding[]): string {
  return JSON.stringify({ findings, ok: isGood(findings) }, null, 2);
}

function summarise(findings: Finding[]): string {
  const errors = findings.filter(({ severity }) => severity === "error").length;
  const warnings = findings.filter(({ severity }) => severity === "warning").length;
  const counted = [count(errors, "error"), count(warnings, "warning")].filter((text) => text !== null);
  if (errors > 0) return `${counted.join(", ")}: some or all jobs would not run here`;
  const idle = [...new Set(findings.flatMap(({ keepsJobsFrom = [] }) => keepsJobsFrom))];
  const except = idle.length === 0 ? "" : `, but not on ${printable(idle.join(", "))} now`;
  return `${warnings > 0 ? counted.join(", ") : "No problems"}: jobs can run${except}`;
}

function count(number: number, what: string): string | null {
  if (number === 0) return null;
  return number === 1 ? `1 ${what}` : `${number} ${what}s`;
}

/** What other programs and servers said may contain control characters. */
function printable(text: string): string {
  return text.replace(/\t/g, " ").replace(/[\p{Cc}\u200b-\u200f\u2028-\u202e\u2066-\u2069]/gu, "?");
}
