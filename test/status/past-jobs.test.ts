/** What is remembered of the jobs that ended: results of a testbed, and how long jobs of a name took and were silent. */
import { expect, test } from "bun:test";
import { PastJobs } from "../../lib/status/past-jobs.ts";
import type { JobEntry } from "../../lib/words/journal.ts";
import { jobOf } from "../policy/scenes.ts";

function past(entries: Partial<JobEntry>[]): PastJobs {
  const jobs = new PastJobs();
  for (const entry of entries) jobs.take(jobOf(entry));
  return jobs;
}

const took = (ms: number, over: Partial<JobEntry> = {}): Partial<JobEntry> => ({
  wentMs: 1_000,
  endedMs: 1_000 + ms,
  ...over,
});
const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));

test("recent() gives the last ten results of a testbed, the latest last", () => {
  const jobs = past([
    ...times(12, (): Partial<JobEntry> => ({ result: "passed" })),
    { result: "failed" },
    { testbed: "b", result: "lost" },
  ]);
  expect(jobs.recent("a")).toEqual([...times(9, () => "passed" as const), "failed"]);
  expect([jobs.recent("b"), jobs.recent("c")]).toEqual([["lost"], []]);
});

test("recent() has a job that was not begun once for each cause", () => {
  const refused: Partial<JobEntry> = { result: "not begun", cause: "check failed", jobName: null };
  const jobs = past([refused, refused, { ...refused, cause: "preflight failed" }, refused, {}, refused]);
  expect(jobs.recent("a")).toEqual(["not begun", "not begun", "passed", "not begun"]);
});

test("took() counts whole jobs only: not those that were cancelled or lost, or of which nobody knows when they began", () => {
  const jobs = past([
    took(1),
    took(2, { result: "failed" }),
    took(3, { result: "ended" }),
    took(4, { result: "cancelled" }),
    took(5, { result: "lost" }),
    took(6, { wentMs: null }),
    took(7, { jobName: "other" }),
  ]);
  expect(jobs.took("flash", "a")).toEqual([1, 2, 3]);
  expect(jobs.took("nothing", "a")).toEqual([]);
});

test("took() is of the testbed itself if it had five such jobs, else of all, and of the last twenty", () => {
  const jobs = past([
    ...times(4, (index) => took(index)),
    ...times(30, (index) => took(100 + index, { testbed: "b" })),
  ]);
  expect(jobs.took("flash", "a")).toEqual(times(20, (index) => 110 + index));
  jobs.take(jobOf(took(9)));
  expect(jobs.took("flash", "a")).toEqual([0, 1, 2, 3, 9]);
});

test("a clock that went back gives no negative time", () => {
  expect(past([took(-5)]).took("flash", "a")).toEqual([0]);
});

test("isUnusual() is said of a silence that is longer than any of three jobs of the name, looks' precision aside", () => {
  const silent = (silentMs: number | null): Partial<JobEntry> => took(1, { silentMs });
  expect(past([silent(5), silent(null), silent(9)]).isUnusual("flash", 1e9)).toBe(false);
  const jobs = past([silent(5), silent(9_000), silent(1)]);
  expect([39_000, 39_001].map((ms) => jobs.isUnusual("flash", ms))).toEqual([false, true]);
  expect(jobs.isUnusual("other", 1e9)).toBe(false);
});

test("names that were not used for long are forgotten", () => {
  const jobs = past([took(1, { jobName: "first" }), took(1, { jobName: "second" })]);
  for (const index of times(1_998, (each) => each)) jobs.take(jobOf(took(1, { jobName: `job ${index}` })));
  jobs.take(jobOf(took(2, { jobName: "first" })));
  jobs.take(jobOf(took(1, { jobName: "one more" })));
  expect([jobs.took("first", "a"), jobs.took("second", "a")]).toEqual([[1, 2], []]);
});

test("of a name that is used for ever the last hundred jobs count", () => {
  const jobs = past([took(1, { silentMs: 1e9 }), ...times(100, () => took(1, { silentMs: 1 }))]);
  expect(jobs.isUnusual("flash", 1e6)).toBe(true);
});
