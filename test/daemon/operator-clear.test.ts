/** An operator's word as an act, and when it is believed: a real store, a server and a minder that say what a test wants. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Answer } from "../../lib/server/call.ts";
import { apply } from "../../lib/daemon/apply.ts";
import { actSchema, type ActAnswer } from "../../lib/control/act.ts";
import { clear } from "../../lib/daemon/operator-clear.ts";
import type { EndingInstance, Instance } from "../../lib/words/domain.ts";
import type { Worker } from "../../lib/server/factory-side.ts";
import type { Log } from "../../lib/words/logger.ts";
import type { StopResult } from "../../lib/hosts/minder/minder-answer.ts";
import { workerView } from "../../lib/policy/server-view.ts";
import { openStore, type Store } from "../../lib/store/store.ts";
import { configOf, instanceOf, workerOf, type Said } from "../policy/scenes.ts";
import { createSettableClock } from "../lab/settable-clock.ts";
import { openMemory, type Factory } from "../../lib/daemon/memory.ts";
import { strike, rest, testbedMemory } from "../../lib/daemon/testbed-memory.ts";

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
/** The word of ann about instances of the testbed `a`. */
const say = (factory: Factory, seqs = [7]): ActAnswer | null => {
  const act = actSchema.parse({ verb: "clear", testbed: "a", seqs, because: "it burnt down" });
  return clear(factory, { ...act, testbed: "a", who: "ann" }, true);
};

let directory: string;
let store: Store;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "words-"));
  const path = join(directory, "data.sqlite3");
  store = openStore({ path, nowMs: 0, directoryOf: () => directory });
});
afterEach(() => {
  store.close();
  rmSync(directory, { recursive: true, force: true });
});

function open(over: Said, worker = workerOf()) {
  store.begin(instanceOf(over));
  const said: { worker: Answer<Worker | null>; stopped: StopResult; calls: string[] } = {
    worker: { ok: true, value: worker },
    stopped: { kind: "cannot tell", reason: "no route to host" },
    calls: [],
  };
  const minder = {
    stop: (_: string, { isVouched }: { isVouched?: boolean }) => {
      said.calls.push(isVouched === true ? "stop, vouched" : "stop");
      return Promise.resolve(said.stopped);
    },
    tail: () => Promise.resolve({ ok: false, reason: "no route to host" }),
  };
  const api = {
    worker: () => Promise.resolve(said.worker),
    append: (_: string, { payload }: { payload: string }) => {
      said.calls.push(payload);
      return Promise.resolve({ ok: true, value: false });
    },
  };
  const clock = createSettableClock();
  const hosts = { minderOf: () => minder };
  const parts = { config: configOf([]), store, clock, log: silent, api, hosts };
  const factory = { ...parts, known: openMemory(store, clock) } as unknown as Factory;
  factory.known.server.list = { askedAtMs: clock.uptimeMs(), workers: new Map([[worker.id, worker]]) };
  return { factory, said, instance: (): Instance | undefined => store.open()[0] };
}

test("clear() does not touch an instance whose worker is held, and says so", () => {
  const { factory, instance } = open({ phase: "running" }, workerOf({ hold: true }));
  expect(say(factory)).toMatchObject({ isDone: false });
  expect(instance()).toMatchObject({ phase: "running", place: { way: "local" }, endReason: null });
  expect(store.journal({ most: 9 })).toEqual([]);
});

