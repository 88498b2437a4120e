/** The table and the document of `status`. */
import { expect, test } from "bun:test";
import type { TestbedStatus } from "../../lib/status/testbed-states.ts";
import { statusJson, statusTable } from "../../lib/status/table.ts";

const sinceMs = Date.UTC(2026, 10, 24, 2, 35, 4);

const running: TestbedStatus = {
  testbed: "grapefruit-1",
  type: "grapefruit",
  state: "running",
  sinceMs,
  instance: "grapefruit-1/7",
  worker: "01M85PG9ZBNKACK3AG3PP8SXQJ",
  job: "01M85PG9WPFY1F6TGTQS53BE5W",
  waitedMs: 400,
  ranMs: 3_725_000,
  reason: null,
  note: "",
};
const free: TestbedStatus = {
  ...running,
  testbed: "g",
  state: "free",
  sinceMs: null,
  instance: null,
  worker: null,
  job: null,
  waitedMs: null,
  ranMs: null,
  reason: "failed last: \x1b[2Jno\nspace",
  note: "the left one",
};

test("statusTable() has a line for each testbed, a note under it, and no control characters", () => {
  const lines = statusTable({ isRunning: true, database: "/base/data.sqlite3", testbeds: [running, free] });
  const since = lines[3]?.slice(35, 54) ?? "";
  expect(new Date(since).getTime()).toBe(sinceMs);
  expect(lines.map((line) => line.replace(since, "(since)"))).toEqual([
    "The factory is running on /base/data.sqlite3",
    "",
    "testbed       type        state    since                job                         waited  ran         reason",
    "grapefruit-1  grapefruit  running  (since)  01M85PG9WPFY1F6TGTQS53BE5W  0.4 s   1 h 02 min",
    "g             grapefruit  free                                                                          failed last:  [2Jno space",
    "  note: the left one",
  ]);
});

test("statusTable() puts a reason that does not fit on a terminal below its line, complete", () => {
  const reason = `until 02:56:56: ${"the agent /opt/agent is not there; ".repeat(6)}last word`;
  const beds = [running, { ...free, reason, note: "n".repeat(130) }];
  const lines = statusTable({ isRunning: true, database: "/d", testbeds: beds }, 120);
  for (const each of lines) expect(each.length).toBeLessThanOrEqual(120);
  expect(lines[4]).toBe("g             grapefruit  free");
  expect(lines.slice(5, -3).join(" ").replaceAll(/ +/g, " ").trim()).toBe(`reason: ${reason}`);
  expect(lines.slice(-3).join("").replaceAll(/ +/g, "")).toBe(`note:${"n".repeat(130)}`);
  expect(statusTable({ isRunning: true, database: "/d", testbeds: beds })[4]).toEndWith(reason);
});

test.each([
  [0, "0.0 s"],
  [9_999, "10.0 s"],
  [12_900, "12 s"],
  [59_999, "59 s"],
  [185_000, "3 min 05 s"],
  [86_400_000, "24 h 00 min"],
])("statusTable() shows %d ms as %s", (ranMs, text) => {
  const [, , , row] = statusTable({ isRunning: false, database: "d", testbeds: [{ ...running, ranMs }] });
  expect(row).toEndWith(`  ${text}`);
});

test("statusJson() shows the same as the table, with times in ISO 8601", () => {
  const document = statusJson({ isRunning: false, database: "d", testbeds: [running, free] });
  expect(JSON.parse(document)).toEqual({
    factory: "not running",
    database: "d",
    remarks: [],
    testbeds: [
      {
        testbed: "grapefruit-1",
        type: "grapefruit",
        state: "running",
        since: "2026-11-24T02:35:04.000Z",
        instance: "grapefruit-1/7",
        worker: running.worker,
        job: running.job,
        waited_ms: 400,
        ran_ms: 3_725_000,
        reason: null,
        note: "",
      },
      {
        testbed: "g",
        type: "grapefruit",
        state: "free",
        since: null,
        instance: null,
        worker: null,
        job: null,
        waited_ms: null,
        ran_ms: null,
        reason: free.reason,
        note: "the left one",
      },
    ],
  });
});
