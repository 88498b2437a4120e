/** A testbed's own check in the loop: for which job it is run. */
import { expect, test } from "bun:test";
import { configOf, testbedOf } from "../policy/scenes.ts";
import { openStage } from "./stage.ts";

test("the check knows no job before the first lease, and then the job and the target that it is for", async () => {
  await using it = openStage({ config: configOf([testbedOf({ check: "true" })]) });
  const jobs: string[] = [];
  it.factory.processes = {
    run: async ({ env }: { env: Record<string, string> }) => {
      jobs.push(`${env["SP_JOB"]} ${env["SP_TARGET"]}`);
      return await Promise.resolve({ ok: true, exitCode: 0, stdout: "", stderr: "" });
    },
  } as never;
  await it.runUntil(() => jobs.length === 1);
  it.queue.push("job-1");
  await it.runUntil(() => it.instance()?.phase === "running");
  expect(jobs).toEqual([" ", "job-1 sp-gimlet"]);
});
