import { describe, expect, test } from "bun:test";
import { type Conflict, createJobCalls, JobOver } from "../../lib/agent/job-calls.ts";
import type { Answer, Refusal } from "../../lib/server/call.ts";
import type { Log } from "../../lib/words/logger.ts";
import { createSettableClock } from "../lab/settable-clock.ts";

const lines: string[] = [];
const note = (message: string): void => void lines.push(message);
const log: Log = { debug: note, info: note, warn: note, error: note };
const refuse = (refusal: Refusal, status: number | null = null): Answer<never> => ({
  ok: false,
  refusal,
  status,
  message: "why",
});

function createScene() {
  const clock = createSettableClock();
  let doubts = 0;
  lines.length = 0;
  const calls = createJobCalls({ clock, log, doubt: () => (doubts += 1) });
  return { clock, calls, doubts: () => doubts };
}

describe("insist()", () => {
  test.each<[refusal: Refusal, status: number | null, conflict: Conflict, becomes: string]>([
    ["no answer", null, "ends the job", "again"],
    ["no answer", 500, "is an answer", "again"],
    ["unauthorised", 401, "ends the job", "again"],
    ["forbidden", 403, "is an answer", "over"],
    ["conflict", 409, "ends the job", "over"],
    ["conflict", 409, "passes", "again"],
    ["conflict", 409, "is an answer", "answer"],
    ["rejected", 400, "ends the job", "answer"],
    ["rejected", 413, "passes", "answer"],
    ["rejected", 404, "ends the job", "again"],
  ])("%s (%p), if a conflict %s: %s", async (refusal, status, conflict, becomes) => {
    const { clock, calls } = createScene();
    let count = 0;
    const outcome = calls
      .insist("call", conflict, async () =>
        ++count < 4 ? refuse(refusal, status) : { ok: true, value: "done" },
      )
      .then(
        (answer) => (answer.ok ? answer.value : "answer"),
        (error: unknown) => (error instanceof JobOver ? "over" : "crash"),
      );
    await clock.advance(2999);
    expect(count).toBe(becomes === "again" ? 3 : 1);
    await clock.advance(1);
    expect(await outcome).toBe(becomes === "again" ? "done" : becomes);
    expect(clock.waiting()).toBe(0);
  });

  test("logs once that a call fails, and once that it works again", async () => {
    const { clock, calls } = createScene();
    let count = 0;
    const done = calls.insist("append", "ends the job", async () =>
      ++count < 9 ? refuse("no answer") : { ok: true, value: 1 },
    );
    await clock.advance(10_000);
    await done;
    expect(lines).toEqual(["append: why; tried again each second", "append: the server answers again"]);
  });

  test("asks for a ping at each 401", async () => {
    const { clock, calls, doubts } = createScene();
    let count = 0;
    const done = calls.insist("append", "ends the job", async () =>
      ++count < 3 ? refuse("unauthorised", 401) : { ok: true, value: 1 },
    );
    await clock.advance(2000);
    await done;
    expect(doubts()).toBe(2);
  });

  test("ends in its wait, or with the call's answer, once the job is over", async () => {
    const { clock, calls } = createScene();
    const waiting = calls.insist("append", "ends the job", async () => refuse("no answer"));
    await clock.advance(500);
    calls.end("first reason");
    calls.end("second reason");
    expect(waiting).rejects.toBeInstanceOf(JobOver);
    expect(calls.insist("x", "passes", async () => ({ ok: true, value: 1 }))).rejects.toBeInstanceOf(JobOver);
    await clock.advance(0);
    expect(lines.filter((line) => line.includes("reason"))).toEqual([
      "the job is over for this agent: first reason",
    ]);
    expect(clock.waiting()).toBe(0);
  });
});
