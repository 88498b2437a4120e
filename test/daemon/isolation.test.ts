/** When the daemon looks at hosts and boards before it takes a job, and what it makes of what it finds. */
import { expect, test } from "bun:test";
import { testbedMemory } from "../../lib/daemon/testbed-memory.ts";
import { lookAtHost } from "../../lib/daemon/isolation.ts";
import type { RunResult } from "../../lib/doors/processes.ts";
import { openStage, refusal, type Stage } from "./stage.ts";
import { configOf, testbedOf } from "../policy/scenes.ts";

const healthy = {
  ok: true,
  uid: 0,
  isolation: { kind: "possible" },
  unshared: null,
  unusable: null,
  freeBytes: 1e12,
  agentFaults: [null],
};
const agentMissing = { ...healthy, agentFaults: ["the agent /agent is not there"] };
const strikes = (it: Stage): number => it.store.health().size;
const says = (it: Stage, text: string): number => it.said.filter((line) => line.includes(text)).length;

/** What a start reads of this machine's files takes no time of the stage's. */
const begun = (it: Stage, call: RegExp): Promise<void> => it.runUntil(() => it.count(call) > 0);

/** The board's check takes `ms` and ends as `ends` says, in order; the last one goes on. */
function checkedStage(ms: number, ends: number[], names = ["a"]): Stage {
  const it = openStage({ config: configOf(names.map((name) => testbedOf({ name, check: "try-it" }))) });
  const run = async (): Promise<RunResult> => {
    it.calls.push("check");
    const exitCode = ends.length > 1 ? ends.shift() : ends[0];
    await it.clock.sleep(it.count(/^check$/) === 1 ? 1 : ms);
    return { ok: true, exitCode: exitCode ?? 0, stdout: "", stderr: "it is dark" };
  };
  it.factory.processes = { ...it.factory.processes, run };
  return it;
}

test("one look a minute for this host while it is right, whatever number of boards it has", async () => {
  const names = Array.from({ length: 200 }, (_, index) => `bed-${index}`);
  await using it = openStage({ config: configOf(names.map((name) => testbedOf({ name }))) });
  await begun(it, /^probe/);
  await it.run(3_590_000);
  expect(it.count(/^probe/)).toBe(60);
});

test("a host that is wrong is looked at each 8 s, and a job is leased within 10 s of the fix", async () => {
  await using it = openStage();
  it.fate = (call) => (call === "probe /agent" ? agentMissing : undefined);
  it.queue.push("job-1");
  await begun(it, /^probe/);
  await it.run(600_000);
  expect(it.count(/^probe/)).toBeWithin(70, 78);
  expect(it.count(/^lease$/)).toBe(0);
  expect(it.store.troubles().get("a")?.reason).toBe("the agent /agent is not there");
  it.fate = () => undefined;
  await it.run(10_000);
  expect(it.count(/^create job-1$/)).toBe(1);
  expect(it.store.troubles().size).toBe(0);
  expect(strikes(it)).toBe(0);
  expect(says(it, "no job can run on this host")).toBe(1);
  expect(says(it, "jobs can run on this host again")).toBe(1);
});

test("a disk's room that differs with each look is logged once", async () => {
  await using it = openStage();
  let mib = 60;
  it.fate = (call) => (call === "probe /agent" ? { ...healthy, freeBytes: mib-- * 1024 ** 2 } : undefined);
  await begun(it, /^probe/);
  await it.run(60_000);
  expect(it.count(/^probe/)).toBeGreaterThan(3);
  expect(says(it, "no job starts with less than")).toBe(1);
});

test("arming that fails by the host's fault is not a strike, and the lease goes to no other board of that host", async () => {
  await using it = openStage({ config: configOf([testbedOf(), testbedOf({ name: "b" })]) });
  await begun(it, /^lease$/);
  it.fate = (call) => {
    if (call.startsWith("arm")) return { kind: "failed", reason: "the agent /agent is not there" };
    return call === "probe /agent" ? agentMissing : undefined;
  };
  it.queue.push("job-1");
  await it.run(30_000);
  expect(it.count(/^arm/)).toBe(1);
  expect(strikes(it)).toBe(0);
  it.fate = () => undefined;
  it.queue.push("job-2");
  await it.run(10_000);
  expect(it.count(/^create job-2$/)).toBe(1);
});

