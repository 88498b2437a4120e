/**
 * The program's own log: for people on a terminal, one JSON object a line otherwise, always on standard error.
 * Everything that leaves through it is searched for known secrets first.
 */
import { createConsola, type ConsolaReporter, type LogObject } from "consola";
import type { Clock } from "./doors/clock.ts";
import type { Secret } from "./secret.ts";

/** What a line is about; shown with it. */
export interface LogFields {
  testbed?: string;
  instance?: string;
  worker?: string;
  job?: string;
  target?: string;
}

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export interface LogOptions {
  clock: Clock;
  /** `people` for a terminal, `json` for a file or a supervisor. */
  format: "people" | "json";
  level: "debug" | "info" | "warn" | "error";
  secrets: Secret[];
  write(line: string): void;
}

const levels = { error: 0, warn: 1, info: 3, debug: 4 };

export function openLog({ clock, format, level, secrets, write }: LogOptions): Log {
  const redact = (line: string): string =>
    secrets.reduce((text, secret) => text.replaceAll(secret.reveal(), "***"), line);
  const reporter: ConsolaReporter = {
    log: (entry) => write(redact(format === "json" ? jsonLine(entry, clock) : peopleLine(entry))),
  };
  const consola = createConsola({ level: levels[level], reporters: [reporter], throttle: 0 });
  return {
    debug: (message, fields) => consola.debug({ message, args: [fields ?? {}] }),
    info: (message, fields) => consola.info({ message, args: [fields ?? {}] }),
    warn: (message, fields) => consola.warn({ message, args: [fields ?? {}] }),
    error: (message, fields) => consola.error({ message, args: [fields ?? {}] }),
  };
}

/** A log that adds `fields` to every line. */
export function logAbout(log: Log, about: LogFields): Log {
  return {
    debug: (message, fields) => log.debug(message, { ...about, ...fields }),
    info: (message, fields) => log.info(message, { ...about, ...fields }),
    warn: (message, fields) => log.warn(message, { ...about, ...fields }),
    error: (message, fields) => log.error(message, { ...about, ...fields }),
  };
}

/** consola puts the message before the arguments; ours is always the fields alone. */
function split(entry: LogObject): { message: string; fields: LogFields } {
  const [message, fields] = entry.args as [string, LogFields];
  return { message, fields };
}

function jsonLine(entry: LogObject, clock: Clock): string {
  const { message, fields } = split(entry);
  const time = new Date(clock.wallMs()).toISOString();
  return `${JSON.stringify({ time, level: entry.type, message, ...fields })}\n`;
}

function peopleLine(entry: LogObject): string {
  const { message, fields } = split(entry);
  const time = entry.date.toTimeString().slice(0, 8);
  const mark = { warn: "warning: ", error: "error: ", debug: "debug: " }[entry.type as string] ?? "";
  const about = Object.entries(fields).map(([name, value]) => `${name}=${value}`);
  return `${[`${time} ${mark}${message}`, ...about].join("  ")}\n`;
}
