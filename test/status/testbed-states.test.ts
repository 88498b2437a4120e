import { expect, test } from "bun:test";
import type { Config, Testbed } from "../../lib/config/config.ts";
import type { Health, Phase, Trouble } from "../../lib/words/domain.ts";
import { describeTestbeds, type TestbedStatus } from "../../lib/status/testbed-states.ts";
import { instanceOf, type Said } from "../policy/scenes.ts";

const wallMs = 1_700_000_100_000;
const now = { bootId: "this-boot", uptimeMs: 500_000 };

function testbedOf(over: Partial<Testbed> = {}): Testbed {
  const bare = { name: "a", spType: "grapefruit", targets: ["t"], host: null, spRunnerUrl: null };
  return { ...bare, enabled: true, note: "", ...over } as Testbed;
}

function describeOne(
  seen: {
    testbed?: Partial<Testbed>;
    last?: Said;
    health?: Health;
    trouble?: Trouble;
    id?: string | null;
  } = {},
): TestbedStatus | undefined {
  const config = {
    testbeds: [testbedOf(seen.testbed)],
    targets: [{ name: "t", id: seen.id === undefined ? "ulid" : seen.id }],
  } satisfies Pick<Config, "testbeds" | "targets">;
  const latest = seen.last === undefined ? [] : [instanceOf(seen.last)];
  const health = new Map(seen.health === undefined ? [] : [["a", seen.health]]);
  const troubles = new Map(seen.trouble === undefined ? [] : [["a", seen.trouble]]);
  return describeTestbeds({ config, latest, health, troubles, now, wallMs })[0];
}

test.each<[Phase, string]>([
  ["preparing", "preparing"],
  ["creating", "starting"],
  ["created", "starting"],
  ["starting", "starting"],
  ["running", "running"],
  ["destroying", "cleaning up"],
  ["stopped", "cleaning up"],
  ["destroyed", "free"],
  ["dropped", "free"],
])("describeTestbeds() an instance that is %s: its testbed is %s", (phase, state) => {
  expect(describeOne({ last: { phase } })?.state as string).toBe(state);
});

test("describeTestbeds() counts how long a job waited for its agent, and how long it has run", () => {
  const wentAt = { ...now, uptimeMs: now.uptimeMs - 60_000 };
  const row = describeOne({ last: { phase: "running", begunMs: wallMs - 90_000, wentAt } });
  expect(row).toMatchObject({ sinceMs: wallMs - 60_000, waitedMs: 30_000, ranMs: 60_000, instance: "a/7" });
});

test("describeTestbeds() does not show times of another boot", () => {
  const row = describeOne({ last: { phase: "running", wentAt: { bootId: "before", uptimeMs: 1 } } });
  expect(row).toMatchObject({ sinceMs: null, waitedMs: null, ranMs: null });
});

test.each([
  [2, 1, "backing off"],
  [3, 1, "quarantined"],
  [3, 0, "free"],
])("describeTestbeds() %i failures in a row, to be tried again in %i ms: %s", (strikes, leftMs, state) => {
  const retryAt = { ...now, uptimeMs: now.uptimeMs + leftMs };
  const row = describeOne({ health: { strikes, retryAt, reason: "no power" } });
  expect(row?.state as string).toBe(state);
  expect(row?.reason).toEndWith(": no power");
});

test.each([
  [1, "after 6 failures in a row: no power"],
  [0, "failed last: no power"],
])(
  "describeTestbeds() shows why a testbed failed last, %i ms before its quarantine ends",
  (leftMs, reason) => {
    const retryAt = { ...now, uptimeMs: now.uptimeMs + leftMs };
    const row = describeOne({ health: { strikes: 6, retryAt, reason: "no power" } });
    expect(row?.reason?.replace(/^until \S+: /, "")).toBe(reason);
  },
);

test("describeTestbeds() says why a testbed is not served", () => {
  expect(describeOne({ id: null })).toMatchObject({
    state: "not served",
    reason: "no `id` in the section of its target t",
  });
  expect(describeOne({ testbed: { enabled: false } })?.state).toBe("disabled");
});

test("describeTestbeds() says why a testbed gets no jobs, unless it runs one", () => {
  const trouble = { reason: "the host key of h is not the one that is known", sinceMs: 5, recoveries: 0 };
  const far = { host: "h" };
  expect(describeOne({ trouble, testbed: far })).toMatchObject({
    state: "unavailable",
    reason: trouble.reason,
    sinceMs: 5,
  });
  expect(describeOne({ trouble, testbed: far, last: {} })?.state).toBe("running");
  expect(describeOne({ trouble, testbed: { host: null, spRunnerUrl: "http://h" } })?.state).toBe(
    "unavailable",
  );
  expect(describeOne({ trouble })?.state).toBe("unavailable");
  // Strikes say nothing while nothing could be tried.
  const health = { strikes: 3, retryAt: { ...now, uptimeMs: now.uptimeMs + 1 }, reason: "no power" };
  expect(describeOne({ trouble, health })).toMatchObject({ state: "unavailable", reason: trouble.reason });
});

test("describeTestbeds() shows an open instance of a testbed that is no longer configured", () => {
  const options = {
    config: { testbeds: [], targets: [] },
    health: new Map(),
    troubles: new Map(),
    now,
    wallMs,
  };
  const rows = describeTestbeds({
    ...options,
    latest: [instanceOf(), instanceOf({ testbed: "b", phase: "destroyed" })],
  });
  expect(rows).toMatchObject([
    { testbed: "a", type: null, state: "running", reason: "no longer configured" },
  ]);
});