test("arming that fails on a host that is right is the board's own failure: a strike, and another board takes the job", async () => {
  await using it = openStage({ config: configOf([testbedOf(), testbedOf({ name: "b" })]) });
  it.fate = (call) =>
    call.startsWith("arm a") ? { kind: "failed", reason: "a_1 is in the way" } : undefined;
  it.queue.push("job-1");
  await begun(it, /^arm b_1$/);
  await it.run(1_000);
  expect(it.count(/^arm/)).toBe(2);
  expect(it.count(/^create job-1$/)).toBe(1);
  expect([...it.store.health().keys()]).toEqual(["a"]);
});

test("an agent that dies by its host's fault is not a strike", async () => {
  await using it = openStage();
  it.queue.push("job-1");
  await it.runUntil(() => it.instance()?.phase === "running");
  it.fate = (call) => (call === "probe /agent" ? { ...healthy, freeBytes: 0 } : undefined);
  it.agents.set("a_1", "exited");
  await it.runUntil(() => it.instance() === undefined);
  expect(strikes(it)).toBe(0);
  expect(it.store.troubles().get("a")?.reason).toContain("no job starts with less than");
});

test("a check runs between lease and worker, and a lease that grows old meanwhile is renewed", async () => {
  await using it = checkedStage(58_000, [0]);
  it.queue.push("job-1");
  await it.runUntil(() => it.count(/^create job-1$/) === 1);
  const own = it.calls.filter((call) => /^(check|arm|create|renew)/.test(call));
  expect(own).toEqual(["check", "arm a_1", "check", "renew job-1", "renew job-1", "create job-1"]);
});

test("a lease that the server gives up while a check runs is not used", async () => {
  await using it = checkedStage(30_000, [0]);
  it.fate = (call) => (call.startsWith("renew") ? { ok: true, value: false } : undefined);
  it.queue.push("job-1");
  await it.runUntil(() => it.count(/^stop a_1$/) === 1);
  await it.run(5_000);
  expect(it.count(/^create/)).toBe(0);
  expect(it.instance()).toBeUndefined();
});

test("a server that does not answer while a check runs is asked again, and the job is not begun without an answer", async () => {
  await using it = checkedStage(59_000, [0]);
  it.fate = (call) => (call.startsWith("renew") ? refusal(503) : undefined);
  it.queue.push("job-1");
  await it.runUntil(() => it.count(/^check$/) === 2);
  await it.run(60_000);
  expect(it.count(/^renew/)).toBeGreaterThan(5);
  expect(it.count(/^create/)).toBe(0);
});

test("a check that fails after the lease: disarmed, no worker, no strike, and a lease only when it succeeds", async () => {
  await using it = checkedStage(1, [0, 1, 1, 0]);
  it.queue.push("job-1");
  await it.runUntil(() => it.count(/^check$/) === 2);
  await it.run(100);
  expect(it.count(/^stop a_1$/)).toBe(1);
  expect(it.store.troubles().get("a")?.reason).toBe("its check fails: try-it: exit code 1, it is dark");
  const leases = it.count(/^lease$/);
  await it.run(19_000);
  expect(it.count(/^check$/)).toBe(3);
  expect(it.count(/^lease$/)).toBe(leases);
  it.queue.push("job-2");
  await it.run(2_000);
  expect(it.count(/^create job-2$/)).toBe(1);
  expect(it.count(/^create job-1$/)).toBe(0);
  expect(strikes(it)).toBe(0);
  expect(it.store.troubles().size).toBe(0);
  expect([says(it, "until its check succeeds"), says(it, "its check succeeds again")]).toEqual([1, 1]);
});

