/** What a running factory says of each testbed: never "free" where the plan would take no job. */
import { expect, test } from "bun:test";
import { actionKey } from "../../lib/policy/action.ts";
import type { Observation } from "../../lib/policy/observation.ts";
import { plan } from "../../lib/policy/plan.ts";
import { targetIds } from "../../lib/policy/free-testbeds.ts";
import { type Live, liveSnapshot } from "../../lib/status/live-snapshot.ts";
import { snapshotSchema, type TestbedSnapshot } from "../../lib/status/snapshot.ts";
import {
  at,
  configOf,
  instanceOf,
  intentOf,
  leaseOf,
  listOf,
  lookOf,
  nowMs,
  randomScene,
  sceneOf,
  serverOf,
  testbedOf,
  workerOf,
} from "../policy/scenes.ts";

const wallMs = 1_700_000_000_000;

function liveOf(seen: Observation, over: Partial<Live> = {}): Live {
  return {
    seen,
    wallMs,
    factory: { version: "0.1.0", startedMs: wallMs - 60_000, database: "/base/data.sqlite3" },
    remarks: [],
    past: { recent: () => [], took: () => [] },
    jobs: new Map(),
    testbeds: new Map(),
    ...over,
  };
}

function bedOf(seen: Observation, over: Partial<Live> = {}): TestbedSnapshot {
  const [first] = liveSnapshot(liveOf(seen, over)).testbeds;
  if (first === undefined) throw new Error("no testbed");
  return first;
}

/** Whether the plan asks for a job of its targets, and begins one that only this testbed could take. */
function wouldTake(seen: Observation, name: string): boolean {
  const testbed = seen.config.testbeds.find((each) => each.name === name);
  if (testbed === undefined) return false;
  const targets = targetIds(testbed, seen.config);
  const [target = ""] = targets;
  const tried = seen.config.testbeds.map((each) => each.name).filter((each) => each !== name);
  // An answer that is on its way was asked for by the same plan.
  const busy = new Set([...seen.busy].filter((key) => key !== "lease"));
  const due = { ...seen, busy, server: { ...seen.server, leaseDueMs: 0 } };
  const isAskedFor = plan(due).actions.some(
    (action) => action.kind === "lease" && action.targets.some((each) => targets.includes(each)),
  );
  const lease = leaseOf({ job: "the next", target, tried });
  const begins = plan({ ...due, leases: [...seen.leases, lease] }).actions.some(
    (action) => action.kind === "begin" && action.lease === lease,
  );
  return isAskedFor && begins;
}

test("liveSnapshot() says free exactly where the plan would take a job now, in 10,000 random scenes", () => {
  const counts = { free: 0, other: 0, silent: 0 };
  for (let seed = 1; seed <= 10_000; seed += 1) {
    const seen = randomScene(seed);
    for (const { testbed, state, whyNot, job } of liveSnapshot(liveOf(seen)).testbeds) {
      const isTaken = wouldTake(seen, testbed);
      // A server that did not answer is asked again: a job may come, and nobody can say so.
      const isSilent = seen.server.answeringSinceMs === null;
      const isFree = state === "free";
      if (isFree !== (isTaken && !isSilent)) throw new Error(`seed ${seed}, ${testbed}: ${state}, ${whyNot}`);
      if (isFree !== (whyNot === null))
        throw new Error(`seed ${seed}, ${testbed}: ${state} because ${whyNot}`);
      if (job !== null && isFree) throw new Error(`seed ${seed}, ${testbed} has a job`);
      counts[isFree ? "free" : isTaken ? "silent" : "other"] += 1;
    }
  }
  expect(counts.free).toBeGreaterThan(300);
  expect(counts.other).toBeGreaterThan(500);
  expect(counts.silent).toBeGreaterThan(50);
});

const refusedServer = serverOf({ isTokenRefused: true, refusedSinceMs: nowMs - 5_000 });
const silentServer = serverOf({ answeringSinceMs: null, silentSinceMs: nowMs - 7_000, retryAtMs: nowMs + 1 });

