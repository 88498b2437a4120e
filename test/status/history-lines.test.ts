/** The journal as people read it: what each entry shows, how wide it is, and what the jobs come to. */
import { expect, test } from "bun:test";
import { historyLines, summaryLine } from "../../lib/status/history-lines.ts";
import type { Entry, JobEntry, Recorded } from "../../lib/words/journal.ts";
import { jobOf } from "../policy/scenes.ts";

const minute = 60_000;
/** Whatever the time zone of this host is, its local time is so. */
const noon = new Date(2026, 10, 28, 12, 0).getTime();
const at = (entries: Entry[]): Recorded[] =>
  entries.map((entry, index) => ({ id: index + 1, atMs: noon + index * minute, entry }));
const job = (over: Partial<JobEntry> = {}): JobEntry =>
  jobOf({
    testbed: "gimlet-1",
    job: "01M8HEAQ7XMMQHW2TWM2DQ7GVB",
    queuedMs: noon - 20 * minute,
    leasedMs: noon - 13 * minute,
    wentMs: noon - 12 * minute - 57_000,
    endedMs: noon - 57_000,
    ...over,
  });

const all: Entry[] = [
  job(),
  job({ result: "failed", reason: 'task "flash": exit code 3' }),
  job({ result: "lost", isStarted: false, wentMs: null, jobName: null, reason: "preflight failed: no disk" }),
  job({
    result: "not begun",
    isStarted: false,
    wentMs: null,
    jobName: null,
    reason: "its check fails: no power",
  }),
  job({ job: null, queuedMs: null, wentMs: null, result: "ended", reason: null, jobName: null }),
  {
    what: "act",
    verb: "reserve",
    testbed: "gimlet-1",
    who: "ann",
    note: "bench work",
    untilMs: noon,
    answer: "",
  },
  { what: "act", verb: "drain", testbed: null, who: "ann", note: "", untilMs: null, answer: "" },
  { what: "health", testbed: "gimlet-1", is: "quarantined", reason: "no power" },
  { what: "health", testbed: null, is: "trouble", reason: "no disk (gimlet-1, gimlet-2)" },
  { what: "server", is: "does not answer", lines: ["refused"] },
  { what: "factory", is: "started", lines: ["0.9.0", "took over 1 instance"] },
  { what: "config", is: "read anew", lines: ["bed-2 is new"] },
];

test("each entry is one line, with its local time and date, and all that is known of it", () => {
  expect(historyLines(at(all), null)).toEqual([
    "time              testbed   what         waited  start  ran  job",
    "2026-11-28 12:00  gimlet-1  passed       7m      3s     12m  01M8HEAQ7XMMQHW2TWM2DQ7GVB  flash",
    '2026-11-28 12:01  gimlet-1  failed       7m      3s     12m  01M8HEAQ7XMMQHW2TWM2DQ7GVB  flash: task "flash": exit code 3',
    "2026-11-28 12:02  gimlet-1  lost         7m      -      -    01M8HEAQ7XMMQHW2TWM2DQ7GVB  gimlet-1/7 before it was started: preflight failed: no disk",
    "2026-11-28 12:03  gimlet-1  not begun    7m      -      -    01M8HEAQ7XMMQHW2TWM2DQ7GVB  gimlet-1/7: its check fails: no power",
    "2026-11-28 12:04  gimlet-1  ended        -       -      -    -                           gimlet-1/7",
    "2026-11-28 12:05  gimlet-1  reserve      by ann until 2026-11-28 12:00: bench work",
    "2026-11-28 12:06  -         drain        by ann",
    "2026-11-28 12:07  gimlet-1  quarantined  no power",
    "2026-11-28 12:08  -         trouble      no disk (gimlet-1, gimlet-2)",
    "2026-11-28 12:09  -         server       does not answer: refused",
    "2026-11-28 12:10  -         factory      started: 0.9.0: took over 1 instance",
    "2026-11-28 12:11  -         config       read anew: bed-2 is new",
  ]);
});

test("at 80 columns nothing is cut but the end of a job's id, and what is too long goes on below", () => {
  const lines = historyLines(at(all), 80);
  for (const line of lines) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(80);
  expect(lines.slice(0, 4)).toEqual([
    "time              testbed   what         waited  start  ran  job",
    "2026-11-28 12:00  gimlet-1  passed       7m      3s     12m  01M8HEAQ7XMM  flash",
    "2026-11-28 12:01  gimlet-1  failed       7m      3s     12m  01M8HEAQ7XMM",
    '    flash: task "flash": exit code 3',
  ]);
  const long = "a".repeat(100);
  const wrapped = historyLines(at([job({ jobName: long, result: "failed", reason: "no" })]), 80);
  expect(wrapped.join("").replaceAll(/\s/g, "")).toContain(`${long}:no`);
  expect(historyLines(at(all), 200).join("\n")).toContain("01M8HEAQ7XMMQHW2TWM2DQ7GVB");
});

test("what a job or an operator wrote is one line without control characters", () => {
  const [, line] = historyLines(
    at([job({ jobName: "a\u001b[2Jb\nc", result: "failed", reason: "x\r\ny" })]),
    null,
  );
  expect(line).toEndWith("a [2Jb c: x y");
});

test("the summary counts results and shows the median and the 90th percentile of waiting and running", () => {
  const jobs = Array.from({ length: 10 }, (_, index) =>
    job({ queuedMs: 0, leasedMs: (index + 1) * 1000, wentMs: 0, endedMs: (index + 1) * minute }),
  );
  const entries = [...jobs, job({ result: "failed", queuedMs: null, wentMs: null }), ...all.slice(5)];
  expect(summaryLine(at(entries))).toBe(
    "11 jobs: 10 passed, 1 failed; waited 6.0 s (90 %: 9.0 s), ran 6 min 00 s (90 %: 9 min 00 s)",
  );
  expect(summaryLine(at([job({ queuedMs: null, wentMs: null })]))).toBe("1 job: 1 passed");
  expect(summaryLine(at([job({ result: "not begun", wentMs: null })]))).toBe("1 job: 1 not begun");
  expect(summaryLine(at([job({ queuedMs: noon, leasedMs: noon - 5_000 })]))).toBe(
    "1 job: 1 passed; waited 0.0 s, ran 12 min 00 s",
  );
  expect(summaryLine(at(all.slice(5)))).toBeNull();
});

test("a server whose clock is ahead makes no negative time", () => {
  const [, line] = historyLines(at([job({ queuedMs: noon })]), null);
  expect(line).toContain("  passed  0s      3s     12m  ");
});
