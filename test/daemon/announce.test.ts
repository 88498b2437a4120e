/** The announcement of a job's end by a time limit, over the whole daemon. */
import { expect, test } from "bun:test";
import { configOf, instanceOf, testbedOf, workerOf } from "../policy/scenes.ts";
import { openStage, type Stage } from "./stage.ts";

const limit = { jobTimeoutMs: 3_600_000 };
const announced = (it: Stage): string[] => it.calls.filter((call) => call.includes("will end this job"));

async function openRunning(): Promise<Stage> {
  const it = openStage({ config: configOf([testbedOf(limit)]) });
  it.queue.push("job-1");
  await it.runUntil(() => it.instance()?.phase === "running");
  for (const worker of it.workers.values()) worker.online = true;
  return it;
}

test("the job is told once, five minutes before its end, and then ended", async () => {
  await using it = await openRunning();
  await it.run(54 * 60_000);
  expect(announced(it)).toEqual([]);
  await it.run(2 * 60_000);
  expect(announced(it)).toEqual([
    "append worker-of-job-1 the testbed's factory will end this job in 5 min: job_timeout 1h",
  ]);
  // In the row, for the next start.
  expect(it.store.open()[0]?.announced.job_timeout?.bootId).toBe("boot-1");
  await it.run(5 * 60_000);
  expect(announced(it)).toHaveLength(1);
  expect(it.store.latest()[0]?.endCause).toBe("job too long");
});

test("a factory that starts after the announcement makes no second one", async () => {
  const wentAt = { bootId: "boot-1", uptimeMs: 1_000_000 - 56 * 60_000 };
  const row = {
    ...instanceOf({ ...limit, wentAt, isOnline: true, isFlushed: true }),
    announced: { job_timeout: wentAt },
  };
  await using it = openStage({ config: configOf([testbedOf(limit)]), rows: [row] });
  it.workers.set("worker-a", workerOf({ id: "worker-a", private: "a/7", online: true }));
  it.agents.set("a_7", "alive");
  await it.run(60_000);
  expect(it.instance()?.phase).toBe("running");
  expect(announced(it)).toEqual([]);
});

test("a line that the server takes late, or refuses, delays the end by nothing and is not repeated", async () => {
  for (const fate of [
    new Promise(() => undefined),
    { ok: false, refusal: "forbidden", status: 403, message: "no" },
  ]) {
    await using it = await openRunning();
    it.fate = (call) => (call.includes("will end this job") ? fate : undefined);
    await it.run(60 * 60_000 + 1_000);
    expect(it.store.latest()[0]?.endCause).toBe("job too long");
    expect(announced(it)).toHaveLength(1);
  }
});

test("a line that certainly reached nobody is sent again", async () => {
  await using it = await openRunning();
  await it.run(54 * 60_000);
  let count = 0;
  it.fate = (call) => {
    if (!call.includes("will end this job")) return undefined;
    count += 1;
    if (count === 1)
      return { ok: false, refusal: "no answer", status: null, message: "refused", isUnsent: true };
    return count === 2 ? { ok: true, value: true } : undefined;
  };
  await it.run(3 * 60_000);
  expect(announced(it)).toHaveLength(3);
  await it.run(60_000);
  expect(announced(it)).toHaveLength(3);
});

test("two limits that end a job at about one time are announced once each", async () => {
  await using it = openStage({
    config: configOf([testbedOf({ jobTimeoutMs: 30 * 60_000, silenceTimeoutMs: 29 * 60_000 })]),
  });
  it.queue.push("job-1");
  await it.runUntil(() => it.instance()?.phase === "running");
  for (const worker of it.workers.values()) worker.online = true;
  await it.run(28 * 60_000);
  const limitsOf = announced(it).map((line) => /(job_timeout|silence_timeout)/.exec(line)?.[0]);
  expect(limitsOf.toSorted((one = "", other = "") => one.localeCompare(other))).toEqual([
    "job_timeout",
    "silence_timeout",
  ]);
});
