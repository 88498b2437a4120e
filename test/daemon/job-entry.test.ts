/** The journal's entry of each end of an instance: what it says, that it is one, and when none is made. */
import { Database } from "bun:sqlite";
import { expect, spyOn, test } from "bun:test";
import { follow } from "../../lib/daemon/consequences.ts";
import { memoryOf } from "../../lib/daemon/instance-memory.ts";
import { takeSnapshot } from "../../lib/daemon/live-view.ts";
import { openMemory } from "../../lib/daemon/memory.ts";
import { cannotGoOn } from "../../lib/daemon/outcome.ts";
import type { EndRecord } from "../../lib/hosts/minder/minder-answer.ts";
import type { EndCause } from "../../lib/words/end-cause.ts";
import type { JobEntry } from "../../lib/words/journal.ts";
import { at, gimlet, instanceOf, jobOf, rustInstanceOf, workerOf } from "../policy/scenes.ts";
import { openStage, type Stage } from "./stage.ts";

const jobId = "01HGYSTRYRBS0DG7J6E22ZS3M7";
/** The first 48 bits of that ULID. */
const queuedMs = 1_701_840_774_104;

const jobs = ({ store }: Stage): JobEntry[] =>
  store.journal({ most: 100 }).flatMap(({ entry }) => (entry.what === "job" ? entry : []));

async function endOn(
  it: Stage,
  cause: EndCause,
  record: EndRecord | null = null,
): Promise<JobEntry | undefined> {
  it.fate = (call) => (call.startsWith("tidy") ? { kind: "tidied", left: null, end: record } : undefined);
  const [row] = it.store.open();
  if (row === undefined) throw new Error("it has no instance");
  const ended = follow(it.factory, row, {
    kind: "end stands",
    end: { cause },
    isWorkerGone: false,
    isJobDone: false,
  });
  await it.clock.advance(100);
  await ended;
  await it.run(30_000);
  return jobs(it).at(-1);
}

test("an end is noted with its times, by the wall clock of this boot", async () => {
  await using it = openStage();
  const { clock } = it;
  const begunMs = clock.wallMs() - 70_000;
  it.store.begin(instanceOf({ phase: "preparing", job: jobId, begunMs }));
  const { store, factory } = it;
  factory.known = Object.assign(factory.known, openMemory(store, clock));
  const [row] = store.open();
  const wentAt = { bootId: clock.bootId, uptimeMs: clock.uptimeMs() - 60_000 };
  if (row === undefined) throw new Error("it has no instance");
  memoryOf(factory.known, row).row = store.advance(row, {
    phase: "running",
    worker: "worker-a",
    wentAt,
    isOnline: true,
  });
  it.workers.set("worker-a", workerOf({ online: true }));
  it.agents.set("a_7", "alive");
  const decidedMs = clock.wallMs();
  expect(
    await endOn(it, "job done", { jobName: "flash", verdict: { is: "failed", why: "exit code 3" } }),
  ).toEqual({
    what: "job",
    testbed: "a",
    seq: 7,
    job: jobId,
    jobName: "flash",
    target: gimlet,
    queuedMs,
    leasedMs: begunMs,
    isStarted: true,
    wentMs: decidedMs - 60_000,
    endedMs: decidedMs,
    result: "failed",
    cause: "job done",
    reason: "exit code 3",
    silentMs: null,
  });
});

function openRunning(over: Parameters<typeof instanceOf>[0] = {}): Stage {
  const it = openStage({ rows: [instanceOf({ isOnline: true, isFlushed: true, ...over })] });
  it.workers.set("worker-a", workerOf({ online: true }));
  it.agents.set("a_7", "alive");
  return it;
}

test.each<[EndCause, EndRecord | null, Partial<JobEntry>]>([
  [
    "job done",
    { jobName: "flash", verdict: { is: "completed", why: "" } },
    { result: "passed", jobName: "flash" },
  ],
  ["job done", { jobName: "flash", verdict: null }, { result: "ended", reason: null }],
  ["worker recycled", { jobName: "flash", verdict: null }, { result: "cancelled" }],
  ["agent killed", null, { result: "lost", reason: "the agent was killed, or its host restarted" }],
])("an end by %s with the record %j is noted once", async (cause, record, seen) => {
  await using it = openRunning();
  expect(await endOn(it, cause, record)).toMatchObject({ cause, ...seen });
  expect(jobs(it)).toHaveLength(1);
});

test("what an earlier run decided to end is noted, without a time that nobody knows", async () => {
  await using it = openRunning({
    phase: "destroying",
    endCause: "worker recycled",
    endReason: "the server recycles the worker",
    wentAt: at(1, "another boot"),
  });
  await it.run(30_000);
  expect(jobs(it)).toMatchObject([{ result: "ended", isStarted: true, wentMs: null, jobName: null }]);
});

