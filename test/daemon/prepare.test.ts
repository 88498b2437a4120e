/** What has no worker yet, and how it is dropped: a real store, a server and a minder that say what a test wants. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Answer } from "../../lib/server/call.ts";
import { noCover } from "../../lib/hosts/covered-paths.ts";
import { follow } from "../../lib/daemon/consequences.ts";
import { cannotGoOn, type Outcome } from "../../lib/daemon/outcome.ts";
import { apply } from "../../lib/daemon/apply.ts";
import type { Instance, PreparingInstance } from "../../lib/words/domain.ts";
import type { Worker } from "../../lib/server/factory-side.ts";
import type { Log } from "../../lib/words/logger.ts";
import type { ArmResult, StopResult } from "../../lib/hosts/minder/minder-answer.ts";
import { openStore, type Store } from "../../lib/store/store.ts";
import { configOf, gimlet, instanceOf, testbedOf, workerOf, type Said } from "../policy/scenes.ts";
import { createSettableClock } from "../lab/settable-clock.ts";
import { openMemory, type Factory } from "../../lib/daemon/memory.ts";

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const unreachable = { kind: "cannot tell", reason: "no route to host" } as const;
const refused = <T>(refusal: "forbidden" | "no answer"): Answer<T> => ({
  ok: false,
  refusal,
  status: refusal === "forbidden" ? 403 : 500,
  message: "no",
});

let directory: string;
let store: Store;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "prepare-"));
  store = openStore({ path: join(directory, "data.sqlite3"), nowMs: 0, directoryOf: () => directory });
});
afterEach(() => {
  store.close();
  rmSync(directory, { recursive: true, force: true });
});

function open(...instances: Said[]) {
  const clock = createSettableClock();
  const now = (): Instance["leasedAt"] => ({ bootId: clock.bootId, uptimeMs: clock.uptimeMs() });
  for (const over of instances) {
    const sent = over.phase === "creating" ? now() : null;
    store.begin(instanceOf({ leasedAt: now(), createSentAt: sent, ...over }));
  }
  const said: {
    stopped: StopResult;
    armed: ArmResult;
    renewed: Answer<boolean>;
    workers: Worker[];
    calls: string[];
  } = {
    stopped: unreachable,
    armed: unreachable,
    renewed: { ok: true, value: false },
    workers: [],
    calls: [],
  };
  const minder = {
    probe: () => Promise.resolve({ ok: false, reason: "no route to host" }),
    stop: (_: string, { isVouched }: { isVouched?: boolean }) => {
      said.calls.push(isVouched === true ? "stop, vouched" : "stop");
      return Promise.resolve(said.stopped);
    },
    arm: () => {
      said.calls.push("arm");
      return Promise.resolve(said.armed);
    },
  };
  const agent = { kind: "built-in", argv: [], bmat: [] };
  const host = { minder, agent, workDirectory: "/w", path: "", cover: noCover };
  const here = { ...host, user: { name: "lab", home: "/h" }, ssh: null };
  const api = {
    renew: () => Promise.resolve(said.renewed),
    workers: () => Promise.resolve({ ok: true, value: said.workers }),
    append: () => Promise.resolve({ ok: true, value: false }),
  };
  const hosts = { here, minderOf: () => minder };
  const config = configOf([testbedOf(), testbedOf({ name: "b" })]);
  const known = openMemory(store, clock);
  known.startedMs = clock.uptimeMs();
  known.server.answeringSinceMs = clock.uptimeMs();
  const factory = { config, store, clock, log: silent, api, hosts, known } as unknown as Factory;
  const get = (testbed = "a"): PreparingInstance =>
    (known.instances.get(`${testbed}/7`)?.row ?? instanceOf({ testbed })) as PreparingInstance;
  const phases = (): string[] => store.latest().map(({ testbed, phase }) => `${testbed} ${phase}`);
  return { factory, clock, said, get, phases };
}

const drop = (factory: Factory, instance: Instance): Promise<Outcome> =>
  follow(factory, instance, cannotGoOn("request lost"));
const take = (
  factory: Factory,
  kind: "arm" | "create" | "settle",
  instance: PreparingInstance,
): Promise<Outcome> => apply(factory, { kind, instance });

describe("an instance without a worker that cannot go on F90", () => {
  test.each(["preparing", "creating"] as const)(
    "one that is %s goes without proof three minutes after a minder may have been armed, by this run's own clock",
    async (phase) => {
      const { factory, clock, said, get, phases } = open({
        phase,
        leasedAt: { bootId: "another boot", uptimeMs: 0 },
      });
      await clock.advance(179_999);
      expect(await drop(factory, get())).toEqual({
        kind: "failed",
        reason: "cannot disarm: no route to host",
      });
      expect([phases(), said.calls]).toEqual([[`a ${phase}`], ["stop"]]);
      await clock.advance(1);
      expect((await drop(factory, get())).kind).toBe("done");
      expect([phases(), said.calls]).toEqual([["a dropped"], ["stop", "stop, vouched"]]);
    },
  );

  test("counts from the last attempt to arm", async () => {
    const { factory, clock, get, phases } = open({ phase: "preparing" });
    await clock.advance(59_000);
    expect((await take(factory, "arm", get())).kind).toBe("failed");
    await clock.advance(179_999);
    expect((await drop(factory, get())).kind).toBe("failed");
    await clock.advance(1);
    expect([(await drop(factory, get())).kind, phases()]).toEqual(["done", ["a dropped"]]);
  });

  test("never drops what is seen alive and does not end", async () => {
    const { factory, clock, said, get, phases } = open({ phase: "preparing" });
    said.stopped = { kind: "unkillable", reason: "process 7 does not end" };
    await clock.advance(999_999);
    expect([(await drop(factory, get())).kind, phases()]).toEqual(["failed", ["a preparing"]]);
  });
});

test("arm() does not arm for a job whose lease is lost, so that what cannot be reached is dropped in time", async () => {
  const { factory, clock, said, get, phases } = open({ phase: "preparing" });
  await clock.advance(60_000);
  await take(factory, "arm", get());
  expect(said.calls).toEqual(["arm"]);
  await clock.advance(1);
  await take(factory, "arm", get());
  await clock.advance(180_000);
  await take(factory, "arm", get());
  expect([said.calls, phases()]).toEqual([["arm", "stop", "stop, vouched"], ["a dropped"]]);
});

test("F12 create() drops a job whose lease the server refuses to renew, once it must be lost", async () => {
  const { factory, clock, said, get, phases } = open({ phase: "preparing" });
  said.stopped = { kind: "stopped" };
  said.renewed = refused("forbidden");
  await clock.advance(60_000);
  expect([(await take(factory, "create", get())).kind, phases()]).toEqual(["failed", ["a preparing"]]);
  await clock.advance(1);
  expect([(await take(factory, "create", get())).kind, phases()]).toEqual(["done", ["a dropped"]]);
});

describe("settle()", () => {
  test.each<["forbidden" | "no answer", string]>([
    ["forbidden", "a dropped"],
    ["no answer", "a creating"],
  ])("where the lease is not renewed (%s): %s", async (refusal, phase) => {
    const { factory, clock, said, get, phases } = open({ phase: "creating" });
    said.stopped = { kind: "stopped" };
    said.renewed = refused(refusal);
    await clock.advance(60_000);
    await take(factory, "settle", get());
    expect(phases()).toEqual([phase]);
  });

  test("waits for an older request of its target, but not for ever for one that cannot be settled", async () => {
    const { factory, clock, said, get, phases } = open(
      { phase: "creating", begunMs: 1 },
      { phase: "creating", testbed: "b", begunMs: 2 },
    );
    said.workers = [workerOf({ id: "W", private: null, target: gimlet })];
    await clock.advance(299_999);
    expect(await take(factory, "settle", get("b"))).toEqual({ kind: "waiting", ms: 1000 });
    await clock.advance(1);
    expect((await take(factory, "settle", get("b"))).kind).toBe("done");
    expect(phases().toSorted()).toEqual(["a creating", "b created"]);
  });

  test("counts only the time in which the server answers", async () => {
    const { factory, clock, get } = open(
      { phase: "creating", begunMs: 1 },
      { phase: "creating", testbed: "b", begunMs: 2 },
    );
    await clock.advance(999_999);
    factory.known.server.answeringSinceMs = clock.uptimeMs();
    expect(await take(factory, "settle", get("b"))).toEqual({ kind: "waiting", ms: 1000 });
  });
});
