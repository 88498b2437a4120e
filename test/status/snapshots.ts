/** Snapshots for tests: a lab in which all is well, but for what a test says. */
import type { Snapshot, TestbedSnapshot } from "../../lib/status/snapshot.ts";

export function testbedSnapshotOf(over: Partial<TestbedSnapshot> = {}): TestbedSnapshot {
  return {
    testbed: "a",
    type: "gimlet",
    targets: ["sp-gimlet"],
    host: null,
    service: null,
    state: "free",
    sinceMs: null,
    whyNot: null,
    whyNotNext: null,
    untilMs: null,
    note: "",
    intent: null,
    health: null,
    job: null,
    freeAt: null,
    recent: [],
    ...over,
  };
}

export function snapshotOf(over: Partial<Snapshot> = {}): Snapshot {
  return {
    format: 1,
    madeMs: 1_700_000_000_000,
    source: "factory",
    factory: {
      isRunning: true,
      version: "0.1.0",
      mode: "run",
      startedMs: 1_699_999_000_000,
      database: "/base/data.sqlite3",
    },
    server: {
      url: "http://localhost:8000",
      is: "answers",
      sinceMs: 1_699_999_000_000,
      reason: null,
      leases: 0,
    },
    remarks: [],
    shared: [],
    ifStopped: null,
    testbeds: [testbedSnapshotOf()],
    ...over,
  };
}
