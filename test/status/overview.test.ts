/** The snapshot as people read it, within the columns of their terminal. */
import { expect, test } from "bun:test";
import { type Screen, showOverview } from "../../lib/status/overview.ts";
import { painted, plain, showShortDuration, showShortTime } from "../../lib/status/shown-words.ts";
import type { Snapshot, TestbedSnapshot } from "../../lib/status/snapshot.ts";
import { showTestbedPage } from "../../lib/status/testbed-page.ts";
import { jobOf } from "../policy/scenes.ts";

/** Noon of the lab's own time, so that an hour more or less is the same day. */ import { testbedSnapshotOf } from "./snapshots.ts";

const madeMs = new Date(2026, 10, 28, 12, 0, 0).getTime();
const minute = 60_000;

const free = testbedSnapshotOf({
  testbed: "sidecar-1",
  type: "sidecar",
  targets: ["sp-sidecar"],
  host: "bench-1",
  sinceMs: madeMs - 26 * 60 * minute,
  recent: ["passed", "passed", "failed"],
});
const running: TestbedSnapshot = {
  ...free,
  testbed: "grapefruit-1",
  type: "grapefruit",
  host: null,
  state: "running",
  sinceMs: madeMs - 5 * minute,
  whyNot: "a job has it",
  job: {
    id: "01M85PG9WPFY1F6TGTQS53BE5W",
    name: "flash",
    instance: "grapefruit-1/7",
    worker: "01M85PG9ZBNKACK3AG3PP8SXQJ",
    queuedMs: madeMs - 6 * minute,
    leasedMs: madeMs - 5.5 * minute,
    wentMs: madeMs - 5 * minute,
    endReason: null,
    stuck: null,
    silentMs: 34 * minute,
  },
  freeAt: { ms: madeMs + 3 * minute, earliestMs: madeMs + minute, latestMs: madeMs + 7 * minute, jobs: 12 },
};
const quarantined: TestbedSnapshot = {
  ...free,
  testbed: "gimlet-1",
  type: "gimlet",
  state: "quarantined",
  sinceMs: null,
  untilMs: madeMs + 8 * minute,
  whyNot: "the agent exited with code 1",
  health: { strikes: 3, untilMs: madeMs + 8 * minute, reason: "the agent exited with code 1" },
  note: "the left one",
};

const snapshotOf = (testbeds: TestbedSnapshot[], over: Partial<Snapshot> = {}): Snapshot => ({
  format: 1,
  madeMs,
  source: "factory",
  factory: {
    isRunning: true,
    version: "0.1.0",
    mode: "run",
    startedMs: madeMs - 60 * minute,
    database: "/base/data.sqlite3",
  },
  server: { url: "https://example.com", is: "answers", sinceMs: madeMs - minute, reason: null, leases: 0 },
  remarks: [],
  shared: [],
  ifStopped: "1 job runs on and is taken over by the next start",
  testbeds,
  ...over,
});

const show = (
  testbeds: TestbedSnapshot[],
  over: Partial<Screen> = {},
  more: Partial<Snapshot> = {},
): string[] => showOverview(snapshotOf(testbeds, more), { columns: 80, paint: plain, ...over });

test("showOverview() has a line for each testbed in 80 columns, and below it what does not fit", () => {
  expect(show([running, free, quarantined])).toEqual([
    "2026-11-28 12:00:00  The factory is running on /base/data.sqlite3 (0.1.0, since",
    "2026-11-28 11:00:00)",
    "The server https://example.com answers since 2026-11-28 11:59:00",
    "If the factory stopped now: 1 job runs on and is taken over by the next start",
    "",
    "testbed      type       state       since job   waited ran free at last",
    "grapefruit-1 grapefruit running     11:55 flash 60s    5m  ~12:03  ✓✓✗",
    "    silent for 34 min 00 s",
    "sidecar-1    sidecar    free        11-27                  now     ✓✓✗",
    "gimlet-1     gimlet     quarantined                        12:08   ✓✓✗",
    "    until 2026-11-28 12:08:00: 3 in a row: the agent exited with code 1",
    "    note: the left one",
  ]);
});

