/** A line of a log as people read it: local time with its date, wrapped, and nothing in it that steers a terminal. */

export interface LogEntry {
  /** Wall-clock ms. */
  timeMs: number;
  level: string;
  message: string;
  /** What the line is about. */
  fields: Record<string, unknown>;
}

/** As wide as a terminal usually is at least. */
const width = 120;
const marks: Record<string, string> = { warn: "warning: ", error: "error: ", debug: "debug: " };

/** One line, or more where it is long: the later ones are indented. */
export function peopleLine({ timeMs, level, message, fields }: LogEntry): string {
  const { testbed, instance, ...others } = fields;
  const named = testbed ?? instance;
  const subject = typeof named === "string" && !message.startsWith(`${named}: `) ? `${named}: ` : "";
  // Ids are needed to act on what went wrong, or if nothing else says what the line is about.
  const isIdShown = instance === undefined || level === "warn" || level === "error" || level === "debug";
  const ids = isIdShown ? Object.entries(others).map(([name, value]) => ` ${name}=${showField(value)}`) : [];
  const time = localTime(timeMs);
  const text = `${marks[level] ?? ""}${subject}${message}${ids.join("")}`;
  return `${time} ${wrap(harmless(text), width - time.length - 1).join(`\n${" ".repeat(time.length + 1)}`)}\n`;
}

/** `2026-11-24 02:35:04` where this host is. */
export function localTime(ms: number): string {
  const date = new Date(ms);
  return new Date(ms - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19).replace("T", " ");
}

/** Control characters would steer the terminal; line breaks and tabs may. */
export function harmless(text: string): string {
  return text.replaceAll(/(?![\n\t])\p{Cc}/gu, (sign) =>
    sign === "\r" ? "" : `\\x${sign.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

/** Lines of at most `columns`, broken at spaces; a word that is longer is broken where it must be. */
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
