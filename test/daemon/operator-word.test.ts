/** An operator's word as the loop takes it up, and when it is believed: a real store, a server and a minder that say what a test wants. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Answer } from "../../lib/server/call.ts";
import { apply } from "../../lib/daemon/apply.ts";
import { takeWords } from "../../lib/daemon/operator-word.ts";
import type { EndingInstance, Instance } from "../../lib/words/domain.ts";
import type { Worker } from "../../lib/server/factory-side.ts";
import type { Log } from "../../lib/words/logger.ts";
import type { StopResult } from "../../lib/hosts/minder/minder-answer.ts";
import { workerView } from "../../lib/policy/server-view.ts";
import { openStore, type Store } from "../../lib/store/store.ts";
import { openWordWriter, type WordWriter } from "../../lib/store/operator-words.ts";
import { configOf, instanceOf, workerOf, type Said } from "../policy/scenes.ts";
import { createSettableClock } from "../lab/settable-clock.ts";
import { openMemory, type Factory } from "../../lib/daemon/memory.ts";
import { strike, rest, testbedMemory } from "../../lib/daemon/testbed-memory.ts";

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const word = { testbed: "a", seq: 7, because: "it burnt down" };

let directory: string;
let store: Store;
let writer: WordWriter;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "words-"));
  const path = join(directory, "data.sqlite3");
  store = openStore({ path, nowMs: 0, directoryOf: () => directory });
  writer = openWordWriter(path);
});
afterEach(() => {
  writer.close();
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

test("takeWords() does not touch an instance whose worker is held, and says so", () => {
  const { factory, instance } = open({ phase: "running" }, workerOf({ hold: true }));
  writer.leave([word]);
  // Said again.
  writer.leave([word]);
  takeWords(factory);
  expect(instance()).toMatchObject({ phase: "running", place: { way: "local" }, endReason: null });
  expect(writer.takeAnswers("a")).toMatchObject([{ isObeyed: false }]);
});

test("takeWords() waits for the first list, and for what is under way on the testbed", () => {
  const { factory, instance } = open({ phase: "running" });
  const { list } = factory.known.server;
  writer.leave([word]);
  factory.known.server.list = null;
  takeWords(factory);
  expect([instance()?.phase, writer.takeAnswers("a")]).toEqual(["running", null]);
  factory.known.server.list = list;
  factory.known.busy.add("testbed a");
  takeWords(factory);
  expect([instance()?.phase, writer.takeAnswers("a")]).toEqual(["running", null]);
  factory.known.busy.clear();
  factory.known.retryAtMs.set("testbed a", Number.POSITIVE_INFINITY);
  takeWords(factory);
  expect([instance()?.phase, factory.known.retryAtMs.size]).toEqual(["destroying", 0]);
  expect(writer.takeAnswers("a")).toMatchObject([{ isObeyed: true }]);
});

test("takeWords() ends the instance that was named and no other one", () => {
  const { factory, instance } = open({ phase: "running" });
  writer.leave([{ ...word, seq: 6 }]);
  takeWords(factory);
  expect(instance()?.phase).toBe("running");
  expect(writer.takeAnswers("a")).toEqual([{ isObeyed: true, text: "a/6 has already ended" }]);
});

test("takeWords() makes a stranger of the worker that an open request may still bring", () => {
  const { factory } = open({ phase: "creating", worker: null });
  writer.leave([word]);
  takeWords(factory);
  expect(factory.known.server.lastSettledMs).toBe(factory.clock.uptimeMs());
});

test("takeWords() ends strikes and a rest of a testbed without an instance", () => {
  const { factory } = open({ testbed: "b" });
  strike(factory, "a", "it fell");
  rest(factory, "a", "no worker", "job waits");
  writer.leave([{ ...word, seq: 0 }]);
  takeWords(factory);
  expect(testbedMemory(factory.known, "a")).toMatchObject({ health: null, rest: null });
  expect(writer.takeAnswers("a")).toEqual([{ isObeyed: true, text: "a can take the next job" }]);
});

test("stop() believes an operator after two looks that failed, and informs the job's owner first", async () => {
  const { factory, said, instance } = open({ phase: "starting" });
  const attempt = async (): Promise<string> =>
    (await apply(factory, { kind: "stop", instance: instance() as EndingInstance })).kind;
  writer.leave([word]);
  takeWords(factory);
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
