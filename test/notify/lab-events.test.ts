/** What of the lab somebody is told: each condition once, and its end once. */
import { expect, test } from "bun:test";
import { newEvents, serverAwayMs } from "../../lib/notify/lab-events.ts";
import type { Snapshot, TestbedSnapshot } from "../../lib/status/snapshot.ts";
import { snapshotOf, testbedSnapshotOf } from "../status/snapshots.ts";

const limits = { reservedOverMs: 3_600_000 };
const labOf = (over: Partial<TestbedSnapshot>): Snapshot =>
  snapshotOf({ testbeds: [testbedSnapshotOf(over)] });
const { madeMs } = snapshotOf();
const quarantined = labOf({
  state: "quarantined",
  health: { strikes: 3, untilMs: null, reason: "no probe" },
});
const reserved = (sinceMs: number): Snapshot =>
  labOf({
    state: "reserved",
    intent: { kind: "reserved", who: "ann", note: "", sinceMs, untilMs: null, isAfterJob: false },
  });
const serverOf = (over: Partial<Snapshot["server"]>): Snapshot =>
  snapshotOf({ server: { ...snapshotOf().server, ...over } });

/** What somebody is told while the lab goes through these states. */
function told(...labs: Snapshot[]): string[][] {
  let lasting: ReadonlySet<string> = new Set();
  return labs.map((lab) => {
    const found = newEvents(lasting, lab, limits);
    lasting = found.lasting;
    return found.events.map(({ kind, text }) => `${kind}: ${text}`);
  });
}

test("a quarantine, once, and its end", () => {
  expect(told(snapshotOf(), quarantined, quarantined, labOf({ state: "free" }), quarantined)).toEqual([
    [],
    ["quarantined: a is quarantined: no probe"],
    [],
    ["recovered: a is no longer quarantined: it is free"],
    ["quarantined: a is quarantined: no probe"],
  ]);
});

test("a quarantined testbed that is tried again is neither well again nor quarantined anew", () => {
  const { health = null } = quarantined.testbeds[0] ?? {};
  const states = ["free", "preparing", "unreachable", "paused"] as const;
  const labs = states.map((state) => labOf({ state, health }));
  expect(told(quarantined, ...labs, quarantined, labOf({ state: "free" }))).toEqual([
    ["quarantined: a is quarantined: no probe"],
    ...labs.map(() => []),
    [],
    ["recovered: a is no longer quarantined: it is free"],
  ]);
});

test("an operator's own quarantine is no news", () => {
  const intent = {
    kind: "quarantined",
    who: "ann",
    note: "",
    sinceMs: 0,
    untilMs: null,
    isAfterJob: false,
  } as const;
  expect(told(labOf({ state: "quarantined", intent }))).toEqual([[]]);
});

test("a testbed that is held on the server", () => {
  expect(told(labOf({ state: "held" }), labOf({ state: "held" }))).toEqual([
    ["held: a is held on the server"],
    [],
  ]);
});

test("a reservation that lasts too long, but not its end", () => {
  expect(told(reserved(madeMs - 3_599_999), reserved(madeMs - 3_600_000), labOf({ state: "free" }))).toEqual([
    [],
    ["reserved too long: a has been reserved by ann for a long time"],
    [],
  ]);
});

test("a server that has been away for five minutes, and that it is back", () => {
  const away = (ms: number): Snapshot =>
    serverOf({ is: "does not answer", sinceMs: madeMs - ms, reason: "refused" });
  expect(told(away(serverAwayMs - 1), away(serverAwayMs), away(serverAwayMs + 1), snapshotOf())).toEqual([
    [],
    ["server unreachable: The server http://localhost:8000 does not answer: refused"],
    [],
    ["recovered: The server http://localhost:8000 answers again"],
  ]);
});

test("a daemon that was just started takes nothing for over before it has asked the server", () => {
  expect(told(quarantined, serverOf({ is: "not asked yet" }), quarantined)).toEqual([
    ["quarantined: a is quarantined: no probe"],
    [],
    [],
  ]);
});

test("a testbed that was removed is forgotten", () => {
  expect(told(quarantined, snapshotOf({ testbeds: [] }))[1]).toEqual([]);
});

test("a server that refuses the token for five minutes is as good as away, and what it refuses first is no return", () => {
  const refusing = (ms: number): Snapshot =>
    serverOf({ is: "refuses the token", sinceMs: madeMs - ms, reason: null });
  expect(serverAwayMs).toBe(300_000);
  expect(told(refusing(299_999), refusing(300_000))).toEqual([
    [],
    ["server unreachable: The server http://localhost:8000 refuses the token"],
  ]);
  const away = serverOf({ is: "does not answer", sinceMs: madeMs - serverAwayMs, reason: null });
  expect(told(away, refusing(0))[1]).toEqual([]);
});
