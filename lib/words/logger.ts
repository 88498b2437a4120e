/**
 * The program's own log, on standard error: readable lines on a terminal, else one JSON object a line.
 * It removes known secrets from each line.
 */
import { createConsola, type ConsolaReporter } from "consola";
import type { Clock } from "../doors/clock.ts";
import { type Instance, instanceName } from "./domain.ts";
import { type LogEntry, peopleLine } from "./log-line.ts";
import { redactor, type Secret } from "./secret.ts";

/** What a line is about; shown on the line. */
export interface LogFields {
  testbed?: string;
  instance?: string;
  worker?: string;
  job?: string;
  target?: string;
  /** The address of the factory's page. */
  web?: string;
}

/** The fields of a log line about an instance. */
export function fieldsOf(instance: Instance): LogFields {
  const { testbed, worker, job } = instance;
  return {
    testbed,
    instance: instanceName(instance),
    ...(worker === null ? {} : { worker }),
    ...(job === null ? {} : { job }),
  };
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
  /** May grow while the log is open. */
  secrets: readonly Secret[];
  write(line: string): void;
}

const levels = { error: 0, warn: 1, info: 3, debug: 4 };

export function openLog({ clock, format, level, secrets, write }: LogOptions): Log {
  let known = secrets.length;
  let redactKnown = redactor(secrets);
  const redact = (text: string): string => {
    if (secrets.length !== known) redactKnown = redactor(secrets);
    known = secrets.length;
    return redactKnown(text);
  };
  const show = format === "json" ? jsonLine : peopleLine;
  const reporter: ConsolaReporter = {
    log: (entry) => {
      // consola puts the message before the arguments; we always pass one argument, the fields.
      const [message, fields] = entry.args as [string, LogFields];
      // Before the line is wrapped or escaped: a secret that is broken in two would not be found.
      const clean = Object.fromEntries(
        Object.entries(fields).map(([name, value]) => [name, redact(String(value))]),
      );
      write(show({ timeMs: clock.wallMs(), level: entry.type, message: redact(message), fields: clean }));
    },
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

function jsonLine({ timeMs, level, message, fields }: LogEntry): string {
  const time = new Date(timeMs).toISOString();
  return `${JSON.stringify({ time, level, message, ...fields })}\n`;
}
