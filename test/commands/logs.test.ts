/** The log of an instance as `logs` shows it: what is shown, what is not, and when following ends. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openFiles } from "../../lib/doors/files.ts";
import { type LogsOptions, showLog } from "../../lib/commands/logs.ts";
import { createSettableClock } from "../lab/settable-clock.ts";
import { until } from "../lab/until.ts";

let directory = "";
let shown = "";
let printed: string[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "logs-"));
  shown = "";
  printed = [];
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const log = (): string => join(directory, "agent.log");

function optionsFor(over: Partial<LogsOptions> = {}): LogsOptions {
  return {
    name: "agent.log of bed-1/3",
    read: async (offset) => await openFiles().readPiece(log(), offset, 64 * 1024),
    follows: false,
    signal: new AbortController().signal,
    isOpen: () => Promise.resolve(false),
    clock: createSettableClock(),
    isTerminal: false,
    write: (bytes) => void (shown += new TextDecoder().decode(bytes)),
    tell: (line) => void printed.push(line),
    ...over,
  };
}

test("showLog() says that there is no log", async () => {
  expect(await showLog(optionsFor())).toBe(1);
  expect(printed).toEqual(["there is no agent.log of bed-1/3"]);
});

test("showLog() passes bytes on unchanged, but no control characters to a terminal", async () => {
  writeFileSync(log(), "a\x1b[31mred\x07\ttab\r\n\x9b1m\u00e9\n");
  await showLog(optionsFor());
  expect(shown).toBe("a\x1b[31mred\x07\ttab\r\n\x9b1m\u00e9\n");
  shown = "";
  await showLog(optionsFor({ isTerminal: true }));
  expect(shown).toBe("a\\x1b[31mred\\x07\ttab\n\\x9b1m\u00e9\n");
});

test("showLog() shows the built-in agent's log as lines on a terminal, and as it is elsewhere", async () => {
  const entry = (fields: object): string =>
    JSON.stringify({
      time: "2026-11-28T08:53:01.250Z",
      level: "info",
      message: "task 0 starts",
      job: "J",
      ...fields,
    });
  const text = `${entry({})}\nno JSON\n${entry({ level: "warn", worker: "W" })}\n{"code":3}\n{"time":1}\n${entry({ message: "x\x1b[2J" })}\n`;
  writeFileSync(log(), text);
  await showLog(optionsFor());
  expect(shown).toBe(text);
  shown = "";
  await showLog(optionsFor({ isTerminal: true }));
  const time = shown.slice(0, 19);
  expect(new Date(time).getTime()).toBe(Date.parse("2026-11-28T08:53:01Z"));
  expect(shown.replaceAll(time, "TIME")).toBe(
    'TIME task 0 starts\nno JSON\nTIME warning: task 0 starts worker=W\n{"code":3}\n{"time":1}\nTIME x\\x1b[2J\n',
  );
});

test("showLog() shows the external agent's log as lines on a terminal", async () => {
  const entry = (fields: object): string =>
    `${JSON.stringify({ msg: "using job", v: 0, name: "agent", level: 30, time: "2026-11-28T08:53:01.250Z", hostname: "h", pid: 1, ...fields })}\n`;
  writeFileSync(log(), `${entry({})}${entry({ level: 40, worker: "W" })}${entry({ time: 3 })}{"msg":"x"}\n`);
  await showLog(optionsFor({ isTerminal: true }));
  const time = shown.slice(0, 19);
  expect(shown.replaceAll(time, "TIME")).toBe(
    `TIME using job\nTIME warning: using job worker=W\n${entry({ time: 3 })}{"msg":"x"}\n`,
  );
});

test("showLog() shows a very long line on a terminal piece by piece", async () => {
  const text = `{"time":${"x".repeat(400_000)}\nnext\n`;
  writeFileSync(log(), text);
  const sizes: number[] = [];
  const write = (bytes: Uint8Array): void => {
    sizes.push(bytes.length);
    shown += new TextDecoder().decode(bytes);
  };
  await showLog(optionsFor({ isTerminal: true, write }));
  expect(shown).toBe(text);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(128 * 1024);
});

test("showLog() shows a line on a terminal as it grows, but one of JSON only when it is whole", async () => {
  const clock = createSettableClock();
  let isRunning = true;
  const done = showLog(
    optionsFor({ follows: true, isTerminal: true, clock, isOpen: () => Promise.resolve(isRunning) }),
  );
  const add = async (text: string, expected: RegExp): Promise<void> => {
    await until("it waits", () => clock.waiting() > 0);
    appendFileSync(log(), text);
    await clock.advance(250);
    await until("it is shown", () => clock.waiting() > 0 && expected.test(shown));
    shown = "";
  };
  await add("1 of 3", /^1 of 3$/);
  await add(", 2 of 3\n", /^, 2 of 3\n$/);
  await add('{"time":"2026-11-28T08:53:01Z","level":"inf', /^$/);
  await add('o","message":"whole"}\n', /^\d{4}-\d\d-\d\d \S+ whole\n$/);
  await add(`{${"x".repeat(70_000)}`, /^\{x{70000}$/);
  await add("{", /^\{$/);
  await add('"\n{"cut', /^"\n$/);
  isRunning = false;
  await clock.advance(250);
  expect(await done).toBe(0);
  expect(shown).toBe('{"cut');
});

test("showLog() shows a log longer than one piece completely, even if a letter is cut by the end of a piece", async () => {
  const text = `${"x".repeat(64 * 1024 - 1)}é${"y".repeat(100_000)}\n`;
  writeFileSync(log(), text);
  await showLog(optionsFor({ isTerminal: true }));
  expect(shown).toBe(text);
});

test("showLog() follows until the instance has ended, and shows its last lines", async () => {
  const clock = createSettableClock();
  let isRunning = true;
  const done = showLog(optionsFor({ follows: true, clock, isOpen: () => Promise.resolve(isRunning) }));
  await until("it waits for a log", () => clock.waiting() > 0);
  writeFileSync(log(), "one\n");
  await clock.advance(250);
  await until("it is shown", () => shown === "one\n");
  await until("it waits", () => clock.waiting() > 0);
  appendFileSync(log(), "last\n");
  isRunning = false;
  await clock.advance(250);
  expect(await done).toBe(0);
  expect(shown).toBe("one\nlast\n");
});

test("showLog() goes on after the log was cut, and says so", async () => {
  const clock = createSettableClock();
  let isRunning = true;
  writeFileSync(log(), "much\nmore\n");
  const done = showLog(optionsFor({ follows: true, clock, isOpen: () => Promise.resolve(isRunning) }));
  await until("it waits", () => clock.waiting() > 0);
  writeFileSync(log(), "more\n");
  await clock.advance(250);
  await until("it is printed", () => printed.length === 1 && clock.waiting() > 0);
  appendFileSync(log(), "new\n");
  isRunning = false;
  await clock.advance(250);
  expect(await done).toBe(0);
  expect(shown).toBe("much\nmore\nnew\n");
});

test("showLog() ends when it is interrupted", async () => {
  const interrupted = new AbortController();
  writeFileSync(log(), "one\n");
  const clock = createSettableClock();
  const done = showLog(
    optionsFor({ follows: true, clock, isOpen: () => Promise.resolve(true), signal: interrupted.signal }),
  );
  await until("it waits", () => clock.waiting() > 0);
  interrupted.abort();
  expect(await done).toBe(0);
});

test("showLog() ends without an error if Ctrl+C ended the connection as well", async () => {
  const interrupted = new AbortController();
  const shows = showLog(
    optionsFor({
      follows: true,
      signal: interrupted.signal,
      isOpen: () => Promise.resolve(true),
      read: () => {
        interrupted.abort();
        return Promise.reject(new Error("ssh was interrupted"));
      },
    }),
  );
  expect(await shows).toBe(0);
});