test("clear() waits for the first list, and for what is under way on the testbed", () => {
  const { factory, instance } = open({ phase: "running" });
  const { list } = factory.known.server;
  factory.known.server.list = null;
  expect([say(factory), instance()?.phase]).toEqual([null, "running"]);
  factory.known.server.list = list;
  factory.known.busy.add("testbed a");
  expect([say(factory), instance()?.phase]).toEqual([null, "running"]);
  factory.known.busy.clear();
  factory.known.retryAtMs.set("testbed a", Number.POSITIVE_INFINITY);
  expect(say(factory)).toMatchObject({ isDone: true });
  expect([instance()?.phase, factory.known.retryAtMs.size]).toEqual(["destroying", 0]);
  // What it knows is what was committed.
  expect(factory.known.instances.get("a/7")?.row).toMatchObject({ phase: "destroying", isCleared: true });
  const [{ entry } = { entry: null }] = store.journal({ most: 9 });
  expect(entry).toMatchObject({ verb: "clear", testbed: "a", who: "ann", note: "it burnt down" });
});

test("clear() ends the instance that was named and no other one", () => {
  const { factory, instance } = open({ phase: "running" });
  expect(say(factory, [6])).toEqual({ isDone: true, lines: ["a/6 has already ended"] });
  expect(instance()?.phase).toBe("running");
});

test("clear() makes a stranger of the worker that an open request may still bring", () => {
  const { factory } = open({ phase: "creating", worker: null });
  say(factory);
  expect(factory.known.server.lastSettledMs).toBe(factory.clock.uptimeMs());
});

test("clear() ends strikes and a rest of a testbed without an instance", () => {
  const { factory } = open({ testbed: "b" });
  strike(factory, "a", "it fell");
  rest(factory, "a", "no worker", "job waits");
  expect(say(factory, [])).toEqual({ isDone: true, lines: ["a can take the next job"] });
  expect(testbedMemory(factory.known, "a")).toMatchObject({ health: null, rest: null });
  expect(store.health().size).toBe(0);
});

test("stop() believes an operator after two looks that failed, and informs the job's owner first", async () => {
  const { factory, said, instance } = open({ phase: "starting" });
  const attempt = async (): Promise<string> =>
    (await apply(factory, { kind: "stop", instance: instance() as EndingInstance })).kind;
  say(factory);
  // A server that does not answer says nothing of the host.
  said.worker = { ok: false, refusal: "no answer", status: null, message: "connection refused" };
  factory.known.failures.set("testbed a", { count: 9, message: null });
  expect(await attempt()).toBe("outage");
  said.worker = { ok: true, value: workerOf() };
  expect([await attempt(), await attempt(), instance()?.phase]).toEqual(["failed", "failed", "destroying"]);
  said.worker = { ok: true, value: workerOf({ hold: true }) };
  expect([await attempt(), instance()?.phase]).toEqual(["waiting", "destroying"]);
  said.worker = { ok: true, value: workerOf() };
  said.stopped = { kind: "unkillable", reason: "process 7 does not end" };
  expect([await attempt(), instance()?.phase]).toEqual(["failed", "destroying"]);
  said.stopped = { kind: "cannot tell", reason: "no route to host" };
  expect([await attempt(), instance()?.phase]).toEqual(["done", "stopped"]);
  const line = "the testbed's factory ends this job: an operator cleared the testbed: it burnt down";
  expect(said.calls).toEqual([line, ...Array.from({ length: 4 }, () => "stop, vouched")]);
});

test("stop() without an operator's word proves nothing by failing", async () => {
  const { factory, said, instance } = open({ phase: "destroying" });
  for (let look = 1; look <= 5; look += 1) {
    expect(await apply(factory, { kind: "stop", instance: instance() as EndingInstance })).toEqual({
      kind: "failed",
      reason:
        "cannot stop the agent: no route to host; once nothing of it runs any more: clear a --because TEXT",
    });
  }
  expect(instance()?.phase).toBe("destroying");
  expect(new Set(said.calls)).toEqual(new Set(["stop"]));
});

test("workerView() of a cleared instance takes a worker of another instance for none", () => {
  const { factory } = open({ phase: "destroying" }, workerOf({ private: "b/1" }));
  const seen = (isCleared: boolean): string => workerView(instanceOf({ isCleared }), factory.known.server);
  expect([seen(false), seen(true)]).toEqual(["foreign", "gone"]);
});
