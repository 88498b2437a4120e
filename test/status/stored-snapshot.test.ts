/** What the files alone say: no testbed is free in it, because nobody takes jobs. */
import { expect, test } from "bun:test";
import type { Phase } from "../../lib/words/domain.ts";
import type { TestbedSnapshot } from "../../lib/status/snapshot.ts";
import { type Stored, storedSnapshot } from "../../lib/status/stored-snapshot.ts";
import { at, configOf, instanceOf, intentOf, nowMs, testbedOf } from "../policy/scenes.ts";

const wallMs = 1_700_000_000_000;
const silent = "it has no control socket";

function storedOf(over: Partial<Stored> = {}): Stored {
  return {
    now: at(nowMs),
    wallMs,
    config: { ...configOf([testbedOf()]), unread: [], remarks: [] },
    url: "https://example.com",
    database: "/base/data.sqlite3",
    whySilent: null,
    open: [],
    health: new Map(),
    intents: new Map(),
    troubles: new Map(),
    past: { recent: () => ["passed"], took: () => [] },
    ...over,
  };
}

function bedOf(over: Partial<Stored> = {}): TestbedSnapshot {
  const [first] = storedSnapshot(storedOf(over)).testbeds;
  if (first === undefined) throw new Error("no testbed");
  return first;
}

const withBed = (over: Parameters<typeof testbedOf>[0]): Partial<Stored> => ({
  config: { ...configOf([testbedOf(over)]), unread: [], remarks: [] },
});
const health = (strikes: number, leftMs: number, boot?: string): Partial<Stored> => ({
  health: new Map([["a", { strikes, retryAt: at(nowMs + leftMs, boot), reason: "no power" }]]),
});
const reserved = { ...intentOf(), kind: "reserved" as const, note: "bring-up" };
const trouble = { reason: "no route", sinceMs: 5, recoveries: 0 };

test.each<[string, Partial<Stored>, Partial<TestbedSnapshot>]>([
  ["nothing else is wrong", {}, { state: "no factory", whyNot: "no factory is running", recent: ["passed"] }],
  [
    "it is disabled",
    withBed({ enabled: false }),
    { state: "disabled", whyNot: "enabled = false; no factory is running" },
  ],
  [
    "its target has no id",
    withBed({ targets: ["nameless"] }),
    {
      state: "not served",
      whyNot: "no `id` in the section of its target nameless; no factory is running",
    },
  ],
  [
    "somebody has reserved it",
    { intents: new Map([["a", reserved]]) },
    { state: "reserved", whyNot: "reserved by ann: bring-up; no factory is running" },
  ],
  [
    "a reservation is over",
    { intents: new Map([["a", { ...reserved, until: { wallMs: 0, at: at(nowMs - 1) } }]]) },
    { state: "no factory", intent: null },
  ],
  ["it is quarantined", health(3, 9_000), { state: "quarantined", untilMs: wallMs + 9_000 }],
  ["the lab failed on it", health(2, 1), { state: "backing off", untilMs: wallMs + 1 }],
  ["its quarantine is over", health(3, 0), { state: "no factory" }],
  ["its quarantine was of another boot", health(3, 9_000, "boot-0"), { state: "no factory" }],
  ["an ended factory said what was wrong", { troubles: new Map([["a", trouble]]) }, { state: "no factory" }],
])("without a factory a testbed is not free: %s", (_, over, expected) => {
  expect(bedOf(over)).toMatchObject(expected);
  expect(bedOf(over).whyNot).toContain(over === undefined ? "" : "no factory is running");
});

test.each<[string, Partial<Stored>, Partial<TestbedSnapshot>]>([
  [
    "nothing else is known",
    {},
    { state: "not known", whyNot: `the running factory does not say: ${silent}` },
  ],
  ["its section is disabled", withBed({ enabled: false }), { state: "disabled", whyNot: "enabled = false" }],
  [
    "something keeps jobs from it",
    { troubles: new Map([["a", trouble]]) },
    { state: "unavailable", whyNot: "no route", sinceMs: 5 },
  ],
  ["it is quarantined", health(3, 9_000), { state: "quarantined", whyNot: "no power" }],
])("beside a factory that does not say what it knows a testbed is not free: %s", (_, over, expected) => {
  expect(bedOf({ whySilent: silent, ...over })).toMatchObject(expected);
});

test("a testbed that the running factory has not read yet is not served", () => {
  const config = { ...configOf([]), unread: [testbedOf()], remarks: ["it was changed"] };
  expect(bedOf({ config, whySilent: silent })).toMatchObject({
    state: "not served",
    whyNot: "the running factory has not read its section yet",
  });
  expect(storedSnapshot(storedOf({ config })).remarks).toEqual(["it was changed"]);
});

test.each<[Phase, string]>([
  ["preparing", "preparing"],
  ["creating", "preparing"],
  ["created", "preparing"],
  ["starting", "preparing"],
  ["running", "running"],
  ["destroying", "ending"],
  ["stopped", "ending"],
])("an instance that is %s: its testbed is %s, and the next start takes it over", (phase, state) => {
  const bed = bedOf({ open: [instanceOf({ phase })] });
  expect(bed).toMatchObject({ state, whyNotNext: "no factory is running", job: { instance: "a/7" } });
  expect(bed.job?.stuck).toBe(phase === "running" ? null : "no factory is running");
});

test("times of another boot are not shown", () => {
  const bed = bedOf({ open: [instanceOf({ wentAt: at(1, "boot-0") })] });
  expect(bed).toMatchObject({ state: "running", sinceMs: null, job: { wentMs: null } });
});

test("an open instance of a testbed that is no longer configured is shown", () => {
  const { testbeds } = storedSnapshot(storedOf({ open: [instanceOf({ testbed: "gone" })] }));
  expect(testbeds).toMatchObject([
    { testbed: "a" },
    { testbed: "gone", type: null, state: "running", whyNotNext: "it is no longer configured" },
  ]);
});
