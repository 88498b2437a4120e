/** Whom failures are held against: the rules of health, one by one. */
import { expect, test } from "bun:test";
import {
  type LabFailure,
  judgeFailure,
  type LabHealth,
  noFailures,
  recordDone,
  waitAfterMs,
} from "../../lib/policy/health.ts";
import { limits } from "../../lib/policy/times-and-limits.ts";

const minute = 60_000;
const answers = { silentSinceMs: null, backSinceMs: null };

type Told = Partial<Omit<LabFailure, "isStruck">>;

/** Judges failures one after the other; what came of each. */
function judgeEach(told: (Told | { done: string; atMs: number })[], start: LabHealth = noFailures): string[] {
  let health = start;
  return told.map((each) => {
    if ("done" in each) {
      const after = recordDone(health, each.done, each.atMs);
      health = after.health;
      return `over ${after.over.length}`;
    }
    const failure = { testbed: "a", place: "", cause: "agent killed", atMs: 0, ...each } as const;
    const after = judgeFailure(failure, health, answers);
    health = after.health;
    const { verdict } = after;
    if (verdict.kind !== "shared") return verdict.kind;
    const { fault, isNew, takenBack } = verdict;
    const where = fault.place ?? "lab";
    const waitS = (fault.untilMs - failure.atMs) / 1000;
    return `${isNew ? "new" : "known"} at "${where}": ${fault.testbeds.join(" ")}, ${waitS} s, back ${takenBack.join(" ")}`;
  });
}

test("ten and twenty seconds after the first two failures in a row; a quarantine begins with a minute and doubles to an hour", () => {
  const waits = Array.from({ length: 12 }, (_, index) => waitAfterMs(index + 1) / 1000);
  expect(waits).toEqual([10, 20, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600]);
});

test("one testbed's failures are its own, however many", () => {
  expect(judgeEach([{}, { atMs: 1 }, { atMs: 2 }])).toEqual(["strike", "strike", "strike"]);
});

test("the second testbed of a host that fails for one cause makes it shared, and the first one's strike is taken back", () => {
  expect(judgeEach([{}, { testbed: "b", atMs: minute }])).toEqual(["strike", 'new at "": a b, 10 s, back a']);
});

test("each of its strikes in that time is taken back, and none of before", () => {
  const before = limits.sharedMs + minute;
  const told = judgeEach([
    {},
    { atMs: before - minute / 2 },
    { atMs: before },
    { testbed: "b", atMs: before + 1 },
  ]);
  expect(told.at(-1)).toBe('new at "": a b, 10 s, back a a');
});

test("another cause, or the same one long after, is another testbed's own", () => {
  expect(judgeEach([{}, { testbed: "b", cause: "agent exited" }])).toEqual(["strike", "strike"]);
  expect(judgeEach([{}, { testbed: "b", atMs: limits.sharedMs + 1 }])).toEqual(["strike", "strike"]);
});

test("a job that was done on the same host in between says that it is not the host's fault", () => {
  expect(judgeEach([{}, { done: "", atMs: 1 }, { testbed: "b", atMs: 2 }])).toEqual([
    "strike",
    "over 0",
    "strike",
  ]);
});

test("testbeds of different hosts share the lab; a job that was done anywhere says that it is not the lab's fault", () => {
  const far = { testbed: "b", place: "lab-2", atMs: 2 };
  expect(judgeEach([{}, far])).toEqual(["strike", 'new at "lab": a b, 10 s, back a']);
  expect(judgeEach([{}, { done: "lab-3", atMs: 1 }, far])).toEqual(["strike", "over 0", "strike"]);
  // Of its own host it says nothing.
  const third = { ...far, testbed: "c", atMs: 3 };
  expect(judgeEach([far, { done: "lab-3", atMs: 2.5 }, third])[2]).toBe('new at "lab-2": b c, 10 s, back b');
});

test("it is tried again after ten seconds, doubling to ten minutes, whichever of them fails; nobody is struck", () => {
  const first = judgeEach([{}, { testbed: "b" }, { testbed: "c", atMs: 5_000 }]);
  expect(first[2]).toBe('known at "": a b c, 5 s, back ');
  let atMs = 0;
  const told: Told[] = [{}, { testbed: "b" }];
  const waits = [10, 20, 40, 80, 160, 320, 600, 600];
  for (const [index, seconds] of waits.slice(0, -1).entries()) {
    atMs += seconds * 1000;
    told.push({ testbed: index % 2 === 0 ? "a" : "b", atMs });
  }
  const seen = judgeEach(told)
    .slice(1)
    .map((line) => / (\d+) s/.exec(line)?.[1]);
  expect(seen).toEqual(waits.map(String));
});

test("a failure long after the shared one's time had come begins anew", () => {
  const told = judgeEach([
    {},
    { testbed: "b" },
    { atMs: 10_000 + 2 * limits.sharedMs },
    { atMs: 60 * minute },
  ]);
  expect(told[2]).toStartWith("known");
  expect(told[3]).toBe("strike");
});

test("a job that is done ends the shared fault, and what fails then is a testbed's own", () => {
  const told = judgeEach([{}, { testbed: "b" }, { done: "", atMs: 1 }, { atMs: 2 }]);
  expect(told.slice(2)).toEqual(["over 1", "strike"]);
  expect(judgeEach([{}, { testbed: "b" }, { done: "lab-9", atMs: 1 }]).at(-1)).toBe("over 0");
});

test("a strike from before a job that was done is not taken back: that job may have ended it", () => {
  const told = judgeEach([
    {},
    { done: "", atMs: 1 },
    { cause: "agent exited", atMs: 2 },
    { testbed: "b", atMs: 3 },
    { testbed: "c", atMs: 4 },
  ]);
  expect(told.at(-1)).toBe('new at "": b c, 10 s, back b');
});

test("a job that is done anywhere ends the lab's fault", () => {
  const far = { testbed: "b", place: "lab-2", atMs: 1 };
  expect(judgeEach([{}, far, { done: "lab-3", atMs: 2 }, { atMs: 3 }]).slice(2)).toEqual([
    "over 1",
    "strike",
  ]);
});

test("what testbeds of a host share for one cause is not ended by what they share for another", () => {
  const other = { cause: "agent exited" } as const;
  const told = judgeEach([
    {},
    { testbed: "b" },
    other,
    { ...other, testbed: "b" },
    { testbed: "c", atMs: 1 },
  ]);
  expect(told.slice(3)).toEqual(['new at "": a b, 10 s, back a', expect.stringContaining('known at ""')]);
});

test("the lab's fault takes the place of one host's", () => {
  const told = judgeEach([{}, { testbed: "b" }, { testbed: "c", place: "lab-2", atMs: 1 }, { atMs: 10_001 }]);
  expect(told[2]).toBe('new at "lab": a b c, 10 s, back ');
  expect(told[3]).toStartWith('known at "lab"');
});

test("while the server does not answer, and for a minute after it came back, a failure is nobody's", () => {
  const failure = { testbed: "a", place: "", cause: "agent exited", atMs: 10 * minute } as const;
  const kind = (silentSinceMs: number | null, backSinceMs: number | null): string =>
    judgeFailure(failure, noFailures, { silentSinceMs, backSinceMs }).verdict.kind;
  expect(kind(9 * minute, null)).toBe("excused");
  expect(kind(null, 9.5 * minute)).toBe("excused");
  expect(kind(null, 9 * minute)).toBe("strike");
  // A start is no return.
  expect(kind(null, null)).toBe("strike");
});
