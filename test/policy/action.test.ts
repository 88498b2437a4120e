/** The table of actions, as a reader asks it. */
import { expect, test } from "bun:test";
import { type Action, type ActionKind, rowOf } from "../../lib/policy/action.ts";
import { instanceOf, leaseOf, testbedOf, workerOf } from "./scenes.ts";

const instance = instanceOf({ testbed: "a" });
const far = instanceOf({
  testbed: "b",
  place: { ...instance.place, way: "sp-runner", spRunnerUrl: "http://h" } as typeof instance.place,
});
const testbed = testbedOf({ name: "a" });
const steps = [
  "check again",
  "arm",
  "create",
  "settle",
  "associate",
  "go",
  "record went",
  "flush",
  "resume",
  "end",
  "stop",
  "delete",
  "alarm",
] as const;
const of = (kind: ActionKind): Action =>
  ({ kind, at: "", instance, instances: [instance], testbed, lease: leaseOf(), worker: workerOf() }) as never;
const others = [
  "list workers",
  "ping",
  "lease",
  "look",
  "look at locks",
  "look at host",
  "sweep",
  "take over",
  "reach",
  "check",
  "begin",
  "let lapse",
  "delete stranger",
  "announce",
] as const;
const all: readonly ActionKind[] = [...others, ...steps];
type Trait = "needsServer" | "isServerWide" | "isPassive" | "isPreflight";
const withTrait = (trait: Trait): ActionKind[] => all.filter((kind) => rowOf(of(kind))[trait] === true);

test("this test knows every action", () => {
  type Missing = Exclude<ActionKind, (typeof others)[number] | (typeof steps)[number]>;
  const none: Missing[] = [];
  expect(none).toEqual([]);
});

test("while the server does not answer, the rest goes on", () => {
  expect(all.filter((kind) => !withTrait("needsServer").includes(kind))).toEqual([
    "look",
    "look at locks",
    "look at host",
    "sweep",
    "take over",
    "reach",
    "check",
    "begin",
    "let lapse",
    "check again",
    "arm",
    "record went",
    "alarm",
  ]);
});

test("only questions that every factory asks say how the server is", () => {
  expect(withTrait("isServerWide")).toEqual(["list workers", "ping", "lease"]);
});

test("a drain waits for no question and no announcement, but for each step, each lease and each take-over", () => {
  expect(withTrait("isPassive")).toEqual([
    "list workers",
    "ping",
    "look",
    "look at locks",
    "look at host",
    "sweep",
    "reach",
    "check",
    "announce",
  ]);
});

test("what keeps jobs away is looked at again soon", () => {
  expect(withTrait("isPreflight")).toEqual(["look at host", "reach", "check"]);
});

test("one testbed has one step at a time, beside the looks at it", () => {
  const keys = (kind: ActionKind): string => rowOf(of(kind)).key(of(kind));
  expect(new Set(["begin", ...steps].map((kind) => keys(kind as ActionKind)))).toEqual(
    new Set(["testbed a"]),
  );
  expect(rowOf(of("take over")).key({ kind: "take over", at: "a" })).toBe("testbed a");
  const looks = ["look", "reach", "check", "lease", "delete stranger", "let lapse"] as const;
  expect(new Set(looks.map(keys)).size).toBe(looks.length);
});

test("a step waits in the lane of its host, a check in one of its own", () => {
  const laneOf = (action: Action): string => rowOf(action).lane(action);
  const lanes = Map.groupBy(all, (kind) => laneOf(of(kind)));
  expect(lanes.get("check")).toEqual(["check"]);
  expect(lanes.get("check again")).toEqual(["check again"]);
  expect(lanes.get("far look")).toEqual(["reach"]);
  expect(lanes.get("here")).toEqual(["take over", "delete stranger", "announce", ...steps.slice(1)]);
  expect(laneOf({ kind: "look", at: "host", instances: [far] })).toBe("far look");
  expect(laneOf({ kind: "alarm", instance: far })).toBe("far step");
});

test("a log line about an action names what it is about", () => {
  const about = (action: Action): object => rowOf(action).about(action);
  expect(about(of("reach"))).toEqual({ testbed: "a" });
  expect(about(of("take over"))).toEqual({});
  expect(about({ kind: "take over", at: "b" })).toEqual({ testbed: "b" });
  expect(about({ kind: "look", at: "", instances: [instance, far] })).toEqual({ testbed: "a, b" });
  expect(about(of("stop"))).toMatchObject({ testbed: "a", instance: "a/7", job: "job-a" });
  expect(about(of("lease"))).toEqual({});
});
