/** When a job is told that a time limit is about to end it. */
import { expect, test } from "bun:test";
import { announcement } from "../../lib/policy/announcements.ts";
import { plan } from "../../lib/policy/plan.ts";
import type { Look, Observation } from "../../lib/policy/observation.ts";
import { at, instanceOf, listOf, lookOf, nowMs, type Said, sceneOf, serverOf, workerOf } from "./scenes.ts";

const minute = 60_000;
const hour = 60 * minute;

function seenAt(atMs: number, over: Said, look: Partial<Look> = {}, isHeld = false): Observation {
  return {
    ...sceneOf({
      instances: [instanceOf({ isFlushed: true, isOnline: true, wentAt: at(nowMs), ...over })],
      looks: new Map([["a/7", lookOf("alive", { atMs, printedMs: nowMs, ...look })]]),
      server: serverOf({
        list: listOf([workerOf({ online: true, hold: isHeld })], atMs),
        lastPingMs: atMs,
        answeringSinceMs: nowMs - hour,
      }),
    }),
    now: at(atMs),
  };
}

const said = (seen: Observation): string[] =>
  plan(seen).actions.flatMap((action) =>
    action.kind === "announce"
      ? [announcement(action.instance, action.limit, action.endsAtMs - seen.now.uptimeMs)]
      : [],
  );

const twoHours = { jobTimeoutMs: 2 * hour };
const text = "the testbed's factory will end this job in 5 min: job_timeout 2h";

test("job_timeout is announced five minutes before it ends the job, not sooner", () => {
  const dueMs = nowMs + 2 * hour - 5 * minute;
  expect(said(seenAt(dueMs - 1, twoHours))).toEqual([]);
  expect(plan(seenAt(dueMs - minute, twoHours)).wakeAtMs).toBeLessThanOrEqual(dueMs);
  expect(said(seenAt(dueMs, twoHours))).toEqual([text]);
});

test("late, for example after an outage of the server, it names the time that is left; at the end nothing", () => {
  expect(said(seenAt(nowMs + 2 * hour - 90_000, twoHours))).toEqual([text.replace("5 min", "2 min")]);
  expect(said(seenAt(nowMs + 2 * hour - 10_000, twoHours))).toEqual([text.replace("5 min", "10 s")]);
  expect(said(seenAt(nowMs + 2 * hour, twoHours))).toEqual([]);
});

test("once: what was announced in this boot is not announced again, in another boot the limit counts anew", () => {
  const dueMs = nowMs + 2 * hour - 5 * minute;
  const announced = { job_timeout: at(dueMs) };
  expect(said(seenAt(dueMs + minute, { ...twoHours, announced }))).toEqual([]);
  const former = { job_timeout: at(dueMs, "boot-0") };
  expect(said(seenAt(dueMs + minute, { ...twoHours, announced: former }))).toHaveLength(1);
});

test("a limit under ten minutes is announced at its half", () => {
  const limit = { jobTimeoutMs: 4 * minute };
  expect(said(seenAt(nowMs + 2 * minute - 1, limit))).toEqual([]);
  expect(said(seenAt(nowMs + 2 * minute, limit))).toEqual([
    "the testbed's factory will end this job in 2 min: job_timeout 4m",
  ]);
});

test("silence_timeout is announced if a look from then shows the job silent, once for each silence", () => {
  const limit = { silenceTimeoutMs: 20 * minute, wentAt: at(nowMs - hour) };
  const dueMs = nowMs + 15 * minute;
  const line =
    "the testbed's factory will end this job in 5 min unless it prints something: silence_timeout 20m";
  expect(said(seenAt(dueMs, limit))).toEqual([line]);
  // The last look is from before: it may have printed since.
  expect(said(seenAt(dueMs, limit, { atMs: dueMs - 1 }))).toEqual([]);
  const announced = { silence_timeout: at(dueMs) };
  expect(said(seenAt(dueMs + minute, { ...limit, announced }))).toEqual([]);
  // It printed after that, and fell silent again.
  const printed = { printedMs: dueMs + minute };
  expect(said(seenAt(dueMs + 16 * minute, { ...limit, announced }, printed))).toEqual([line]);
});

test("a silent job is looked at when its announcement is due", () => {
  const limit = { silenceTimeoutMs: 90_000, wentAt: at(nowMs - hour) };
  const dueMs = nowMs + 45_000;
  const seen = seenAt(dueMs, limit, { atMs: dueMs - 1 });
  expect(plan(seen).actions.map(({ kind }) => kind)).toContain("look");
});

test("without a limit nothing is announced, nor of a job that is held: it is not ended", () => {
  expect(said(seenAt(nowMs + 9 * hour, {}))).toEqual([]);
  expect(said(seenAt(nowMs + 2 * hour - minute, twoHours, {}, true))).toEqual([]);
});
