/** What Prometheus reads: judged by its own promtool. */
import { expect, test } from "bun:test";
import { metricsText } from "../../lib/status/metrics.ts";
import { Tally } from "../../lib/status/tally.ts";
import type { JobEntry } from "../../lib/words/journal.ts";
import { testWith } from "../lab/needs.ts";
import { snapshotOf, testbedSnapshotOf } from "./snapshots.ts";

const build = { product: "x", version: "1.2.3", commit: "abc", target: "linux-x64" };

const job = (over: Partial<JobEntry>): JobEntry => ({
  what: "job",
  testbed: "a",
  seq: 1,
  job: "01HGYSTRYRBS0DG7J6E22ZS3M5",
  jobName: "flash",
  target: "t",
  queuedMs: 1_000,
  leasedMs: 3_000,
  isStarted: true,
  wentMs: 4_000,
  endedMs: 61_000,
  result: "passed",
  cause: "job done",
  reason: null,
  silentMs: null,
  ...over,
});

function tallied(): Tally {
  const tally = new Tally();
  tally.leases = 4;
  tally.starts = 3;
  tally.take(job({}));
  tally.take(job({ wentMs: 2_500, endedMs: 100_000_000 }));
  tally.take(job({ result: "lost", cause: "agent killed" }));
  tally.take(job({ result: "not begun", cause: "check failed", wentMs: null }));
  tally.take(job({ cause: null, queuedMs: null }));
  tally.online.add(1_500);
  return tally;
}

const hostile = 'x"\\\ny{}';
const text = metricsText(
  snapshotOf({
    testbeds: [
      testbedSnapshotOf({ testbed: "a", state: "free" }),
      testbedSnapshotOf({
        testbed: hostile,
        state: "quarantined",
        health: { strikes: 3, untilMs: null, reason: "" },
      }),
    ],
  }),
  tallied(),
  build,
);
const linesOf = (name: string): string[] => text.split("\n").filter((line) => line.startsWith(name));

test("testbeds are counted by state, and each has the one that it is in", () => {
  expect(linesOf(`sp_factory_testbeds{state="free"}`)).toEqual([`sp_factory_testbeds{state="free"} 1`]);
  expect(linesOf(`sp_factory_testbeds{state="running"}`)).toEqual([`sp_factory_testbeds{state="running"} 0`]);
  expect(linesOf("sp_factory_testbed_state")).toEqual([
    `sp_factory_testbed_state{testbed="a",type="gimlet",state="free"} 1`,
    `sp_factory_testbed_state{testbed="x\\"\\\\\\ny{}",type="gimlet",state="quarantined"} 1`,
  ]);
  expect(linesOf('sp_factory_testbed_strikes{testbed="x')[0]).toEndWith(" 3");
});

test("jobs are counted by result and cause", () => {
  expect(linesOf("sp_factory_jobs_total{").toSorted()).toEqual([
    `sp_factory_jobs_total{result="lost",cause="agent killed"} 1`,
    `sp_factory_jobs_total{result="not begun",cause="check failed"} 1`,
    `sp_factory_jobs_total{result="passed",cause="job done"} 2`,
    `sp_factory_jobs_total{result="passed",cause="unknown"} 1`,
  ]);
  expect(linesOf("sp_factory_leases_total")).toEqual(["sp_factory_leases_total 4"]);
  expect(linesOf("sp_factory_starts_total")).toEqual(["sp_factory_starts_total 3"]);
});

test("a histogram counts what was at most so long, and all", () => {
  const buckets = linesOf("sp_factory_job_queued_seconds");
  expect(buckets).toContain(`sp_factory_job_queued_seconds_bucket{le="1"} 0`);
  expect(buckets).toContain(`sp_factory_job_queued_seconds_bucket{le="2"} 1`);
  expect(buckets).toContain(`sp_factory_job_queued_seconds_bucket{le="5"} 3`);
  expect(buckets).toContain(`sp_factory_job_queued_seconds_bucket{le="+Inf"} 3`);
  expect(buckets).toContain("sp_factory_job_queued_seconds_sum 7.5");
  expect(buckets).toContain("sp_factory_job_queued_seconds_count 3");
  // Longer than the longest bound.
  expect(linesOf("sp_factory_job_turnaround_seconds")).toContain(
    `sp_factory_job_turnaround_seconds_bucket{le="43200"} 2`,
  );
  expect(linesOf("sp_factory_job_turnaround_seconds")).toContain(
    `sp_factory_job_turnaround_seconds_bucket{le="+Inf"} 3`,
  );
});

testWith("promtool")("promtool finds nothing wrong", () => {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["promtool", "check", "metrics"], {
    stdin: new TextEncoder().encode(text),
  });
  expect(`${stdout.toString()}${stderr.toString()}`).toBe("");
  expect(exitCode).toBe(0);
});

test("a time that is exactly a bound is within it, and a clock that was set back takes nothing off the sum", () => {
  const { turnaround } = new Tally();
  turnaround.add(1_000);
  expect(turnaround.counts[0]).toBe(1);
  turnaround.add(-5_000);
  expect([turnaround.counts[0], turnaround.sum, turnaround.count]).toEqual([2, 1, 2]);
});

test("the start is in seconds; a factory that hands over drains; a server that was not asked yet is not up", () => {
  const lab = snapshotOf();
  const of = (over: Partial<typeof lab>): string => metricsText(snapshotOf(over), new Tally(), build);
  const started = of({ factory: { ...lab.factory, startedMs: 5_000, mode: "hand over" } });
  expect(started).toContain("sp_factory_start_time_seconds 5\n");
  expect(started).toContain("sp_factory_draining 1\n");
  expect(of({})).toContain("sp_factory_draining 0\n");
  for (const is of ["not asked yet", "refuses the token", "does not answer"] as const)
    expect(of({ server: { ...lab.server, is } })).toContain("sp_factory_server_up 0\n");
});
