/** How the plan grows with the lab: counted in what it reads, for times say more of the machine than of the plan. */
import { expect, test } from "bun:test";
import type { Testbed } from "../../lib/config/config.ts";
import type { Instance } from "../../lib/words/domain.ts";
import { plan } from "../../lib/policy/plan.ts";
import {
  configOf,
  instanceOf,
  listOf,
  lookOf,
  nowMs,
  sceneOf,
  serverOf,
  testbedOf,
  workerOf,
} from "./scenes.ts";

/** A lab where every other testbed is in use, half of them on other hosts; and how often a pass reads anything of either. */
function readsOf(size: number, isolate: "auto" | "off"): number {
  let reads = 0;
  const counted = <T extends object>(of: T): T =>
    new Proxy(of, {
      get: (target, key) => {
        reads += 1;
        return target[key as keyof T];
      },
    });
  const testbeds: Testbed[] = [];
  const instances: Instance[] = [];
  for (let number = 0; number < size; number += 1) {
    const name = `bed-${number}`;
    testbeds.push(counted(testbedOf({ name, host: number % 4 < 2 ? null : `host-${number}` })));
    if (number % 2 === 0) instances.push(counted(instanceOf({ testbed: name, isOnline: true })));
  }
  const workers = instances.map(({ testbed }) =>
    workerOf({ id: `worker-${testbed}`, private: `${testbed}/7`, online: true }),
  );
  const seen = sceneOf({
    config: configOf(testbeds, isolate),
    instances: counted(instances),
    reached: new Map(testbeds.map(({ name }) => [name, { ok: true, atMs: nowMs }])),
    looks: new Map(instances.map(({ testbed }) => [`${testbed}/7`, lookOf("alive")])),
    server: serverOf({ list: listOf(workers), leaseDueMs: 0 }),
  });
  reads = 0;
  expect(plan(seen).actions.length).toBeGreaterThan(0);
  return reads;
}

test.each(["auto", "off"] as const)(
  "a pass over ten times the testbeds reads ten times as much (isolate: %s)",
  (isolate) => {
    const [few, many] = [readsOf(300, isolate), readsOf(3000, isolate)];
    expect(many).toBeLessThan(few * 12);
  },
);