test.each<[string, Partial<Observation>, Partial<TestbedSnapshot>]>([
  [
    "the server refuses the token",
    { server: refusedServer },
    { state: "no server", sinceMs: wallMs - 5_000, whyNot: "the server refuses the factory's token" },
  ],
  [
    "the server is away",
    { server: silentServer, failures: new Map([["server", { message: "connection refused" }]]) },
    {
      state: "no server",
      sinceMs: wallMs - 7_000,
      whyNot: "the server does not answer: connection refused",
    },
  ],
  [
    "the server is away and is just being asked again",
    { server: serverOf({ answeringSinceMs: null }) },
    { state: "no server", whyNot: "the server does not answer" },
  ],
  [
    "the server answers, but leases nothing",
    { failures: new Map([["lease", { message: "cannot ask for a job: status 500" }]]) },
    { state: "no server", whyNot: "cannot ask for a job: status 500" },
  ],
  [
    "the factory drains",
    { mode: "drain" },
    { state: "draining", whyNot: "the factory drains: it takes nothing new" },
  ],
  [
    "the factory drains and looks at its host no more",
    { mode: "drain", host: null },
    { state: "draining", whyNot: "the factory drains: it takes nothing new" },
  ],
  [
    "another version takes over",
    { mode: "hand over" },
    { state: "draining", whyNot: "another version of the factory takes over in a moment" },
  ],
  [
    "its check fails",
    {
      config: configOf([testbedOf({ check: "false" })]),
      checks: new Map([["a", { atMs: nowMs, fault: "its check fails: no power", instance: null }]]),
    },
    { state: "unavailable", whyNot: "its check fails: no power" },
  ],
  [
    "its check has not been run",
    { config: configOf([testbedOf({ check: "false" })]) },
    { state: "unavailable", whyNot: "its check has not been run yet" },
  ],
  [
    "it is quarantined",
    { health: new Map([["a", { strikes: 3, retryAt: at(nowMs + 9_000), reason: "no power" }]]) },
    { state: "quarantined", whyNot: "no power", untilMs: wallMs + 9_000 },
  ],
  [
    "the lab failed on it once",
    { health: new Map([["a", { strikes: 1, retryAt: at(nowMs + 9_000), reason: "no power" }]]) },
    { state: "backing off", whyNot: "no power", untilMs: wallMs + 9_000 },
  ],
  [
    "a lease came to nothing",
    { rests: new Map([["a", { untilMs: nowMs + 4_000, reason: "the lease was lost" }]]) },
    { state: "backing off", whyNot: "the lease was lost", untilMs: wallMs + 4_000 },
  ],
  [
    "a leased job could not be begun",
    {
      retryAtMs: new Map([["testbed a", nowMs + 2_000]]),
      failures: new Map([["testbed a", { message: "its host is not reached any more" }]]),
    },
    { state: "backing off", whyNot: "its host is not reached any more", untilMs: wallMs + 2_000 },
  ],
  [
    "the database cannot be written",
    { isStoreFailing: true, failures: new Map([["lease", { message: "cannot write the database: full" }]]) },
    { state: "unavailable", whyNot: "cannot write the database: full" },
  ],
  [
    "somebody has reserved it",
    { intents: new Map([["a", { ...intentOf(), kind: "reserved", note: "bring-up" }]]), mode: "drain" },
    { state: "reserved", whyNot: "reserved by ann: bring-up", sinceMs: 0 },
  ],
  [
    "another factory uses the board",
    { elsewhere: new Map([["a", "a/1 in /other"]]) },
    { state: "in use", whyNot: "in use elsewhere: a/1 in /other" },
  ],
  [
    "its host does not answer",
    {
      config: configOf([testbedOf({ host: "bench-1" })]),
      reached: new Map([["a", { ok: false, atMs: nowMs, reason: "cannot reach bench-1" }]]),
    },
    { state: "unreachable", whyNot: "cannot reach bench-1" },
  ],
  [
    "its host answers and has no room",
    {
      config: configOf([testbedOf({ host: "bench-1" })]),
      reached: new Map([["a", { ok: false, is: "unavailable", atMs: nowMs, reason: "bench-1: no room" }]]),
    },
    { state: "unavailable", whyNot: "bench-1: no room" },
  ],
  ["it is disabled", { config: configOf([testbedOf({ enabled: false })]) }, { state: "disabled" }],
  [
    "its target has no id",
    { config: configOf([testbedOf({ targets: ["nameless"] })]) },
    { state: "not served" },
  ],
  ["a job was leased for it just now", { leases: [leaseOf()] }, { state: "preparing" }],
])("a testbed is not free while %s", (_, over, expected) => {
  const bed = bedOf(sceneOf(over));
  expect(bed).toMatchObject(expected);
  expect(bed.whyNot).not.toBeNull();
  expect(wouldTake(sceneOf(over), "a") && bed.state !== "no server" && bed.state !== "unavailable").toBe(
    false,
  );
});

