/** What the loop remembers of how actions ended, and what it logs of it. */
import { Tally } from "../../lib/status/tally.ts";
import { beforeEach, expect, test } from "bun:test";
import { type FailureParts, recordOutcome } from "../../lib/daemon/failures.ts";
import { done, failed, waiting } from "../../lib/daemon/outcome.ts";
import type { Action } from "../../lib/policy/action.ts";
import { newServerView } from "../../lib/policy/server-view.ts";
import type { Entry } from "../../lib/words/journal.ts";
import { instanceOf, testbedOf } from "../policy/scenes.ts";

let lines: string[];
let parts: FailureParts;
let nowMs: number;
let entries: Entry[];
beforeEach(() => {
  nowMs = 1_000_000;
  lines = [];
  entries = [];
  const say =
    (level: string) =>
    (message: string, fields?: object): void =>
      void lines.push([level, message, ...Object.values(fields ?? {})].join(" "));
  parts = {
    known: { server: newServerView(), retryAtMs: new Map(), failures: new Map(), tally: new Tally() },
    config: { general: { baseurl: "http://server" } },
    clock: { uptimeMs: () => nowMs, wallMs: () => nowMs },
    store: { note: (noted) => void entries.push(...noted.map(({ entry }) => entry)) },
    // No jitter.
    random: { fraction: () => 0.5 },
    log: { debug: say("debug"), info: say("info"), warn: say("warn"), error: say("error") },
  };
});

const list: Action = { kind: "list workers" };
const reach: Action = { kind: "reach", testbed: testbedOf({ name: "a" }) };
const stop: Action = { kind: "stop", instance: instanceOf({ phase: "destroying", worker: null, job: null }) };
const outage = { kind: "outage", reason: "refused" } as const;
const waitOf = (key: string): number => (parts.known.retryAtMs.get(key) ?? 0) - nowMs;

test("an outage of the server is logged once, whatever notices it, and once more when it is over", () => {
  for (const action of [list, { kind: "ping" } as const, list]) recordOutcome(parts, action, outage);
  expect(lines).toEqual(["error the server http://server (general.baseurl) does not answer: refused"]);
  expect(waitOf("list workers")).toBe(1000);
  expect(parts.known.server).toMatchObject({ answeringSinceMs: null, retryAtMs: nowMs + 1000 });
  nowMs += 1000;
  recordOutcome(parts, list, outage);
  expect(waitOf("list workers")).toBe(2000);
  recordOutcome(parts, list, done);
  recordOutcome(parts, list, done);
  expect(lines.slice(1)).toEqual(["info the server answers again"]);
  expect(entries).toEqual([
    { what: "server", is: "does not answer", lines: ["refused"] },
    { what: "server", is: "answers again", lines: [] },
  ]);
  expect(parts.known.server).toMatchObject({ answeringSinceMs: nowMs, retryAtMs: Number.NEGATIVE_INFINITY });
  expect(parts.known.retryAtMs.has("list workers")).toBe(false);
});

test("a server that is back and refuses the token is not on record as well again", () => {
  recordOutcome(parts, list, outage);
  // The answer's findings are taken in first.
  parts.known.server.isTokenRefused = true;
  recordOutcome(parts, list, done);
  expect(entries).toEqual([{ what: "server", is: "does not answer", lines: ["refused"] }]);
  expect(lines.slice(1)).toEqual(["info the server answers again"]);
});

test("a failure is logged when its reason is new, and when it has recovered, with what it is about", () => {
  for (const reason of ["no ssh", "no ssh", "disk full"]) recordOutcome(parts, stop, failed(reason));
  recordOutcome(parts, stop, done);
  recordOutcome(parts, stop, done);
  expect(lines).toEqual(["warn no ssh a a/7", "warn disk full a a/7", "info stop: recovered a a/7"]);
});

test("an action that fails waits twice as long each time, up to half a minute", () => {
  const waits = [1, 2, 3, 4, 5, 6, 7].map(() => {
    recordOutcome(parts, stop, failed("no ssh"));
    return waitOf("testbed a") / 1000;
  });
  expect(waits).toEqual([1, 2, 4, 8, 16, 30, 30]);
  recordOutcome(parts, stop, done);
  recordOutcome(parts, stop, failed("no ssh"));
  expect(waitOf("testbed a")).toBe(1000);
});

test("what keeps jobs from a testbed is looked at again within 10 s of its fix", () => {
  for (let times = 0; times < 9; times += 1) recordOutcome(parts, reach, failed("no ssh"));
  expect(waitOf("reach a")).toBe(8000);
});

test("a call that finds the server away asks for a list, which shows it; the call itself is not logged", () => {
  parts.known.server.isListWanted = false;
  parts.known.server.answeringSinceMs = 7;
  recordOutcome(parts, stop, outage);
  expect(parts.known.server).toMatchObject({ isListWanted: true, answeringSinceMs: 7 });
  expect(waitOf("testbed a")).toBe(1000);
  recordOutcome(parts, stop, done);
  expect(lines).toEqual([]);
});

test("a list that the server refuses is not an outage, but a silence of jobs does not count before the next good one", () => {
  parts.known.server.answeringSinceMs = 7;
  recordOutcome(parts, list, failed("forbidden"));
  expect(lines).toEqual(["warn forbidden"]);
  expect(parts.known.server.answeringSinceMs).toBeNull();
});

test("an action that waits starts its back-off again, and what it logged before is not logged again", () => {
  for (let times = 0; times < 5; times += 1) recordOutcome(parts, stop, failed("no ssh"));
  recordOutcome(parts, stop, waiting(3000));
  expect(waitOf("testbed a")).toBe(3000);
  recordOutcome(parts, stop, failed("no ssh"));
  expect(waitOf("testbed a")).toBe(1000);
  recordOutcome(parts, stop, done);
  expect(lines).toEqual(["warn no ssh a a/7", "info stop: recovered a a/7"]);
});
