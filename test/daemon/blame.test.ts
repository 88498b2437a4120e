/** Failures of the lab over the whole daemon: against one testbed, or against what several share. */
import { expect, test } from "bun:test";
import { testbedMemory } from "../../lib/daemon/testbed-memory.ts";
import { configOf, testbedOf } from "../policy/scenes.ts";
import { openStage, type Stage } from "./stage.ts";

const a = testbedOf();
const b = testbedOf({ name: "b" });

async function running(it: Stage, testbed: string, job: string): Promise<void> {
  it.queue.push(job);
  await it.runUntil(() => it.instance(testbed)?.phase === "running");
  for (const worker of it.workers.values()) worker.online = true;
  await it.runUntil(() => it.instance(testbed)?.isOnline === true);
}

async function end(it: Stage, testbed: string, as: "dead" | "done"): Promise<void> {
  const instance = it.instance(testbed);
  it.agents.set(`${testbed}_${instance?.seq}`, as);
  await it.runUntil(() => it.instance(testbed) === undefined);
}

const strikesOf = (it: Stage, testbed: string): number =>
  testbedMemory(it.factory.known, testbed).health?.strikes ?? 0;
const shared = (it: Stage): string[] => it.said.filter((line) => line.includes("of what they share"));

test("two testbeds whose agents die for one cause: said once, in the log and the journal, and nobody is struck", async () => {
  await using it = openStage({ config: configOf([a, b]) });
  await running(it, "a", "job-1");
  await running(it, "b", "job-2");
  await end(it, "a", "dead");
  expect(strikesOf(it, "a")).toBe(1);
  await end(it, "b", "dead");
  expect([strikesOf(it, "a"), strikesOf(it, "b")]).toEqual([0, 0]);
  expect(it.store.health().size).toBe(0);
  expect(shared(it)).toHaveLength(1);
  const { shared: shown, testbeds } = it.daemon.snapshot("data.sqlite3");
  expect(shown).toEqual([
    { reason: expect.stringContaining("of what they share: the agent was killed"), testbeds: ["a", "b"] },
  ]);
  expect(testbeds.map(({ state }) => state)).toEqual(["backing off", "backing off"]);
  const entries = it.store
    .journal({ what: ["health"], most: 9 })
    .filter(({ entry }) => "testbed" in entry && entry.testbed === null);
  expect(entries.map(({ entry }) => "is" in entry && entry.is)).toEqual(["shared fault"]);
  // The one that failed last tries again, while the other waits; it fails again, and that is not said again.
  it.queue.push("job-3", "job-4");
  await it.runUntil(() => it.instance("b")?.phase === "running");
  await it.run(20_000);
  expect(it.instance("a")).toBeUndefined();
  for (const worker of it.workers.values()) worker.online = true;
  await it.runUntil(() => it.instance("b")?.isOnline === true);
  await end(it, "b", "dead");
  expect(shared(it)).toHaveLength(1);
  // One that is done ends it, and the other waits no longer.
  await running(it, "b", "job-5");
  await end(it, "b", "done");
  expect(it.said.some((line) => line.includes("works again: a job was done on b"))).toBe(true);
  expect(testbedMemory(it.factory.known, "a").rest).toBeNull();
  await running(it, "a", "job-6");
  await end(it, "a", "dead");
  expect(strikesOf(it, "a")).toBe(1);
});

test("a testbed that fails while another one works is quarantined after three, and tried again after a minute", async () => {
  await using it = openStage({ config: configOf([a]) });
  const moments: number[] = [];
  for (let count = 1; count <= 5; count += 1) {
    await running(it, "a", `job-${count}`);
    moments.push(it.clock.uptimeMs());
    await end(it, "a", "dead");
    expect(strikesOf(it, "a")).toBe(count);
  }
  const waits = moments.slice(1).map((ms, index) => Math.floor((ms - (moments[index] ?? 0)) / 10_000) * 10);
  expect(waits.slice(2)).toEqual([expect.any(Number), expect.any(Number)]);
  expect(waits[2]).toBeWithin(60, 100);
  expect(waits[3]).toBeWithin(120, 160);
  expect(it.store.health().get("a")?.reason).toBe("the agent was killed, or its host restarted");
});

test("what ends while the server is away or just back is not held against the testbed, which waits a moment all the same", async () => {
  await using it = openStage({ config: configOf([a]) });
  await running(it, "a", "job-1");
  it.fate = () => ({ ok: false, refusal: "no answer", status: null, message: "it is away" });
  await it.run(20_000);
  it.fate = () => undefined;
  await end(it, "a", "dead");
  expect(strikesOf(it, "a")).toBe(0);
  expect(testbedMemory(it.factory.known, "a").rest?.reason).toContain("the server was away");
});

test("what is excused shortens no wait that the testbed has already", async () => {
  await using it = openStage({ config: configOf([a]) });
  await running(it, "a", "job-1");
  it.fate = () => ({ ok: false, refusal: "no answer", status: null, message: "it is away" });
  await it.run(20_000);
  it.fate = () => undefined;
  const untilMs = it.clock.uptimeMs() + 500_000;
  testbedMemory(it.factory.known, "a").rest = { count: 3, untilMs, reason: "no worker" };
  await end(it, "a", "dead");
  expect(testbedMemory(it.factory.known, "a").rest).toMatchObject({ count: 3, untilMs });
});

test("a quarantined testbed's own check is run again before the next job is asked for", async () => {
  await using it = openStage({ config: configOf([{ ...a, check: "true" }]) });
  let checks = 0;
  let isGood = true;
  it.factory.processes = {
    run: async () => {
      checks += 1;
      return await Promise.resolve({ ok: true, exitCode: isGood ? 0 : 1, stdout: "", stderr: "" });
    },
  } as never;
  await running(it, "a", "job-1");
  const before = checks;
  isGood = false;
  await end(it, "a", "dead");
  it.queue.push("job-2");
  await it.run(60_000);
  expect(checks).toBeGreaterThan(before);
  expect(it.queue).toEqual(["job-2"]);
});

test("an agent that died with its host's ssh gone is no strike: its host is reached first", async () => {
  await using it = openStage({ config: configOf([testbedOf({ host: "lab-2" })]) });
  await running(it, "a", "job-1");
  it.fate = (call) => (call === "reach a" ? { ok: false, reason: "lab-2 is away" } : undefined);
  await end(it, "a", "dead");
  expect(strikesOf(it, "a")).toBe(0);
});

test("a job that an sp-runner service lost with its agent is no strike if the service does not answer", async () => {
  const url = "http://127.0.0.1:1";
  await using it = openStage({ config: configOf([testbedOf({ spRunnerUrl: url })]) });
  const board = { name: "a", status: "available", current_job: null };
  let isAway = false;
  const good = (value: unknown): unknown =>
    isAway ? { ok: false, refusal: "no answer", status: null, message: "it is away" } : { ok: true, value };
  it.factory.openRunner = () =>
    ({
      health: () => Promise.resolve(good({ status: "healthy" })),
      boards: () => Promise.resolve(good([board])),
    }) as never;
  await running(it, "a", "job-1");
  it.factory.files.readText = () => Promise.resolve(null);
  it.factory.files.isThere = () => Promise.resolve(true);
  isAway = true;
  it.agents.set("a_1", "dead");
  it.fate = (call) => (call.startsWith("arm") ? { kind: "failed", reason: "no" } : undefined);
  await it.runUntil(() => it.instance()?.phase !== "running");
  await it.run(5_000);
  expect(strikesOf(it, "a")).toBe(0);
});