test("a check that fails and a minder that cannot be disarmed at once: no worker before a check succeeds", async () => {
  await using it = checkedStage(1, [0, 1, 1, 0]);
  let stops = 0;
  it.fate = (call) =>
    call.startsWith("stop") && stops++ === 0 ? { kind: "cannot tell", reason: "busy" } : undefined;
  it.queue.push("job-1");
  await it.runUntil(() => it.count(/^stop a_1$/) === 2);
  await it.run(100);
  expect(it.count(/^create/)).toBe(0);
  expect(it.count(/^check$/)).toBe(3);
});

test("instance directories that cannot be read at the start are shown, and a job is leased when they can", async () => {
  await using it = openStage();
  it.fate = (call) => (call === "recall" ? { ok: false, reason: "no space left" } : undefined);
  it.queue.push("job-1");
  await begun(it, /^recall$/);
  await it.run(60_000);
  expect(it.store.troubles().get("a")?.reason).toEndWith("nothing is begun: no space left");
  expect(says(it, "no space left")).toBe(1);
  it.fate = () => undefined;
  await it.run(10_000);
  expect(it.count(/^create job-1$/)).toBe(1);
  expect(it.store.troubles().size).toBe(0);
});

test("a minder of this host that does not answer keeps the next job away, and no longer", async () => {
  await using it = openStage({ config: configOf([testbedOf(), testbedOf({ name: "b" })]) });
  await begun(it, /^lease$/);
  it.fate = (call) =>
    /^(arm|probe)/.test(call) ? { ok: false, kind: "cannot tell", reason: "hung" } : undefined;
  it.queue.push("job-1", "job-2");
  await begun(it, /^arm/);
  await it.run(5_000);
  expect(it.store.troubles().get("b")?.reason).toBe("this host cannot be looked at: hung");
  // Until the leases are lost, and both are dropped.
  await it.runUntil(() => it.instance() === undefined && it.instance("b") === undefined);
  await it.run(5_000);
  expect(strikes(it)).toBe(0);
  it.fate = () => undefined;
  it.queue.push("job-3", "job-4");
  await it.run(10_000);
  expect(it.count(/^create job-[34]$/)).toBe(2);
});

test("a look at this host does not forget what is known of a service that was not asked yet", async () => {
  const testbed = testbedOf({ spRunnerUrl: "http://h" });
  await using it = openStage({ config: configOf([testbed]) });
  const trouble = { reason: "its board failed", sinceMs: 1, recoveries: 2 };
  it.store.setTrouble("a", trouble);
  testbedMemory(it.factory.known, "a").trouble = trouble;
  const looking = lookAtHost(it.factory);
  await it.clock.advance(10);
  await looking;
  expect(it.store.troubles().get("a")).toEqual(trouble);
});

test("another host that is away is tried again within 10 s, however long it is away", async () => {
  await using it = openStage({ config: configOf([testbedOf({ host: "lab-3" })]) });
  it.fate = (call) => (call.startsWith("reach") ? { ok: false, reason: "lab-3 is away" } : undefined);
  await begun(it, /^reach/);
  await it.run(600_000);
  expect(it.count(/^reach/)).toBeWithin(60, 90);
  it.fate = () => undefined;
  it.queue.push("job-1");
  await it.run(10_000);
  expect(it.count(/^reach/)).toBeLessThan(92);
  expect(it.store.troubles().size).toBe(0);
  expect(it.count(/^arm a_1$/)).toBe(1);
});

test("another host whose agent cannot be run is seen before a job is leased", async () => {
  await using it = openStage({ config: configOf([testbedOf({ host: "lab-3" })]) });
  it.fate = (call) => (call === "probe /agent" ? agentMissing : undefined);
  it.queue.push("job-1");
  await begun(it, /^reach/);
  await it.run(60_000);
  expect(it.count(/^lease$/)).toBe(0);
  expect(it.store.troubles().get("a")?.reason).toBe("lab-3: the agent /agent is not there");
});
