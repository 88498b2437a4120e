/** The log of an agent at a terminal: lines of JSON as lines for people, and all other text made harmless. */
import { z } from "zod";
import { harmless, peopleLine } from "../words/log-line.ts";

/** Up to this length a line of JSON is shown only when it is whole. */
const longestLine = 64 * 1024;

export interface LogScreen {
  show(bytes: Uint8Array): void;
  /** Shows what can be shown of an unfinished line; `isEnd`: nothing will follow. */
  pause(isEnd: boolean): void;
}

export function openLogScreen(write: (bytes: Uint8Array) => void): LogScreen {
  const decoder = new TextDecoder();
  const put = (text: string): void => {
    if (text !== "") write(new TextEncoder().encode(harmless(text)));
  };
  let rest = "";
  let isBegun = false;
  /** Shows the beginning of a line that is not whole yet. */
  const flush = (): void => {
    put(rest);
    rest = "";
    isBegun = true;
  };
  return {
    show: (bytes) => {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        put((isBegun ? null : logLine(line)) ?? `${line}\n`);
        isBegun = false;
      }
      if (rest.length >= longestLine) flush();
    },
    pause: (isEnd) => {
      if (rest === "" || (!isEnd && !isBegun && rest.startsWith("{"))) return;
      flush();
    },
  };
}

const time = z.iso.datetime({ offset: true });
const ownSchema = z.looseObject({ time, level: z.string(), message: z.string() });
/** As bunyan and the real agent write it. */
const agentSchema = z.looseObject({ time, msg: z.string(), level: z.number().optional() });

/** Null: it is not a line of a log. */
function logLine(line: string): string | null {
  if (!line.startsWith("{")) return null;
  try {
    const value: unknown = JSON.parse(line);
    const own = ownSchema.safeParse(value);
    if (own.success) {
      const { time: at, level, message, ...fields } = own.data;
      // The whole log is about one job.
      delete fields["job"];
      return peopleLine({ timeMs: Date.parse(at), level, message, fields });
    }
    const { time: at, msg, level = 30, ...fields } = agentSchema.parse(value);
    // What is the same in each line.
    for (const name of ["v", "name", "hostname", "pid"]) delete fields[name];
    return peopleLine({ timeMs: Date.parse(at), level: levelOf(level), message: msg, fields });
  } catch {
    return null;
  }
}

function levelOf(level: number): string {
  if (level >= 50) return "error";
  if (level >= 40) return "warn";
  return level >= 30 ? "info" : "debug";
}
