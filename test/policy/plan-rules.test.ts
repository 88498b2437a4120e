/** Rules of the plan that concern more than one thing at a time: each fails when its line is taken out. */
import { expect, test } from "bun:test";
import type { AgentView, Instance, WorkerView } from "../../lib/words/domain.ts";
import type { Place, SshHost } from "../../lib/words/place.ts";
import { plan } from "../../lib/policy/plan.ts";
import { actionKey, type Plan } from "../../lib/policy/action.ts";
import { jobTimeoutAt, passedTimeout } from "../../lib/policy/job-timeouts.ts";
import { chooseStartable } from "../../lib/policy/lanes.ts";
import type { Observation } from "../../lib/policy/observation.ts";
import { settlesUntilMs } from "../../lib/policy/strangers.ts";
import { takenBy, whyNotFree } from "../../lib/policy/free-testbeds.ts";
import {
  at,
  cellOf,
  configOf,
  instanceOf,
  kinds,
  leaseOf,
  listOf,
  long,
  lookOf,
  nowMs,
  sceneOf,
  serverOf,
  sidecar,
  testbedOf,
  workerOf,
  rustInstanceOf,
} from "./scenes.ts";

const kindsOf = (seen: Observation): string[] => kinds(plan(seen).actions);
const canLease = (over: Partial<Observation>): boolean =>
  kindsOf(sceneOf({ server: serverOf({ leaseDueMs: nowMs }), ...over })).includes("lease");

test("what an earlier process prepared is not armed again before the first list says that it is not held", () => {
  const instance = instanceOf({ phase: "created" });
  const looks = new Map([["a/7", lookOf("absent")]]);
  expect(kindsOf(sceneOf({ instances: [instance], looks, server: serverOf({ list: null }) }))).not.toContain(
    "arm",
  );
  const server = serverOf({ list: listOf([workerOf()]) });
  expect(kindsOf(sceneOf({ instances: [instance], looks, server }))).toContain("arm");
});

test.each<[WorkerView, AgentView, string[]]>([
  ["held", "dead", []],
  ["foreign", "dead", ["alarm"]],
  ["recycle", "dead", ["end"]],
  ["gone", "dead", ["end"]],
  ["missing", "dead", ["resume"]],
  ["offline", "dead", ["resume"]],
])("a hardware test whose worker is %s and whose agent is %s: %j", (worker, agent, expected) => {
  const place = { ...instanceOf().place, way: "sp-runner", spRunnerUrl: "http://h" } as const;
  const seen = cellOf("running", worker, agent);
  const instances = seen.instances.map((each) => instanceOf({ phase: each.phase, place }));
  const steps = plan({ ...seen, instances }).actions.filter((action) => "instance" in action);
  expect(kinds(steps)).toEqual(expected);
});

test("an instance that the database did not know is taken over when its testbed has no other one, alone there", () => {
  const untaken = new Map([["a", 1]]);
  expect(kindsOf(sceneOf({ untaken }))).toContain("take over");
  expect(canLease({ untaken })).toBe(false);
  const beside = cellOf("running", "offline", "alive");
  expect(kindsOf({ ...beside, untaken })).not.toContain("take over");
  expect(kindsOf(sceneOf({ untaken, busy: new Set(["testbed a"]) }))).not.toContain("take over");
});

test("a lease that the server has forgotten by now begins nothing", () => {
  const ageOf = (ms: number): string[] =>
    kindsOf(sceneOf({ leases: [leaseOf({ askedAt: at(nowMs - ms) })] }));
  expect(ageOf(60_000)).toContain("begin");
  expect(ageOf(60_001)).toEqual(["let lapse"]);
  expect(kindsOf(sceneOf({ leases: [leaseOf({ askedAt: at(nowMs, "boot-0") })] }))).toEqual(["let lapse"]);
});

test("a lease waits for a testbed of which an action is under way or tried again in a moment, and lapses with its life", () => {
  const later = new Map([["testbed a", nowMs + 500]]);
  const leased = (askedMs: number, over: Partial<Observation> = {}): Plan =>
    plan(sceneOf({ leases: [leaseOf({ askedAt: at(askedMs) })], retryAtMs: later, ...over }));
  expect(leased(nowMs - 60_000).actions).toEqual([]);
  expect(leased(nowMs - 60_000).wakeAtMs).toBe(nowMs + 500);
  expect(leased(nowMs - 60_000, { busy: new Set(["testbed a"]), retryAtMs: new Map() }).actions).toEqual([]);
  expect(leased(nowMs - 60_001).actions.map(({ kind }) => kind)).toEqual(["let lapse"]);
  expect(leased(nowMs, { mode: "drain" }).actions.map(({ kind }) => kind)).toEqual(["let lapse"]);
  const other = [leaseOf({ target: sidecar })];
  expect(kindsOf(sceneOf({ leases: other, retryAtMs: later }))).toEqual(["let lapse"]);
});

test("two leases that nothing can take lapse at once, and the next is asked for beside them", () => {
  const leases = [leaseOf({ tried: ["a"] }), leaseOf({ job: "job-2", tried: ["a"] })];
  const seen = sceneOf({ leases, server: serverOf({ leaseDueMs: nowMs }) });
  expect(kindsOf(seen)).toEqual(["let lapse", "let lapse", "lease"]);
});

