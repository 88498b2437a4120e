/** A lab to look at: testbeds in each state, with a day's journal. `count` of them; the first three are the usual ones. */
import type { Snapshot, TestbedSnapshot } from "../../../lib/status/snapshot.ts";
import type { Entry, JobEntry, JobResult, JournalQuery, Recorded } from "../../../lib/words/journal.ts";
import { sharedReasons } from "../../../lib/status/lab-wide.ts";
import { openClock } from "../../../lib/doors/clock.ts";
import type { LabSources } from "../../../lib/web/page/lab.ts";
import { openPages, type Pages } from "../../../lib/web/page/pages.ts";
import { Tally } from "../../../lib/status/tally.ts";
import type { Shown } from "../../../lib/web/routes.ts";
import { snapshotOf, testbedSnapshotOf } from "../../status/snapshots.ts";

const minute = 60_000;
const hour = 60 * minute;

const jobNames = ["update-rollback", "hubris-smoke", "attest-cold-boot", "sp-reset-loop"];
const results: JobResult[] = ["passed", "passed", "passed", "failed", "passed", "passed", "lost", "passed"];

export interface SampleLab {
  snapshot: Snapshot;
  journal: Recorded[];
}

/** 15:30 of a day, by this host's clock. */
export const sampleMs = new Date(2026, 10, 26, 15, 30).getTime();

export function sampleLab(count: number, names: readonly string[] = [], nowMs = sampleMs): SampleLab {
  const journal: Recorded[] = [];
  const types = ["gimlet", "grapefruit", "sidecar", "psc"];
  const testbeds = Array.from({ length: count }, (_, index) => {
    const type = types[index % types.length]!;
    const testbed = names[index] ?? `${type}-${Math.floor(index / types.length) + 1}`;
    const made = scenes[index % scenes.length]!({ testbed, index, nowMs });
    return testbedSnapshotOf({ testbed, type, targets: [`sp-${type}`], ...made });
  });
  const noted = testbeds.flatMap((testbed, index) => dayOf(testbed, index, nowMs));
  const started: Entry = { what: "factory", is: "started", lines: ["0.1.0"] };
  noted.push({ atMs: nowMs - 30 * hour, entry: started });
  for (const each of noted.toSorted((one, other) => one.atMs - other.atMs))
    journal.push({ id: journal.length + 1, ...each });
  const running = testbeds.filter(({ state }) => state === "running").length;
  const isOne = running === 1;
  const snapshot = snapshotOf({
    madeMs: nowMs,
    factory: {
      isRunning: true,
      version: "0.1.0",
      mode: "run",
      startedMs: nowMs - 30 * hour,
      database: "/root/Oxide/ci/factory/data.sqlite3",
    },
    server: {
      url: "https://buildomat.example.com",
      is: "answers",
      sinceMs: nowMs - 9 * hour,
      reason: null,
      leases: 0,
    },
    ifStopped: `${running} ${isOne ? "job runs" : "jobs run"} on and ${isOne ? "is" : "are"} taken over by the next start`,
    shared: sharedReasons(testbeds),
    testbeds,
  });
  return { snapshot, journal };
}

export function pagesOf(lab: SampleLab, over: Partial<LabSources> = {}): Pages {
  return openPages({
    clock: { ...openClock(), wallMs: () => lab.snapshot.madeMs },
    snapshot: () => lab.snapshot,
    history: (query) => historyOf(lab, query),
    tail: () => Promise.resolve("starting\n"),
    onFault: (error) => {
      throw error;
    },
    ...over,
  });
}

export function shownOf(lab: SampleLab, over: Partial<LabSources> = {}): Shown {
  return {
    snapshot: () => lab.snapshot,
    tally: new Tally(),
    isTurning: () => true,
    pages: pagesOf(lab, over),
  };
}

function historyOf({ journal }: SampleLab, { sinceMs = 0, beforeId, most }: JournalQuery): Recorded[] {
  const isAsked = ({ id, atMs }: Recorded): boolean =>
    atMs >= sinceMs && (beforeId === undefined || id < beforeId);
  return journal.filter(isAsked).slice(-most);
}

interface Scene {
  testbed: string;
  index: number;
  nowMs: number;
}

const recent = (index: number): JobResult[] =>
  results.map((_, at) => results[(index * 3 + at) % results.length]!);