test("showOverview() shows ids and whole times where there is room, and a single reason beside its line", () => {
  const [, , , , head, one, two, three, ...more] = show(
    [running, free, { ...quarantined, whyNot: "no power" }],
    { columns: 200 },
  );
  expect(head).toMatch(/^testbed +type +state +since +job +id +waited +ran +free at +last$/);
  expect(one).toMatch(
    /^grapefruit-1 .* 2026-11-28 11:55:00 +flash +01M85PG9WPFY1F6TGTQS53BE5W +1 min 00 s +5 min 00 s +~12:03 \(12:01 to 12:07\) +✓✓✗ +silent for 34 min 00 s$/,
  );
  expect(two).toMatch(/^sidecar-1 .* 2026-11-27 10:00:00 +now +✓✓✗$/);
  expect(three).toMatch(/^gimlet-1 .* ✓✓✗ {2}until 2026-11-28 12:08:00: 3 in a row: no power$/);
  expect(more).toEqual(["    note: the left one"]);
});

test.each([80, 81, 100, 159, 160, 200])(
  "no line has more than %i columns, whatever the names are",
  (columns) => {
    const name = "x".repeat(64);
    const long = "\u0431\u0443\u043a\u0432\u0430 漢字 ".repeat(30);
    const beds = [
      { ...running, testbed: name, job: running.job && { ...running.job, name: long, stuck: long } },
      { ...quarantined, testbed: "y".repeat(64), note: long, whyNot: long },
    ];
    const more = {
      remarks: [long],
      shared: [{ reason: long, testbeds: Array.from({ length: 30 }, (_, index) => `${name}${index}`) }],
      server: {
        url: `https://${name}${name}`,
        is: "does not answer" as const,
        sinceMs: 1,
        reason: long,
        leases: 2,
      },
    };
    const jobs = [jobOf({ jobName: name, reason: long }), jobOf({ jobName: long, reason: null })];
    const lines = [
      ...show(beds, { columns, paint: painted }, more),
      ...beds.flatMap((bed) =>
        showTestbedPage(snapshotOf(beds, more), bed, jobs, { columns, paint: painted }),
      ),
    ];
    expect(lines.filter((line) => Bun.stringWidth(line) > columns)).toEqual([]);
    expect(lines.join("\n")).toContain("\u0431\u0443\u043a\u0432\u0430");
  },
);

const hostile = "\x1b]0;owned\x07\x1b[2Jrm\r\n\u202egnp.exe\u2066\u200b\x9b31m";

test("nothing that a job, an operator or a server wrote moves the cursor, breaks a line or turns the text around", () => {
  const beds = [
    {
      ...running,
      testbed: hostile,
      note: hostile,
      whyNotNext: hostile,
      intent: {
        kind: "paused" as const,
        who: hostile,
        note: hostile,
        sinceMs: 1,
        untilMs: null,
        isAfterJob: true,
      },
      job: running.job && { ...running.job, name: hostile, stuck: hostile, endReason: hostile },
    },
    { ...quarantined, host: hostile, service: hostile, targets: [hostile], whyNot: hostile, note: hostile },
  ];
  const more = {
    remarks: [hostile],
    shared: [{ reason: hostile, testbeds: [hostile, hostile] }],
    server: { url: hostile, is: "does not answer" as const, sinceMs: 1, reason: hostile, leases: 0 },
  };
  const jobs = [jobOf({ jobName: hostile, reason: hostile })];
  for (const columns of [80, 200, null]) {
    const shown: Screen = { columns, paint: plain };
    const lines = [
      ...showOverview(snapshotOf(beds, more), shown),
      ...beds.flatMap((bed) => showTestbedPage(snapshotOf(beds, more), bed, jobs, shown)),
    ];
    expect(lines.join("").match(/[\p{Cc}\u200b-\u200f\u2028-\u202e\u2066-\u2069]/gu)).toBeNull();
  }
});

test("states and results are coloured only for whom wants that", () => {
  expect(show([running, free]).join("")).not.toContain("\x1b");
  const coloured = show([free, quarantined], { paint: painted });
  expect(coloured.join("")).toContain("\x1b[32mfree\x1b[0m");
  expect(coloured.join("")).toContain("\x1b[31mquarantined\x1b[0m");
  // The columns stand as they do without colours.
  expect(coloured.map((line) => Bun.stripANSI(line))).toEqual(show([free, quarantined]));
});

