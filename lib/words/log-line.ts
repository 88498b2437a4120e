/** A log line for people: local time with its date, wrapped, without control characters for the terminal. */

export interface LogEntry {
  /** Wall-clock ms. */
  timeMs: number;
  level: string;
  message: string;
  /** What the line is about. */
  fields: Record<string, unknown>;
}

/** Most terminals are at least this wide. */
const width = 120;
const marks: Record<string, string> = { warn: "warning: ", error: "error: ", debug: "debug: " };

/** One line, or several if the entry is long; all but the first are indented. */
export function peopleLine({ timeMs, level, message, fields }: LogEntry): string {
  const { testbed, instance, ...others } = fields;
  const named = testbed ?? instance;
  const subject = typeof named === "string" && !message.startsWith(`${named}: `) ? `${named}: ` : "";
  // Show ids if something went wrong, or if nothing else says what the line is about.
  const isIdShown = instance === undefined || level === "warn" || level === "error" || level === "debug";
  const ids = isIdShown ? Object.entries(others).map(([name, value]) => ` ${name}=${showField(value)}`) : [];
  const time = localTime(timeMs);
  const text = `${marks[level] ?? ""}${subject}${message}${ids.join("")}`;
  return `${time} ${wrap(harmless(text), width - time.length - 1).join(`\n${" ".repeat(time.length + 1)}`)}\n`;
}

/** This host's local time, for example `2026-11-24 02:35:04`. */
export function localTime(ms: number): string {
  const date = new Date(ms);
  return new Date(ms - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19).replace("T", " ");
}

/** `2026-11-28 17:00`, in this host's local time. */
export function localMinute(ms: number): string {
  return localTime(ms).slice(0, -3);
}

/** Removes the control characters that a terminal would act on; line breaks and tabs stay. */
export function harmless(text: string): string {
  return text.replaceAll(/(?![\n\t])\p{Cc}/gu, (sign) =>
    sign === "\r" ? "" : `\\x${sign.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

const escape = "\x1b";
const colour = new RegExp(`(${escape}\\[[\\d;]*m)`);

/** The same, but colours stay. */
export function harmlessBesideColours(text: string): string {
  const pieces = text.split(colour);
  return pieces.map((piece, index) => (index % 2 === 1 ? piece : harmless(piece))).join("");
}

/** Lines of at most `columns`, broken at spaces. A longer word is broken inside. */
export function wrap(text: string, columns: number): string[] {
  return text
    .replaceAll("\t", "    ")
    .split("\n")
    .flatMap((line) => wrapLine(line.trimEnd(), columns));
}

function wrapLine(line: string, columns: number): string[] {
  const lines: string[] = [];
  let current = "";
  for (const word of line.split(/(?<= )(?=[^ ])/)) {
    if (current !== "" && Bun.stringWidth((current + word).trimEnd()) > columns) {
      lines.push(current.trimEnd());
      current = "";
    }
    for (const letter of Bun.stringWidth(word.trimEnd()) > columns ? word : [word]) {
      if (Bun.stringWidth((current + letter).trimEnd()) > columns) {
        lines.push(current);
        current = "";
      }
      current += letter;
    }
  }
  return [...lines, current.trimEnd()];
}

function showField(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
