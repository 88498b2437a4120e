/** A hardware test's agent that is gone before its job's end: when it is started again, and when that is in vain. */
import { expect, test } from "bun:test";
import { configOf, instanceOf, testbedOf, workerOf } from "../policy/scenes.ts";
import { openStage, type Stage } from "./stage.ts";

const url = "http://h";

function openDead(fateOfArm: unknown): Stage {
  const place = { way: "sp-runner", directory: "/work/a_7", agent: "built-in", spRunnerUrl: url } as const;
  const it = openStage({
    config: configOf([testbedOf({ spRunnerUrl: url })]),
    rows: [instanceOf({ place, isOnline: true, isFlushed: true })],
  });
  it.workers.set("worker-a", workerOf({ online: true }));
  it.agents.set("a_7", "absent");
  it.fate = (call) => {
    if (call.startsWith("arm")) return fateOfArm;
    // What the service says of its board is not asked for here.
    return call.startsWith("quiet") ? { kind: "cannot tell", reason: "it is not asked" } : undefined;
  };
  return it;
}

test("its job ends at once where its directory is gone", async () => {
  await using it = openDead({ kind: "taken", reason: "/work/a_7 is not there" });
  await it.runUntil(() => it.instance()?.phase === "destroying");
  expect(it.count(/^arm/)).toBe(1);
  expect(it.instance()?.endCause).toBe("agent lost");
});

test("what may pass, for example a full disk, is tried again", async () => {
  await using it = openDead({ kind: "failed", reason: "its file system may be full" });
  await it.runUntil(() => it.count(/^arm/) > 2);
  expect(it.instance()?.phase).toBe("running");
  it.fate = () => undefined;
  await it.runUntil(() => it.agents.get("a_7") === "alive");
  expect(it.said.some((line) => line.includes("started again"))).toBe(true);
});