test("the head says how the factory and the server are, and names what several testbeds suffer from once", () => {
  const reason = "the server refuses the factory's token";
  const ill = (testbed: string): TestbedSnapshot => ({
    ...free,
    testbed,
    state: "no server",
    whyNot: reason,
  });
  const lines = show(
    [ill("a"), ill("b")],
    { columns: null },
    {
      shared: [{ reason, testbeds: ["a", "b"] }],
      remarks: ["config.toml has a mistake now"],
      server: {
        url: "https://example.com",
        is: "refuses the token",
        sinceMs: madeMs,
        reason: "no",
        leases: 1,
      },
      factory: { ...snapshotOf([]).factory, mode: "drain" },
    },
  );
  expect(lines.slice(0, 5)).toEqual([
    "2026-11-28 12:00:00  The factory is running on /base/data.sqlite3 (0.1.0, since 2026-11-28 11:00:00); it drains: it takes nothing new",
    "The server https://example.com refuses the token since 2026-11-28 12:00:00: no; 1 leased job waits for a testbed",
    "If the factory stopped now: 1 job runs on and is taken over by the next start",
    "config.toml has a mistake now",
    `${reason}: a, b`,
  ]);
  expect(lines.join("\n").split(reason)).toHaveLength(2);
});

test("without a factory the head says so", () => {
  const files = { source: "files" as const, ifStopped: null };
  const factory = { isRunning: false, version: null, mode: null, startedMs: null, database: "/d" };
  const nobody = { ...free, state: "no factory" as const, whyNot: "no factory is running" };
  const shared = [{ reason: "no factory is running", testbeds: ["a", "b"] }];
  const beds = [
    { ...nobody, testbed: "a" },
    { ...nobody, testbed: "b" },
  ];
  const lines = show(beds, { columns: null }, { ...files, factory, shared });
  expect(lines.filter((line) => line.toLowerCase().includes("no factory is running"))).toEqual([
    "2026-11-28 12:00:00  No factory is running on /d: no job is taken",
  ]);
  expect(show(beds, { columns: null }, { ...files, factory: { ...factory, isRunning: true } })[0]).toBe(
    "2026-11-28 12:00:00  A factory is running on /d. This is what its files say",
  );
  expect(show([])).toContain("no testbed is configured");
});

test("showTestbedPage() says everything about one testbed, and why it takes no job", () => {
  const page = (bed: TestbedSnapshot): string[] =>
    showTestbedPage(snapshotOf([bed]), bed, [jobOf({ result: "lost", reason: "agent exited" })], {
      columns: 200,
      paint: plain,
    });
  expect(page(quarantined).join("\n")).toContain(
    "next job is not taken before 2026-11-28 12:08:00: the agent exited with code 1",
  );
  expect(page(quarantined).join("\n")).toContain(
    "the lab failed 3 times in a row, the last time: the agent exited",
  );
  expect(page(free).join("\n")).toContain("next job is taken at once");
  expect(page(free).join("\n")).toContain("on bench-1, over ssh");
  const busy = page({
    ...running,
    intent: {
      kind: "reserved",
      who: "ann",
      note: "bring-up",
      sinceMs: madeMs,
      untilMs: null,
      isAfterJob: true,
    },
    whyNotNext: "reserved by ann: bring-up",
  }).join("\n");
  for (const said of [
    "state    running since 2026-11-28 11:55:00",
    "is not taken after this one: reserved by ann: bring-up",
    '"flash" 01M85PG9WPFY1F6TGTQS53BE5W',
    "submitted 2026-11-28 11:54:00",
    "waited 1 min 00 s, ran 5 min 00 s",
    "silent for 34 min 00 s",
    "about 2026-11-28 12:03:00 (between 2026-11-28 12:01:00 and 2026-11-28 12:07:00, from 12 jobs of this name)",
    "reserved by ann after its job, until it is taken back: bring-up",
    "buildomat-factory-sp-test logs grapefruit-1 -f",
    "✓✓✗  (✓ passed, ✗ failed)",
    "! lost",
    "agent exited",
  ]) {
    expect(busy).toContain(said);
  }
});

test.each([
  [0, "0s"],
  [99_999, "99s"],
  [100_000, "1m"],
  [5_999_999, "99m"],
  [6_000_000, "1h40"],
  [86_399_999, "23h59"],
  [86_400_000, "1d0h"],
  [864_000_000, "10d"],
])("showShortDuration() shows %i ms as %s", (ms, text) => {
  expect(showShortDuration(ms)).toBe(text);
});

test("showShortTime() shows the time of today, and the date of another day", () => {
  expect(showShortTime(madeMs - minute, madeMs)).toBe("11:59");
  expect(showShortTime(madeMs - 24 * 60 * minute, madeMs)).toBe("11-27");
});