test("a free testbed is free since its last job ended, or since the factory started", () => {
  expect(bedOf(sceneOf())).toMatchObject({ state: "free", sinceMs: wallMs - 60_000, whyNot: null });
  const testbeds = new Map([["a", { trouble: null, endedMs: wallMs - 3 }]]);
  expect(bedOf(sceneOf(), { testbeds })).toMatchObject({ state: "free", sinceMs: wallMs - 3 });
});

test("a running job shows its times, its name and when its testbed is likely to be free", () => {
  const job = "01HF7YAT00000000000000000A";
  const seen = sceneOf({
    instances: [instanceOf({ job, wentAt: at(nowMs - 60_000), begunMs: wallMs - 62_000 })],
  });
  const jobs = new Map([["a/7", { name: "flash", silentMs: 34_000, endsAtMs: null }]]);
  // Two took less time than this one has run already.
  const took = (name: string): number[] => (name === "flash" ? [10_000, 30_000, 70_000, 90_000, 80_000] : []);
  const bed = bedOf(seen, { jobs, past: { recent: () => ["passed", "lost"], took } });
  expect(bed).toMatchObject({
    state: "running",
    sinceMs: wallMs - 60_000,
    whyNot: "a job has it",
    whyNotNext: null,
    freeAt: { ms: wallMs + 20_000, earliestMs: wallMs + 10_000, latestMs: wallMs + 30_000, jobs: 3 },
    recent: ["passed", "lost"],
  });
  expect(bed.job).toMatchObject({
    id: job,
    name: "flash",
    instance: "a/7",
    queuedMs: 1_700_000_000_000,
    leasedMs: wallMs - 62_000,
    wentMs: wallMs - 60_000,
    silentMs: 34_000,
    stuck: null,
  });
  expect(bedOf(seen, { jobs, past: { recent: () => [], took: () => [1] } }).freeAt).toBeNull();
});

test("a job that cannot go on says why", () => {
  const held = serverOf({ list: listOf([workerOf({ hold: true })]) });
  expect(bedOf(sceneOf({ instances: [instanceOf()], server: held }))).toMatchObject({
    state: "held",
    job: { stuck: expect.stringContaining("until an administrator releases it") },
  });
  const failures = new Map([["testbed a", { message: "cannot stop the agent: it survives" }]]);
  expect(bedOf(sceneOf({ instances: [instanceOf({ phase: "destroying" })], failures }))).toMatchObject({
    state: "ending",
    job: { stuck: "cannot stop the agent: it survives" },
  });
  const trouble = { reason: "cannot tell: bench-1 is away", sinceMs: 1, recoveries: 0 };
  const unseen = sceneOf({ instances: [instanceOf()], looks: new Map([["a/7", lookOf("cannot tell")]]) });
  expect(bedOf(unseen).job?.stuck).toContain("cannot tell whether its agent runs");
  expect(bedOf(unseen, { testbeds: new Map([["a", { trouble, endedMs: null }]]) }).job?.stuck).toBe(
    trouble.reason,
  );
});

test("a busy testbed says why no job comes after this one", () => {
  const busy = (over: Partial<Observation>): string | null =>
    bedOf(sceneOf({ instances: [instanceOf()], ...over })).whyNotNext;
  expect(busy({})).toBeNull();
  expect(busy({ mode: "drain" })).toContain("drains");
  expect(busy({ config: configOf([testbedOf({ enabled: false })]) })).toBe("enabled = false");
  expect(busy({ config: configOf([]) })).toBe("it is no longer configured");
  const intents = new Map([["a", { ...intentOf(), isAfterJob: true, note: "swap the probe" }]]);
  expect(busy({ intents })).toBe("paused by ann: swap the probe");
  expect(bedOf(sceneOf({ instances: [instanceOf()], intents })).intent?.isAfterJob).toBe(true);
});

test("what several testbeds suffer from is reported once", () => {
  const config = configOf(["a", "b", "c"].map((name) => testbedOf({ name, enabled: name !== "c" })));
  const elsewhere = new Map([["a", "a/1 in /other"]]);
  expect(liveSnapshot(liveOf(sceneOf({ config, elsewhere }))).shared).toEqual([]);
  const { shared, server } = liveSnapshot(liveOf(sceneOf({ config, server: refusedServer })));
  expect(shared).toEqual([{ reason: "the server refuses the factory's token", testbeds: ["a", "b"] }]);
  expect(server).toMatchObject({ is: "refuses the token", sinceMs: wallMs - 5_000 });
});