function jobOf({ testbed, index, nowMs }: Scene, over: Partial<NonNullable<TestbedSnapshot["job"]>> = {}) {
  const ranMs = (index % 7) * 11 * minute + 130_000;
  return {
    id: `01KAVF${String(index).padStart(4, "0")}0K099E9F8GHWJ7V`,
    name: jobNames[index % jobNames.length]!,
    instance: `${testbed}/57`,
    worker: null,
    queuedMs: nowMs - ranMs - 95_000,
    leasedMs: nowMs - ranMs - 9_000,
    wentMs: nowMs - ranMs,
    endReason: null,
    stuck: null,
    silentMs: null,
    ...over,
  };
}

const scenes: ((scene: Scene) => Partial<TestbedSnapshot>)[] = [
  (scene) => {
    const job = jobOf(scene);
    const { nowMs, index } = scene;
    const likely = { ms: nowMs + 26 * minute, earliestMs: nowMs + 20 * minute, latestMs: nowMs + hour };
    return {
      state: "running",
      sinceMs: job.wentMs,
      whyNot: "a job has it",
      job,
      freeAt: { ...likely, jobs: 12 },
      recent: recent(index),
    };
  },
  ({ nowMs, index }) => ({ state: "free", sinceMs: nowMs - 34 * minute, recent: recent(index) }),
  ({ nowMs, index }) => {
    const untilMs = nowMs + 52 * minute;
    const intent = { kind: "reserved" as const, who: "laura", note: "new probe", isAfterJob: false };
    return {
      state: "reserved",
      sinceMs: nowMs - 8 * minute,
      whyNot: "reserved by laura: new probe",
      intent: { ...intent, sinceMs: nowMs - 8 * minute, untilMs },
      untilMs,
      note: "rack 2, upper shelf",
      recent: recent(index),
    };
  },
  ({ nowMs, index }) => ({ state: "free", sinceMs: nowMs - 3 * minute, recent: recent(index) }),
  ({ nowMs, index }) => {
    const reason = "the agent ended with status 1 before its job did";
    return {
      state: "quarantined",
      sinceMs: nowMs - 20 * minute,
      untilMs: nowMs + 12 * minute,
      whyNot: reason,
      health: { strikes: 4, untilMs: nowMs + 12 * minute, reason },
      recent: [...recent(index).slice(0, 5), "lost", "lost", "lost"],
    };
  },
];

function dayOf({ testbed, state, job, intent, health }: TestbedSnapshot, index: number, nowMs: number) {
  const noted: { atMs: number; entry: Entry }[] = [];
  let at = nowMs - 26 * hour + index * 7 * minute;
  for (let seq = 1; at < nowMs - 2 * hour; seq += 1) {
    const ranMs = (10 + ((index * 13 + seq * 29) % 50)) * minute;
    const result = results[(index + seq * 5) % results.length]!;
    const entry: JobEntry = {
      what: "job",
      testbed,
      seq,
      job: `01KAVE${String(index % 10_000).padStart(4, "0")}${String(seq).padStart(4, "0")}9E9F8GHWJ7VB`,
      jobName: jobNames[(index + seq) % jobNames.length]!,
      target: "sp-gimlet",
      queuedMs: at - ((seq * 37) % 300) * 1000,
      leasedMs: at,
      isStarted: true,
      wentMs: at + 9_000,
      endedMs: at + ranMs,
      result,
      cause: result === "lost" ? "agent exited" : "job done",
      reason:
        result === "passed" ? null : result === "failed" ? "task 2 exited with status 1" : "the agent ended",
      silentMs: null,
    };
    noted.push({ atMs: entry.endedMs, entry });
    at += ranMs + ((seq * 17) % 40) * minute;
  }
  const act = { what: "act" as const, testbed, who: "laura", note: "cable", untilMs: null, answer: "" };
  noted.push({ atMs: nowMs - 7 * hour, entry: { ...act, verb: "pause" } });
  noted.push({ atMs: nowMs - 6 * hour, entry: { ...act, verb: "resume", note: "" } });
  if (intent !== null) {
    const { sinceMs, untilMs, note } = intent;
    noted.push({ atMs: sinceMs, entry: { ...act, verb: "reserve", note, untilMs } });
  }
  if (health !== null && state === "quarantined") {
    const entry: Entry = { what: "health", testbed, is: "quarantined", reason: health.reason };
    noted.push({ atMs: nowMs - 20 * minute, entry });
  }
  return job === null ? noted : noted.filter(({ atMs }) => atMs < job.leasedMs);
}
