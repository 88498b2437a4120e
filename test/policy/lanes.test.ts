/** Which of the planned actions are begun beside what is under way: a lab of 550 far testbeds, and a few on this host. */
import { describe, expect, test } from "bun:test";
import type { Instance } from "../../lib/words/domain.ts";
import type { Place } from "../../lib/words/place.ts";
import { plan } from "../../lib/policy/plan.ts";
import { type Action, actionKey } from "../../lib/policy/action.ts";
import { chooseStartable } from "../../lib/policy/lanes.ts";
import type { Look, Observation } from "../../lib/policy/observation.ts";
import {
  agentViews,
  configOf,
  instanceOf,
  kinds,
  lookOf,
  nowMs,
  openPhases,
  randomOf,
  randomScene,
  testbedOf,
} from "./scenes.ts";

const address = { user: "", port: null, key: null, hostKey: null, elevation: null, uid: 0 };
const farPlace = (name: string): Place => ({
  way: "ssh",
  directory: `/w/${name}_7`,
  agent: "external",
  ssh: { ...address, host: `host-of-${name}` },
});
const isFar = (action: Action): boolean => {
  if (action.kind === "reach") return true;
  if (action.kind === "look") return action.at !== "";
  return "instance" in action && action.instance.place.way === "ssh";
};
const never = (): boolean => false;
const names = (count: number, prefix: string): string[] =>
  Array.from({ length: count }, (_, number) => `${prefix}-${number}`);

/** A random scene of this host, and beside it 400 instances on other hosts and 150 hosts that were never reached. */
function crowdedScene(seed: number): Observation {
  const { below, pick } = randomOf(seed + 1_000_000);
  const seen = randomScene(seed);
  const far = names(400, "far").map((testbed): Instance =>
    instanceOf({ testbed, phase: pick(openPhases), place: farPlace(testbed) }),
  );
  const farLooks = new Map(
    far
      .filter(() => below(10) > 0)
      .map(
        ({ testbed }) =>
          [`${testbed}/7`, lookOf(pick(agentViews), { atMs: nowMs - below(60_000) })] as [string, Look],
      ),
  );
  const testbeds = [...names(400, "far"), ...names(150, "hung")].map((name) =>
    testbedOf({ name, host: `host-of-${name}` }),
  );
  const { config } = seen;
  return {
    ...seen,
    config: { ...config, testbeds: [...testbeds, ...config.testbeds] },
    instances: [...far, ...seen.instances],
    looks: {
      get: (name) => farLooks.get(name) ?? seen.looks.get(name),
      has: (name) => farLooks.has(name) || seen.looks.has(name),
    },
  };
}

const crowded = Array.from({ length: 300 }, (_, seed) => crowdedScene(seed));

describe("chooseStartable()", () => {
  test("F86 begins in the first pass all that concerns the server and this host, whatever hangs elsewhere", () => {
    for (const seen of crowded) {
      const first = plan(seen).actions;
      // Whatever of the first pass is far hangs for good; then the next pass must not wait for it, either.
      const hung = chooseStartable(first, [], never).filter(isFar);
      const busy = new Set([...seen.busy, ...hung.map(actionKey)]);
      const second = plan({ ...seen, busy }).actions;
      for (const [planned, underWay] of [
        [first, []],
        [second, hung],
      ] as const) {
        const begun = chooseStartable(planned, underWay, never);
        expect(begun.filter((action) => !isFar(action))).toEqual(planned.filter((action) => !isFar(action)));
      }
    }
  });

  test("begins what concerns the server and this host before anything that is far", () => {
    for (const seen of crowded) {
      const begun = chooseStartable(plan(seen).actions, [], never);
      const firstFar = begun.findIndex(isFar);
      expect(begun.slice(firstFar).every(isFar)).toBe(true);
    }
    const all = crowded.flatMap((seen) => kinds(chooseStartable(plan(seen).actions, [], never)));
    for (const kind of ["list workers", "lease", "ping", "begin", "look", "reach", "arm", "stop"] as const) {
      expect(all).toContain(kind);
    }
  });

  test("has never more than 64 looks and reaches, and 64 steps, under way for other hosts", () => {
    for (const seen of crowded) {
      const { actions } = plan(seen);
      const begun = chooseStartable(actions, [], never);
      const far = begun.filter(isFar);
      const looks = far.filter(({ kind }) => kind === "look" || kind === "reach");
      expect(looks).toHaveLength(64);
      expect(far.length - looks.length).toBeLessThanOrEqual(64);
      expect(chooseStartable(actions, begun, never).filter(isFar).length).toBeLessThanOrEqual(
        128 - far.length,
      );
    }
  });

  test("bounds what waits for this host: 64 at once, however many testbeds it has", () => {
    const instances = names(100, "here").map((testbed) => instanceOf({ testbed, phase: "stopped" }));
    const steps = instances.map((instance): Action => ({ kind: "delete", instance }));
    const begun = chooseStartable(steps, [], never);
    expect(begun).toEqual(steps.slice(0, 64));
    expect(chooseStartable(steps.slice(64), begun, never)).toEqual([]);
    expect(chooseStartable(steps.slice(64), begun.slice(1), never)).toEqual(steps.slice(64, 65));
  });

  test("leaves half of the places to what has not failed before", () => {
    const looks = names(100, "far").map((at): Action => ({
      kind: "look",
      at,
      instances: [instanceOf({ testbed: at, place: farPlace(at) })],
    }));
    const hasFailed = new Set(looks.slice(0, 90));
    const begun = chooseStartable(looks, [], (action) => hasFailed.has(action));
    expect(begun.filter((action) => hasFailed.has(action))).toHaveLength(32);
    expect(begun.filter((action) => !hasFailed.has(action))).toEqual(looks.slice(90));
  });
});

test("plan() asks other hosts in the order in which they were last asked, those never asked first", () => {
  const instances = ["a", "b", "c"].map((testbed) => instanceOf({ testbed, place: farPlace(testbed) }));
  const looks = new Map([
    ["a/7", lookOf("alive", { atMs: nowMs - 35_000 })],
    ["c/7", lookOf("alive", { atMs: nowMs - 39_000 })],
  ]);
  const config = configOf(["d", "e"].map((name) => testbedOf({ name, host: `host-of-${name}` })));
  const reached = new Map([
    ["d", { ok: true as const, atMs: nowMs - 70_000 }],
    ["e", { ok: false as const, reason: "away", atMs: nowMs - 7_000 }],
  ]);
  const scene = {
    ...randomScene(0),
    leases: [],
    busy: new Set<string>(),
    retryAtMs: new Map(),
    mode: "run" as const,
  };
  const { actions } = plan({ ...scene, instances, looks, config, reached });
  const asked = actions.filter(({ kind }) => kind === "look" || kind === "reach");
  const about = (action: Action): string =>
    action.kind === "look"
      ? `look ${action.instances.map(({ testbed }) => testbed).join()}`
      : actionKey(action);
  expect(asked.map(about)).toEqual(["look b", "reach d", "look c", "look a", "reach e"]);
});
