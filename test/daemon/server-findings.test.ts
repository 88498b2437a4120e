/** What is taken in of what the server and hosts say, and counted once. */
import { expect, test } from "bun:test";
import { at, configOf, instanceOf, testbedOf, workerOf } from "../policy/scenes.ts";
import { openStage, refusal } from "./stage.ts";

test("a job is counted once: as leased, as started and as online, with the time that this took", async () => {
  await using it = openStage();
  it.queue.push("job-1");
  await it.runUntil(() => it.instance()?.phase === "running");
  for (const worker of it.workers.values()) worker.online = true;
  await it.runUntil(() => it.instance()?.isOnline === true);
  const tookMs = it.clock.wallMs() - (it.instance()?.begunMs ?? 0);
  await it.run(60_000);
  const { leases, starts, online } = it.factory.known.tally;
  expect([leases, starts, online.count]).toEqual([1, 1, 1]);
  expect(online.sum).toBeWithin(0.001, tookMs / 1_000 + 0.001);
});

test("each call that the server does not answer is counted", async () => {
  await using it = openStage();
  await it.run(5_000);
  it.fate = (call) => (/^(list|ping|lease)/.test(call) ? refusal(503) : undefined);
  const before = it.count(/^(list|ping|lease)/);
  await it.run(20_000);
  const failed = it.count(/^(list|ping|lease)/) - before;
  expect(it.factory.known.tally.serverErrors).toBeWithin(failed - 1, failed + 1);
});

test("a hold is logged once, and once that it is over", async () => {
  await using it = openStage();
  it.queue.push("job-1");
  await it.runUntil(() => it.instance()?.phase === "running");
  const hold = async (is: boolean): Promise<void> => {
    for (const worker of it.workers.values()) worker.hold = is;
    await it.run(30_000);
  };
  await hold(true);
  await hold(false);
  const lines = it.said.filter((line) => /held on the server/.test(line));
  expect(lines).toEqual([expect.stringMatching(/^held on the server/), "no longer held on the server"]);
});

test("a job is not silent while its agent itself is at work", async () => {
  const row = instanceOf({
    isOnline: true,
    isFlushed: true,
    silenceTimeoutMs: 60_000,
    wentAt: at(1_000_000),
  });
  await using it = openStage({ rows: [row] });
  it.workers.set("worker-a", workerOf({ online: true }));
  it.agents.set("a_7", "alive");
  const { minder } = it.factory.hosts.here;
  const { look } = minder;
  let output = "own";
  minder.look = async (...asked) => (await look(...asked)).map((view) => ({ ...view, output }));
  await it.run(300_000);
  expect(it.instance()).toMatchObject({ phase: "running", endReason: null });
  output = "7";
  await it.runUntil(() => it.instance() === undefined);
  expect(it.store.latest()[0]?.endCause).toBe("job silent");
});

test("a server that refuses everything shows since when it does", async () => {
  await using it = openStage();
  await it.run(5_000);
  it.fate = (call) => (/^(list|ping|lease)/.test(call) ? refusal(500) : undefined);
  const { server } = it.factory.known;
  await it.runUntil(() => server.silentSinceMs !== null);
  const sinceMs = server.silentSinceMs;
  await it.run(60_000);
  expect(server.silentSinceMs).toBe(sinceMs);
});

test("a testbed that another factory holds takes no job until its lock is gone; our own lock and a dead one's keep nothing away", async () => {
  await using it = openStage({ config: configOf([testbedOf(), testbedOf({ name: "b" })]) });
  it.locks.set("a", "somebody's").set("b", "somebody's");
  it.queue.push("job-1");
  await it.run(20_000);
  expect(it.queue).toEqual(["job-1"]);
  it.locks.delete("a");
  await it.run(10_000);
  expect(it.instance("a")?.phase).toBe("running");
  it.locks.set("a", it.instance("a")?.cookie ?? "");
  const before = it.said.length;
  await it.run(20_000);
  expect(it.said.slice(before).join()).not.toContain("in use elsewhere");
  const { minder } = it.factory.hosts.here;
  const { locks } = minder;
  minder.locks = async () => {
    const found = await locks();
    return found.ok ? { ok: true, locks: found.locks.map((each) => ({ ...each, owner: "dead" })) } : found;
  };
  it.queue.push("job-2");
  await it.run(10_000);
  expect(it.instance("b")?.phase).toBe("running");
});

test("a check that fails again and again is logged once, and once that it succeeds", async () => {
  await using it = openStage({ config: configOf([testbedOf({ check: "true" })]) });
  let count = 0;
  let isGood = false;
  it.factory.processes.run = async () => {
    count += 1;
    return await Promise.resolve({
      ok: true,
      exitCode: isGood ? 0 : 1,
      stdout: "",
      stderr: `try ${count}`,
    } as never);
  };
  await it.run(60_000);
  isGood = true;
  await it.run(20_000);
  expect(count).toBeGreaterThan(3);
  const lines = it.said.filter((line) => line.includes("check"));
  expect(lines).toEqual([expect.stringContaining("until its check succeeds"), "its check succeeds again"]);
});
