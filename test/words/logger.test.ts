/** The program's own log: its lines for people and for programs, and that it hides secrets. */
import { expect, test } from "bun:test";
import { type Log, type LogOptions, logAbout, openLog } from "../../lib/words/logger.ts";
import { wrap } from "../../lib/words/log-line.ts";
import { redactor, redactTexts, Secret } from "../../lib/words/secret.ts";
import { createSettableClock } from "../lab/settable-clock.ts";

const secret = 'tok"en/of the lab~~~?>';
const clock = createSettableClock();

function logTo(format: LogOptions["format"]): { log: Log; text(): string } {
  let text = "";
  const log = openLog({
    clock,
    format,
    level: "debug",
    secrets: [new Secret(""), new Secret("other-token"), new Secret("other-token-2"), new Secret(secret)],
    write: (line) => (text += line),
  });
  return { log, text: () => text };
}

/** The part of a line after the local time. */
const afterTime = (text: string): string => {
  expect(text).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d /);
  return text.slice(20);
};

const forms: [string, string][] = [
  ["as it is", secret],
  ["in a URL", encodeURIComponent(secret)],
  ["in JSON", JSON.stringify({ token: secret })],
  ["in base64", Buffer.from(secret).toString("base64")],
  ["in base64url", Buffer.from(secret).toString("base64url")],
];
const traces = forms.map(([, text]) => (text.startsWith("{") ? text.slice(10, -2) : text));

for (const format of ["people", "json"] as const) {
  for (const [how, form] of forms) {
    test(`the log (${format}) hides a secret ${how}: in each level's message, in an error's stack and in every field`, () => {
      const { log, text } = logTo(format);
      for (const level of ["debug", "info", "warn", "error"] as const) log[level](`before ${form} after`);
      log.error(new Error(form).stack ?? "");
      for (const name of ["testbed", "instance", "worker", "job", "target"] as const) {
        log.warn("a field", { [name]: form });
        logAbout(log, { [name]: form }).error("a field of all lines");
        log.warn("a part of a field", { [name]: `x${form}y` });
      }
      for (const trace of traces) {
        expect(text()).not.toContain(trace);
        expect(text()).not.toContain(JSON.stringify(trace).slice(1, -1));
      }
      expect(text().split("***").length).toBe(1 + 4 + 1 + 5 * 3);
    });
  }

  test(`the log (${format}) hides every secret, each time that it appears`, () => {
    const { log, text } = logTo(format);
    log.info(`${secret} other-token ${secret} (other-token-2)`);
    expect(text()).toContain("*** *** *** (***)");
  });
}

test("F70 the log hides a secret that wrapping would break in two", () => {
  const { log, text } = logTo("people");
  for (let column = 60; column < 120; column += 1) log.info(`${"x".repeat(column)} ${secret}`);
  log.info("y".repeat(95) + secret);
  for (const part of ["tok", "lab"]) expect(text()).not.toContain(part);
});

test("logAbout() adds its fields to the lines of every level, and a line's own field wins", () => {
  const { log, text } = logTo("json");
  const about = logAbout(log, { testbed: "bed-1", job: "J" });
  for (const level of ["debug", "info", "warn", "error"] as const) about[level]("it", { job: "K" });
  const lines = text().trimEnd().split("\n");
  expect(lines).toHaveLength(4);
  for (const line of lines) expect(JSON.parse(line)).toMatchObject({ testbed: "bed-1", job: "K" });
});

test("redactTexts() redacts texts at any depth, and neither names of fields nor numbers", () => {
  const secrets = [new Secret("1"), new Secret("name"), new Secret('a"b')];
  const value = { name: "my name", list: [1, null, true, { name: 'say a"b' }], at1: 11 };
  expect(redactTexts(value, secrets)).toEqual({
    name: "my ***",
    list: [1, null, true, { name: "say ***" }],
    at1: 11,
  });
  expect(redactTexts(value, [new Secret("other")])).toBe(value);
});

test("redactor() does not change a text without secrets, even if a secret is empty", () => {
  expect(redactor([new Secret("")])("all of it")).toBe("all of it");
});

test("a line for programs has its time, level, message and fields", () => {
  const { log, text } = logTo("json");
  log.warn("no power", { testbed: "bed-1", job: "J" });
  const time = new Date(clock.wallMs()).toISOString();
  expect(JSON.parse(text())).toEqual({
    time,
    level: "warn",
    message: "no power",
    testbed: "bed-1",
    job: "J",
  });
});

test("a line for people begins with local date and time, then the testbed; ids are shown only if needed", () => {
  const about = { testbed: "bed-1", instance: "bed-1/7", worker: "W", job: "J" };
  const said = (write: (log: Log) => void): string => {
    const { log, text } = logTo("people");
    write(log);
    expect(new Date(text().slice(0, 19)).getTime()).toBe(Math.floor(clock.wallMs() / 1000) * 1000);
    return afterTime(text());
  };
  expect(said((log) => log.info("the agent was started", about))).toBe("bed-1: the agent was started\n");
  expect(said((log) => log.info('bed-1: job "a" failed', about))).toBe('bed-1: job "a" failed\n');
  expect(said((log) => log.warn("held", about))).toBe("warning: bed-1: held worker=W job=J\n");
  expect(said((log) => log.info("left to lapse", { job: "J" }))).toBe("left to lapse job=J\n");
});

test("lines for people fit 120 columns, keep the whole text, and cannot control the terminal", () => {
  const { log, text } = logTo("people");
  const reason = `cannot reach it: ${"ssh: connect to host bench-7.example.com port 22: refused; ".repeat(5)}last word`;
  log.warn(reason, { testbed: "bed-1", worker: "01M85PG9ZBNKACK3AG3PP8SXQJ" });
  log.error(`stack\n    at a (b.ts:1)\r\n\x1b[2J${"界".repeat(100)}`);
  const lines = text().trimEnd().split("\n");
  for (const line of lines) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(120);
  expect(text().replaceAll(/\n {20}/g, " ")).toContain(`${reason} worker=01M85PG9ZBNKACK3AG3PP8SXQJ\n`);
  expect(text().replaceAll(/\n {20}/g, "")).toContain("界".repeat(100));
  expect(text()).toContain("\n                        at a (b.ts:1)\n");
  expect(text()).toContain("\\x1b[2J");
  expect(lines.filter((line) => /^\d{4}/.test(line))).toHaveLength(2);
});

test.each([
  ["", 5, [""]],
  ["12345", 5, ["12345"]],
  ["12345 6", 5, ["12345", "6"]],
  ["1 345 6", 5, ["1 345", "6"]],
  ["1234567890 1", 5, ["12345", "67890", "1"]],
  ["a\n\nb", 5, ["a", "", "b"]],
])("wrap() %j to %i columns", (text, columns, lines) => {
  expect(wrap(text, columns)).toEqual(lines);
});