test("a testbed that rests or whose last step failed takes no job before its time", () => {
  const rests = (untilMs: number): Observation["rests"] => new Map([["a", { untilMs, reason: "it rests" }]]);
  expect(canLease({ rests: rests(nowMs + 1) })).toBe(false);
  expect(canLease({ rests: rests(nowMs) })).toBe(true);
  expect(plan(sceneOf({ rests: rests(nowMs + 7) })).wakeAtMs).toBe(nowMs + 7);
  expect(canLease({ retryAtMs: new Map([["testbed a", nowMs + 1]]) })).toBe(false);
  expect(canLease({ retryAtMs: new Map([["testbed a", nowMs]]) })).toBe(true);
});

test("a worker of no instance waits for no request that is settled", () => {
  const stranger = workerOf({ id: "stranger", private: null });
  const server = serverOf({
    list: listOf([stranger, workerOf()]),
    firstListedMs: new Map([["stranger", nowMs - 20_000]]),
  });
  const beside = (phase: "creating" | "running"): string[] =>
    kindsOf(sceneOf({ server, instances: [instanceOf({ phase })] }));
  expect(beside("running")).toContain("delete stranger");
  expect(beside("creating")).not.toContain("delete stranger");
});

test("a request for a worker may be settled for five minutes in which this run had a server that answers", () => {
  const until = (sentAt: Instance["createSentAt"], answeringSinceMs: number | null): number =>
    settlesUntilMs(
      instanceOf({ phase: "creating", createSentAt: sentAt }),
      sceneOf({ startedMs: nowMs - 2000, server: serverOf({ answeringSinceMs }) }),
    ) - 300_000;
  expect(until(at(nowMs - 1000), nowMs - long)).toBe(nowMs - 1000);
  expect(until(at(nowMs - 5000), nowMs - long)).toBe(nowMs - 2000);
  expect(until(at(nowMs + long, "boot-0"), nowMs - long)).toBe(nowMs - 2000);
  expect(until(at(nowMs - 1000), nowMs - 500)).toBe(nowMs - 500);
  expect(until(at(nowMs - 1000), null)).toBe(nowMs);
});

test("what an ended instance used is free, and what an operator cleared is in use where it was", () => {
  const ended = instanceOf({ phase: "destroyed" });
  expect(takenBy([ended])).toEqual({ testbeds: new Set(), hosts: new Set() });
  expect(whyNotFree(testbedOf(), sceneOf({ instances: [ended] }))).toBeNull();
  const hostsOf = (instance: Instance): unknown[] => [...takenBy([{ ...instance, isCleared: true }]).hosts];
  const at = { directory: "/work/a_7", agent: "external" } as const;
  const ssh = { host: "h" } as SshHost;
  expect(hostsOf(instanceOf())).toEqual([null]);
  expect(hostsOf(instanceOf({ place: { ...at, way: "ssh", ssh } }))).toEqual(["h"]);
  expect(hostsOf(instanceOf({ place: { ...at, way: "sp-runner", spRunnerUrl: "http://h" } }))).toEqual([]);
  // Where the Rust factory's agent may be cannot be seen; nothing of it is left where we do not look.
  expect(hostsOf(rustInstanceOf("unknown"))).toEqual([null]);
});

test("a time limit counts nothing of another boot", () => {
  const instance = instanceOf({ wentAt: at(1, "boot-0"), jobTimeoutMs: 1, silenceTimeoutMs: 1 });
  const server = serverOf({ list: listOf([workerOf()]) });
  expect(passedTimeout(instance, lookOf("alive"), "offline", sceneOf({ server }))).toBeNull();
  expect(jobTimeoutAt(instance, at(nowMs))).toBeNull();
});

test("the boards of one service are reached together, so that it is asked once", () => {
  const service = (name: string, port = 1): ReturnType<typeof testbedOf> =>
    testbedOf({ name, spRunnerUrl: `http://h:${port}` });
  const reachedAt = (atMs: number): { ok: true; atMs: number } => ({ ok: true, atMs });
  const seen = sceneOf({
    config: configOf([service("a"), service("b"), service("c", 2)]),
    reached: new Map([
      ["a", reachedAt(nowMs - long)],
      ["b", reachedAt(nowMs - 1)],
      ["c", reachedAt(nowMs - 1)],
    ]),
  });
  const keys = plan(seen).actions.map(actionKey);
  expect(keys.filter((key) => key.startsWith("reach"))).toEqual(["reach a", "reach b"]);
});

test("steps that wait for a service hold no place of this host's steps", () => {
  const names = Array.from({ length: 100 }, (_, index) => `bed-${index}`);
  const place = { ...instanceOf().place, way: "sp-runner", spRunnerUrl: "http://h" } as const;
  const stopOf = (testbed: string, over: { place?: Place } = {}) => ({
    kind: "stop" as const,
    instance: instanceOf({ testbed, phase: "destroying", ...over }),
  });
  const waiting = names.map((name) => stopOf(name, { place }));
  const here = stopOf("here");
  const begun = chooseStartable([...waiting, here], [], () => false);
  expect(begun).toHaveLength(65);
  expect(begun[0]).toBe(here);
});
