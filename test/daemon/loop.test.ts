/** The loop as a whole, over a server and a minder that do as a test says. */
import { expect, test } from "bun:test";
import { openStage } from "./stage.ts";

test("a job goes from the queue to its end", async () => {
  await using it = openStage();
  it.queue.push("job-1");
  await it.runUntil(() => it.instance()?.phase === "running");
  it.agents.set("a_1", "done");
  await it.runUntil(() => it.instance() === undefined);
  const steps = it.calls.filter((call) => !/^(list|look|locks|lease|probe|recall|ping|read)/.test(call));
  expect(steps).toEqual([
    "arm a_1",
    "create job-1",
    "associate worker-of-job-1",
    "go a_1",
    "stop a_1",
    "tidy a_1",
    "delete worker-of-job-1",
  ]);
});

test("the supervisor hears that the loop turns, at least every 2 s, once it is known what runs and not before", async () => {
  await using it = openStage();
  it.fate = (call) => (call === "recall" ? { ok: false, reason: "the disk is away" } : undefined);
  await it.run(60_000);
  expect(it.turns).toEqual([]);
  it.fate = () => undefined;
  await it.run(60_000);
  const pauses = it.turns.slice(1).map((atMs, index) => atMs - (it.turns[index] ?? 0));
  expect(it.turns.length).toBeGreaterThan(20);
  expect(Math.max(...pauses)).toBeLessThanOrEqual(2000);
});