test("it says what would become of the jobs if the factory stopped", () => {
  const config = configOf(["a", "b", "c", "d"].map((name) => testbedOf({ name })));
  const instances = [
    instanceOf({ testbed: "a" }),
    instanceOf({ testbed: "b" }),
    instanceOf({ testbed: "c", phase: "preparing" }),
  ];
  expect(liveSnapshot(liveOf(sceneOf({ config, instances, leases: [leaseOf()] }))).ifStopped).toBe(
    "2 jobs run on and are taken over by the next start; 1 job that is being prepared waits for the next start; 1 lease goes back to the queue",
  );
  expect(liveSnapshot(liveOf(sceneOf())).ifStopped).toBe("no job is affected");
});

test("a snapshot is read as it was written, and one of another form is refused", () => {
  const snapshot = liveSnapshot(liveOf(sceneOf({ instances: [instanceOf()] })));
  expect(snapshotSchema.parse(JSON.parse(JSON.stringify(snapshot)))).toEqual(snapshot);
  expect(snapshotSchema.safeParse({ ...snapshot, format: 2 }).success).toBe(false);
});

test("a lease that is asked for is an action of the name that the snapshot looks for", () => {
  expect(actionKey({ kind: "lease", targets: [] })).toBe("lease");
  expect(actionKey({ kind: "begin", lease: leaseOf(), testbed: testbedOf() })).toBe("testbed a");
});

test("a job that is prepared shows since when, and what of the server keeps it; one that runs needs no server", () => {
  const preparing = instanceOf({ phase: "preparing", worker: null, begunMs: wallMs - 5_000 });
  const failures = new Map([["server", { message: "connection refused" }]]);
  const prepared = bedOf(sceneOf({ instances: [preparing], server: silentServer, failures }));
  expect(prepared).toMatchObject({ state: "preparing", sinceMs: wallMs - 5_000 });
  expect(prepared.job?.stuck).toBe("the server does not answer: connection refused");
  const runs = bedOf(sceneOf({ instances: [instanceOf()], server: silentServer, failures }));
  expect([runs.state, runs.job?.stuck]).toEqual(["running", null]);
});

test("a disabled testbed is disabled, not until or since what an operator wants of it", () => {
  const until = { wallMs: wallMs + 9, at: at(nowMs + 9) };
  const intents = new Map([["a", { ...intentOf(), sinceMs: 7, until }]]);
  const config = configOf([testbedOf({ enabled: false })]);
  expect(bedOf(sceneOf({ config, intents }))).toMatchObject({
    state: "disabled",
    sinceMs: null,
    untilMs: null,
    intent: { sinceMs: 7, untilMs: wallMs + 9 },
  });
});

test("what will have passed when a job ends is no reason against the next one", () => {
  const busy = (over: Partial<Observation>): string | null =>
    bedOf(sceneOf({ instances: [instanceOf()], ...over })).whyNotNext;
  expect(busy({ rests: new Map([["a", { untilMs: nowMs + 4_000, reason: "no worker" }]]) })).toBeNull();
  expect(busy({ server: refusedServer })).toBeNull();
});

test("testbeds that are disabled suffer from nothing", () => {
  const config = configOf(["a", "b"].map((name) => testbedOf({ name, enabled: false })));
  expect(liveSnapshot(liveOf(sceneOf({ config }))).shared).toEqual([]);
});

test("a testbed is likely to be free after a job of the usual length, counted from now while that is prepared, and unknown once it ends", () => {
  const jobs = new Map([["a/7", { name: "flash", silentMs: null, endsAtMs: null }]]);
  const past = { recent: () => [], took: () => [70_000] };
  const freeAt = (instance: Parameters<typeof instanceOf>[0]): number | undefined =>
    bedOf(sceneOf({ instances: [instanceOf(instance)] }), { jobs, past }).freeAt?.ms;
  expect(freeAt({ phase: "preparing", worker: null, wentAt: null })).toBe(wallMs + 70_000);
  expect(freeAt({ wentAt: at(nowMs - 10_000) })).toBe(wallMs + 60_000);
  expect(freeAt({ wentAt: at(nowMs - 10_000), endReason: "the job is done" })).toBeUndefined();
});

test("what an operator wanted is over at its end", () => {
  const intentAt = (ms: number): unknown => {
    const until = { wallMs: wallMs + ms, at: at(nowMs + ms) };
    return bedOf(sceneOf({ intents: new Map([["a", { ...intentOf(), until }]]) })).intent;
  };
  expect([intentAt(0), intentAt(1)]).toEqual([null, expect.objectContaining({ untilMs: wallMs + 1 })]);
});
