/** What follows from what a step learnt: the row, the memory of the instance and of its testbed, and the next call. */
import { expect, test } from "bun:test";
import { follow } from "../../lib/daemon/consequences.ts";
import { memoryOf } from "../../lib/daemon/instance-memory.ts";
import { cannotGoOn, type Learnt } from "../../lib/daemon/outcome.ts";
import { testbedMemory } from "../../lib/daemon/testbed-memory.ts";
import type { Phase } from "../../lib/words/domain.ts";
import { Secret } from "../../lib/words/secret.ts";
import { at, instanceOf, workerOf } from "../policy/scenes.ts";
import { openStage, type Stage } from "./stage.ts";

interface Seen {
  outcome: string;
  phase: Phase | undefined;
  calls: string;
  strikes: number;
  isResting: boolean;
  tried: (readonly string[])[];
}

const quiet = { calls: "", strikes: 0, isResting: false, tried: [] };

async function follows(it: Stage, learnt: Learnt): Promise<Seen> {
  const [row] = it.store.latest();
  if (row === undefined) throw new Error("it has no instance");
  const following = follow(it.factory, row, learnt);
  await it.clock.advance(100);
  const { health, rest } = testbedMemory(it.factory.known, "a");
  return {
    outcome: (await following).kind,
    phase: it.store.latest()[0]?.phase,
    calls: it.calls.map((call) => call.replace(/ .*/, "")).join(" "),
    strikes: health?.strikes ?? 0,
    isResting: rest !== null,
    tried: it.factory.known.leases.map(({ tried }) => tried),
  };
}

const made: Learnt = { kind: "worker made", worker: workerOf({ private: null }) };
const stands = { kind: "end stands", isWorkerGone: false, isJobDone: false } as const;

test.each<[Phase, Learnt, Partial<Seen>]>([
  ["preparing", { kind: "armed", refusal: null }, {}],
  ["preparing", { kind: "lease renewed", leasedAt: at(1) }, {}],
  [
    "preparing",
    { kind: "in use elsewhere", owner: "b/1", isHost: false },
    { phase: "dropped", calls: "stop", tried: [["a"]] },
  ],
  [
    "preparing",
    { kind: "not ready", reason: "no room" },
    { phase: "dropped", calls: "probe stop", tried: [["a"]], strikes: 1 },
  ],
  [
    "preparing",
    { kind: "host does not answer", reason: "it is away" },
    { outcome: "failed", calls: "probe" },
  ],
  ["preparing", cannotGoOn("name taken", "a/7"), { phase: "dropped", calls: "stop", tried: [[]] }],
  ["preparing", cannotGoOn("check failed", "no"), { phase: "dropped", calls: "stop", tried: [["a"]] }],
  ["preparing", cannotGoOn("lease lost"), { phase: "dropped", calls: "stop", isResting: true }],
  ["creating", cannotGoOn("request lost"), { phase: "dropped", calls: "stop", isResting: true }],
  ["creating", made, { phase: "created" }],
  ["created", { kind: "worker held" }, { outcome: "waiting" }],
  ["created", { kind: "worker of another", why: "it is b/1" }, { outcome: "failed" }],
  ["created", { kind: "associated" }, { phase: "starting" }],
  ["starting", { kind: "bootstrap read", bootstrap: new Secret("b") }, {}],
  ["starting", { kind: "go expired" }, {}],
  ["starting", { kind: "went" }, { phase: "running" }],
  ["starting", cannotGoOn("not configured"), { phase: "destroying", calls: "read probe", strikes: 1 }],
  ["running", { kind: "flushed" }, {}],
  ["running", { kind: "agent started again" }, {}],
  ["running", { kind: "agent not startable again" }, {}],
  ["running", { kind: "end refuted", isOnline: true }, { outcome: "waiting" }],
  [
    "running",
    { ...stands, end: { cause: "agent killed" } },
    { phase: "destroying", calls: "probe", strikes: 1 },
  ],
  ["running", { ...stands, end: { cause: "job done" }, isJobDone: true }, { phase: "destroying" }],
  [
    "running",
    { ...stands, end: { cause: "worker gone" }, isWorkerGone: true },
    { phase: "destroying", isResting: true },
  ],
  ["destroying", { kind: "owner told" }, { phase: "stopped", calls: "read stop" }],
  ["destroying", { kind: "stopped" }, { phase: "stopped" }],
  ["stopped", { kind: "deleted", record: null, left: null }, { phase: "destroyed" }],
])("one that is %s: %j", async (phase, learnt, expected) => {
  await using it = openStage({ rows: [instanceOf({ phase })] });
  it.workers.set("worker-a", workerOf());
  expect(await follows(it, learnt)).toEqual({ outcome: "done", phase, ...quiet, ...expected });
});

test("a worker that another instance has is not taken, and the lease is left to lapse", async () => {
  const other = instanceOf({ testbed: "b", phase: "created", worker: "worker-a" });
  await using it = openStage({ rows: [instanceOf({ phase: "creating" }), other] });
  expect(await follows(it, made)).toMatchObject({ phase: "dropped", isResting: true });
});

test("what a step read of the worker is newer than the list, whatever else it learnt", async () => {
  await using it = openStage({ rows: [instanceOf()] });
  const { server } = it.factory.known;
  server.list = { askedAtMs: 0, workers: new Map([["worker-a", workerOf()]]) };
  const worker = workerOf({ hold: true });
  await follows(it, { kind: "failed", reason: "no", seen: { id: "worker-a", worker } });
  expect(server.list.workers.get("worker-a")?.hold).toBe(true);
  await follows(it, { kind: "flushed", seen: { id: "worker-a", worker: null } });
  expect(server.list.workers.size).toBe(0);
});

test("an agent that was started again is counted, and one that cannot be is not tried any more", async () => {
  const row = instanceOf();
  await using it = openStage({ rows: [row] });
  const record = memoryOf(it.factory.known, row);
  await follows(it, { kind: "agent started again" });
  expect([record.resumed, record.look?.view]).toEqual([1, "alive"]);
  await follows(it, { kind: "agent not startable again" });
  expect(record.resumed).toBe(Number.POSITIVE_INFINITY);
});