test("a job of the Rust factory's is noted: it was started, nobody knows when", async () => {
  const row = rustInstanceOf("local", {
    phase: "stopped",
    job: null,
    wentAt: null,
    endCause: "worker recycled",
  });
  await using it = openStage({ rows: [row] });
  await follow(it.factory, row, { kind: "deleted", record: null, left: null });
  expect(jobs(it)).toMatchObject([
    { job: null, queuedMs: null, isStarted: true, wentMs: null, result: "ended" },
  ]);
});

test("a job that was not begun is noted once for each cause until one is begun, also across a restart", async () => {
  await using it = openStage();
  let seq = 0;
  const drop = async (cause: EndCause): Promise<void> => {
    const row = it.store.begin(instanceOf({ phase: "preparing", seq: (seq += 1), job: jobId }));
    const dropped = follow(it.factory, row, cannotGoOn(cause, `reason ${seq}`));
    await it.clock.advance(100);
    await dropped;
  };
  for (let round = 0; round < 3; round += 1) {
    await drop("preflight failed");
    await drop("check failed");
  }
  const seen = (): string[] => jobs(it).map(({ result, cause, reason }) => `${result}, ${cause}, ${reason}`);
  const first = [
    "not begun, preflight failed, preflight failed: reason 1",
    "not begun, check failed, its check fails: reason 2",
  ];
  expect(seen()).toEqual(first);
  it.factory.known = openMemory(it.store, it.clock);
  await drop("check failed");
  expect(seen()).toEqual(first);
  it.factory.known.pastJobs.take({ ...(jobs(it)[0] as JobEntry), result: "passed" });
  await drop("check failed");
  expect(seen()).toHaveLength(3);
});

test("a job's entry costs no commit of its own", async () => {
  await using it = openRunning();
  const note = spyOn(it.store, "note");
  const advance = spyOn(it.store, "advance");
  await endOn(it, "job done", { jobName: "flash", verdict: null });
  expect(jobs(it)).toHaveLength(1);
  expect(note).not.toHaveBeenCalled();
  expect(advance.mock.calls.filter(([, , noted]) => noted !== undefined)).toHaveLength(1);
});

test("an entry that could not be committed is made with the next attempt, once", async () => {
  await using it = openRunning();
  const other = new Database(`${it.directory}/data.sqlite3`);
  const advance = it.store.advance;
  const refused: string[] = [];
  it.store.advance = (...words: Parameters<typeof advance>) => {
    const isFirst = words[1].phase === "destroyed" && refused.length === 0;
    if (isFirst) other.run("BEGIN IMMEDIATE");
    try {
      return advance(...words);
    } catch (error) {
      refused.push(String(error));
      throw error;
    } finally {
      if (isFirst) other.run("ROLLBACK");
    }
  };
  await endOn(it, "agent killed");
  other.close();
  expect(refused).toHaveLength(1);
  expect(jobs(it)).toHaveLength(1);
  expect(it.factory.known.pastJobs.recent("a")).toEqual(["lost"]);
});

test("a job's name and its longest silence are learnt from looks, for the snapshot and for its entry", async () => {
  await using it = openRunning();
  let printed: string | null = "1";
  it.fate = (call) =>
    call.startsWith("look")
      ? [{ directory: "", state: it.agents.get("a_7"), reason: null, output: printed, jobName: "flash" }]
      : undefined;
  const looked = spyOn(it.factory.hosts.here.minder, "look");
  const silent = jobOf({ seq: 1, silentMs: 60_000 });
  for (let count = 0; count < 3; count += 1) it.factory.known.pastJobs.take(silent);
  const shown = () => takeSnapshot(it.factory, { mode: "run", database: "" }).testbeds[0]?.job;
  await it.run(65_000);
  expect(shown()).toMatchObject({ name: "flash", silentMs: null });
  // Asked for until it is known.
  const asked = looked.mock.calls.map(([, nameless]) => nameless?.size);
  expect([asked[0], asked.at(-1)]).toEqual([1, 0]);
  await it.run(120_000);
  expect(shown()?.silentMs).toBeWithin(150_000, 186_000);
  printed = "2";
  await it.run(40_000);
  expect(shown()).toMatchObject({ name: "flash", silentMs: null });
  it.agents.set("a_7", "exited");
  await it.runUntil(() => it.instance() === undefined);
  expect(jobs(it)).toMatchObject([{ jobName: "flash", result: "lost" }]);
  expect(jobs(it)[0]?.silentMs).toBeWithin(150_000, 186_000);
});

test("of a job whose output is not watched no silence is noted", async () => {
  await using it = openRunning();
  it.fate = (call) =>
    call.startsWith("look")
      ? [{ directory: "", state: it.agents.get("a_7"), reason: null, output: null }]
      : undefined;
  await it.run(100_000);
  it.agents.set("a_7", "exited");
  await it.runUntil(() => it.instance() === undefined);
  expect(jobs(it)).toMatchObject([{ silentMs: null }]);
});
