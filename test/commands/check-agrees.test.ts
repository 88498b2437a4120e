/** `check` and `status` say the same of a running factory: both show what it knows. */
import { expect, setDefaultTimeout, test } from "bun:test";
import type { Facts } from "../../lib/commands/check/facts.ts";
import { showFindings } from "../../lib/commands/check/finding.ts";
import { judge } from "../../lib/commands/check/judge.ts";
import type { Observation } from "../../lib/policy/observation.ts";
import { liveSnapshot } from "../../lib/status/live-snapshot.ts";
import type { Snapshot } from "../../lib/status/snapshot.ts";
import { openLab } from "../lab/lab.ts";
import { until } from "../lab/until.ts";
import {
  at,
  configOf,
  instanceOf,
  intentOf,
  nowMs,
  randomScene,
  sceneOf,
  serverOf,
  testbedOf,
} from "../policy/scenes.ts";
import { good, seen } from "./good-facts.ts";

setDefaultTimeout(60_000);

const snapshotOf = (scene: Observation): Snapshot =>
  liveSnapshot({
    seen: scene,
    wallMs: 1_700_000_000_000,
    factory: { version: "0", startedMs: 0, database: "/d" },
    remarks: [],
    past: { recent: () => [], took: () => [] },
    jobs: new Map(),
    testbeds: new Map(),
  });

function said(scene: Observation): { text: string; snapshot: Snapshot } {
  const snapshot = snapshotOf(scene);
  const facts: Facts = {
    ...good,
    config: scene.config,
    isFactoryRunning: seen(true),
    live: seen(snapshot),
    reaches: seen(new Map(scene.config.testbeds.map(({ name }) => [name, { ok: true, remarks: [] }]))),
  };
  return { text: showFindings(judge(facts)), snapshot };
}

test("check says that jobs can run only of testbeds that take one now or have one, in 3,000 random scenes", () => {
  const counts = { all: 0, some: 0, none: 0 };
  for (let seed = 1; seed <= 3_000; seed += 1) {
    const { text, snapshot } = said(randomScene(seed));
    const last = text.split("\n").at(-1) ?? "";
    const idle = snapshot.testbeds
      .filter(
        ({ state, job, whyNotNext, type }) =>
          type !== null && (job === null ? state !== "free" : whyNotNext !== null),
      )
      .map(({ testbed }) => testbed);
    const named = / but not on (.*) now$/.exec(last)?.[1]?.split(", ") ?? [];
    if (!last.includes("jobs can run")) counts.none += 1;
    else if (named.toSorted().join() !== idle.toSorted().join()) {
      throw new Error(`seed ${seed}: check names ${named.join()}, but ${idle.join()} take no job: ${text}`);
    } else counts[idle.length === 0 ? "all" : "some"] += 1;
  }
  expect(Math.min(...Object.values(counts))).toBeGreaterThan(50);
});

const two = configOf([testbedOf(), testbedOf({ name: "b" })]);

test.each<[string, Partial<Observation>, RegExp]>([
  [
    "the token that it uses is refused",
    { server: serverOf({ isTokenRefused: true }) },
    /^error +testbeds +the running factory says: the server refuses the factory's token \(a, b\)$/m,
  ],
  [
    "it drains",
    { mode: "drain" },
    /^error +testbeds +the running factory says: the factory drains: .* \(a, b\)$/m,
  ],
  [
    "its server does not answer",
    { server: serverOf({ answeringSinceMs: null }) },
    /^error +testbeds +the running factory says: the server does not answer \(a, b\)$/m,
  ],
  [
    "a check fails",
    {
      config: configOf([testbedOf({ check: "x" }), testbedOf({ name: "b" })]),
      checks: new Map([["a", { atMs: nowMs, fault: "its check fails: no power", instance: null }]]),
    },
    /^error +testbed.a +the running factory says: its check fails: no power$/m,
  ],
  [
    "a testbed is quarantined",
    { health: new Map([["a", { strikes: 3, retryAt: at(nowMs + 9_000), reason: "no power" }]]) },
    /^warning +testbed.a +the running factory says: quarantined until .*: no power\n +Fix that; "clear a /m,
  ],
  [
    "a testbed is reserved",
    { intents: new Map([["a", { ...intentOf(), kind: "reserved" }]]) },
    /^2 warnings: jobs can run, but not on a now$/m,
  ],
  [
    "another factory uses a board",
    { elsewhere: new Map([["a", "a/1 in /other"]]) },
    /^warning +testbed.a +the running factory says: in use elsewhere: a\/1 in \/other$/m,
  ],
  ["a job runs, and another one after it", { instances: [instanceOf()] }, /^1 warning: jobs can run$/m],
  [
    "a job runs, and none after it",
    { instances: [instanceOf()], intents: new Map([["a", { ...intentOf(), isAfterJob: true }]]) },
    /^warning +testbed.a +takes no job after its own: paused by ann$/m,
  ],
])("check repeats what the running factory knows: %s", (_, over, expected) => {
  expect(said(sceneOf({ config: two, ...over })).text).toMatch(expected);
});

test("check reports once what several testbeds suffer from", () => {
  const { text } = said(sceneOf({ config: two, mode: "drain" }));
  expect(text.match(/the factory drains/g)).toHaveLength(1);
  expect(text).not.toMatch(/testbed\.[ab] /);
});

test("check of a factory whose every testbed is paused fails", () => {
  const intents = new Map(["a", "b"].map((name) => [name, intentOf()]));
  const { text } = said(sceneOf({ config: two, intents }));
  expect(text).toMatch(/^error +testbeds +no testbed takes a job now$/m);
  expect(text).not.toContain("jobs can run");
});

test("check beside a real factory says what that knows", async () => {
  await using it = await openLab({ testbeds: { "bed-1": [], "bed-2": ['check = "echo dark; exit 1"'] } });
  const factory = it.start();
  const ask = async (command: string): Promise<string> => await it.start({ command: [command] }).stdout();
  await until("the check has failed", async () => (await ask("status")).includes("dark"));
  expect(await ask("check")).toMatch(
    /^error +testbed.bed-2 +the running factory says: its check fails: .*dark/m,
  );
  factory.kill("SIGTERM");
  await factory.exited;
});
