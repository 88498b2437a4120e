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
