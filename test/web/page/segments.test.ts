/** A testbed's day, cut into what was on it. */
import { expect, test } from "bun:test";
import type { Entry, JobEntry, Recorded } from "../../../lib/words/journal.ts";
import { segmentsOf } from "../../../lib/web/page/segments.ts";
import { showStrip } from "../../../lib/web/page/strip.ts";
import { testbedSnapshotOf } from "../../status/snapshots.ts";
import { sampleMs } from "./sample-lab.ts";

const hour = 3_600_000;

/** Each so many hours ago. */
function day(...entries: [hoursAgo: number, entry: Entry][]): Recorded[] {
  return entries.map(([hoursAgo, entry], index) => ({
    id: index + 1,
    atMs: sampleMs - hoursAgo * hour,
    entry,
  }));
}

function job(fromHoursAgo: number, toHoursAgo: number, over: Partial<JobEntry> = {}): [number, JobEntry] {
  const times = { leasedMs: sampleMs - fromHoursAgo * hour, endedMs: sampleMs - toHoursAgo * hour };
  const of = {
    testbed: "a",
    seq: 1,
    job: null,
    jobName: "smoke",
    target: "t",
    queuedMs: null,
    silentMs: null,
  };
  const how = { isStarted: true, wentMs: null, result: "passed" as const, cause: null, reason: null };
  return [toHoursAgo, { what: "job", ...of, ...times, ...how, ...over }];
}

const act = (verb: string, over: Partial<Entry> = {}): Entry =>
  ({ what: "act", verb, testbed: "a", who: "laura", note: "", untilMs: null, answer: "", ...over }) as Entry;

/** `kind from-to: text`, in hours ago. */
function shown(entries: Recorded[], over: Parameters<typeof testbedSnapshotOf>[0] = {}): string[] {
  const ago = (ms: number): number => Math.round(((sampleMs - ms) / hour) * 10) / 10;
  return segmentsOf(testbedSnapshotOf(over), entries, sampleMs).map(
    ({ kind, fromMs, toMs, text }) => `${kind} ${ago(fromMs)}-${ago(toMs)}: ${text}`,
  );
}

test("jobs stand with their results, and where none was it says that none came", () => {
  const entries = day(job(20, 18), job(10, 9, { result: "failed", reason: "task 2 exited with status 1" }));
  expect(shown(entries)).toEqual([
    "idle 24-20: no job came",
    "passed 20-18: smoke: passed",
    "idle 18-10: no job came",
    "failed 10-9: smoke: failed: task 2 exited with status 1",
    "idle 9-0: no job came",
  ]);
});

test("what was not begun is no job, and one that began yesterday is cut", () => {
  const entries = day(job(26, 23), job(6, 5, { result: "not begun", reason: "lease lost" }));
  expect(shown(entries)).toEqual(["passed 24-23: smoke: passed", "idle 23-0: no job came"]);
});

test("a pause is from its word to the word that ends it, to its time, or until now", () => {
  const note = "new probe";
  const untilMs = sampleMs - 9 * hour;
  const entries = day([20, act("pause", { note })], [18, act("resume")], [10, act("reserve", { untilMs })]);
  expect(shown(entries).filter((each) => !each.startsWith("idle"))).toEqual([
    "paused 20-18: paused by laura: new probe",
    "reserved 10-9: reserved by laura",
  ]);
  const open = day([2, act("quarantine")]);
  expect(shown(open)).toEqual(["idle 24-2: no job came", "quarantined 2-0: quarantined by laura"]);
});

test("what ends a pause of yesterday shows it, and a recovery from one failure shows nothing", () => {
  const health = (is: string): Entry => ({ what: "health", testbed: "a", is, reason: "the agent ended" });
  const entries = day([20, act("resume")], [10, health("strike")], [9, health("recovered")]);
  expect(shown(entries)).toEqual(["unavailable 24-20: resume", "idle 20-0: no job came"]);
});

test("a pause that was said before this day is known from the snapshot", () => {
  const wish = { kind: "paused" as const, who: "laura", note: "", sinceMs: sampleMs - 70 * hour };
  const intent = { ...wish, untilMs: null, isAfterJob: false };
  expect(shown([], { state: "paused", intent })).toEqual(["paused 24-0: paused by laura"]);
});

test("quarantine, trouble, a server that is away and a factory that is stopped each say their cause", () => {
  const health = (is: string, reason: string): Entry => ({ what: "health", testbed: "a", is, reason });
  const entries = day(
    [20, health("quarantined", "the agent ended")],
    [19, health("recovered", "a job ran")],
    [15, health("trouble", "no disk")],
    [14, health("trouble over", "no disk")],
    [10, { what: "server", is: "does not answer", lines: ["refused"] }],
    [9, { what: "server", is: "answers again", lines: [] }],
    [5, { what: "factory", is: "stopped", lines: [] }],
    [4, { what: "factory", is: "started", lines: [] }],
  );
  expect(shown(entries).filter((each) => !each.startsWith("idle"))).toEqual([
    "quarantined 20-19: quarantined: the agent ended",
    "unavailable 15-14: no disk",
    "unavailable 10-9: the server does not answer: refused",
    "unavailable 5-4: no factory was running",
  ]);
});

test("the shortest job is seen on the strip, also one that ended just now", () => {
  const entries = day(job(0.001, 0.0005));
  const { text } = showStrip(segmentsOf(testbedSnapshotOf(), entries, sampleMs), sampleMs, "pointed");
  expect(/class="passed" x="(\d+)" width="(\d+)"/.exec(text)?.slice(1)).toEqual(["1437", "3"]);
});

test("the last gap says what keeps jobs away now", () => {
  const why = { state: "disabled" as const, whyNot: "disabled in config.toml" };
  expect(shown(day(job(3, 2)), why).at(-1)).toBe("idle 2-0: disabled in config.toml");
});
