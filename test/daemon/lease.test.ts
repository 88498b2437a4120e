/** From a lease to a running agent: what is asked of the server, in which order, and what is never done. */
import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { takeIn } from "../../lib/daemon/server-findings.ts";
import { look } from "../../lib/daemon/server-wide.ts";
import { apply } from "../../lib/daemon/apply.ts";
import type { PreparingInstance } from "../../lib/words/domain.ts";
import { openStage, refusal, type Stage } from "./stage.ts";
import { at, configOf, gimlet, instanceOf, sidecar, testbedOf, workerOf } from "../policy/scenes.ts";
import { setView, remember } from "../../lib/daemon/instance-memory.ts";

const startMs = 1_000_000;
const twoBeds = { config: configOf([testbedOf(), testbedOf({ name: "b" })]) };
const asked = (it: Stage): string[] => it.calls.filter((call) => /^(renew|create|go)/.test(call));
const hang = (): Promise<never> => new Promise(() => undefined);

/** An armed instance whose lease is so old. */
function openArmed(leaseAgeMs: number): { it: Stage; instance: PreparingInstance } {
  const leasedAt = at(startMs - leaseAgeMs);
  const instance = instanceOf({ phase: "preparing", job: "job-1", leasedAt, createSentAt: null });
  const it = openStage({ rows: [instance] });
  it.leases.set("job-1", 0);
  return { it, instance };
}

describe("a lease", () => {
  test("that cannot be written down because another program writes the database is begun in a moment", async () => {
    await using it = openStage();
    await it.runUntil(() => it.count(/^lease/) > 0);
    const other = new Database(join(it.directory, "data.sqlite3"));
    it.queue.push("job-1");
    it.fate = (call) =>
      call === "lease" && it.queue.length > 0 ? void other.run("BEGIN IMMEDIATE") : undefined;
    await it.runUntil(() => it.said.some((line) => line.includes("cannot write the database")));
    it.fate = () => undefined;
    other.close();
    await it.run(5_000);
    expect(it.count(/^go /)).toBe(1);
  });

  test.each([
    [0, []],
    [45_000, []],
    [45_001, ["renew job-1"]],
    [59_999, ["renew job-1"]],
  ])("F14 that is %d ms old is renewed first where it is older than 45 s", async (ageMs, first) => {
    const { it, instance } = openArmed(ageMs);
    await using _ = it;
    const made = apply(it.factory, { kind: "create", instance });
    await it.clock.advance(10);
    await made;
    await it.runUntil(() => it.count(/^create/) > 0);
    expect(asked(it).filter((call) => !call.startsWith("go"))).toEqual([...first, "create job-1"]);
  });

  test("F14 whose renewal took too long is renewed once more before it is used", async () => {
    const { it, instance } = openArmed(50_000);
    await using _ = it;
    it.fate = (call) =>
      call.startsWith("renew") && it.count(/^renew/) === 1
        ? it.clock.sleep(46_000).then(() => ({ ok: true, value: true }))
        : undefined;
    const made = apply(it.factory, { kind: "create", instance });
    await it.clock.advance(47_000);
    await made;
    expect(asked(it)).toEqual(["renew job-1"]);
    await it.runUntil(() => it.count(/^create/) > 0);
    expect(asked(it).slice(0, 3)).toEqual(["renew job-1", "renew job-1", "create job-1"]);
  });

  test("F12 that is not ours any more is never used", async () => {
    const { it, instance } = openArmed(50_000);
    await using _ = it;
    it.leases.clear();
    const made = apply(it.factory, { kind: "create", instance });
    await it.clock.advance(10);
    await made;
    expect(asked(it)).toEqual(["renew job-1"]);
    expect(it.instance()).toBeUndefined();
  });

  test("is as old on the next testbed as it was on the one before", async () => {
    await using it = openStage(twoBeds);
    it.queue.push("job-1");
    it.fate = (call) =>
      call === "arm a_1"
        ? it.clock.sleep(46_000).then(() => ({ kind: "failed", reason: "no agent" }))
        : undefined;
    await it.runUntil(() => it.count(/^create/) > 0);
    expect(it.count(/^arm b_1/)).toBe(1);
    expect(asked(it).slice(0, 2)).toEqual(["renew job-1", "create job-1"]);
  });

  test("for a target that was not asked for is not used", async () => {
    await using it = openStage();
    it.fate = (call) =>
      call === "lease" ? { ok: true, value: { job: "job-1", target: sidecar } } : undefined;
    await it.runUntil(() => it.count(/^lease/) > 2);
    expect(it.count(/^arm/)).toBe(0);
  });
});

describe("a request for a worker whose answer was lost", () => {
  const lost = (call: string): unknown => {
    if (call.startsWith("renew")) return { ok: true, value: false };
    return call.startsWith("create") ? refusal(500, "it broke off") : undefined;
  };

  test("is not dropped while it may be on its way", async () => {
    await using it = openStage();
    it.queue.push("job-1");
    it.fate = lost;
    await it.runUntil(() => it.count(/^create/) > 0);
    await it.run(55_000);
    expect(it.instance()?.phase).toBe("creating");
    it.workers.set("late", workerOf({ id: "late", private: null, target: gimlet }));
    await it.runUntil(() => it.instance()?.worker === "late");
    expect(it.count(/^create/)).toBe(1);
  });

  test.each([
    ["has no job", { id: "jobless" }],
    ["is for another target", { target: sidecar }],
    ["is another instance's", { private: "x/1" }],
    ["is to be recycled", { recycle: true }],
  ])("does not adopt a worker that %s", async (_, over) => {
    await using it = openStage();
    it.queue.push("job-1");
    it.fate = lost;
    await it.runUntil(() => it.count(/^create/) > 0);
    const worker = workerOf({ id: "other", private: null, ...over });
    it.workers.set(worker.id, worker);
    await it.runUntil(() => it.instance() === undefined);
    expect(it.count(/^(associate|go)/)).toBe(0);
  });

  test("does not adopt the worker of another instance of ours that is not associated yet", async () => {
    const taken = instanceOf({ testbed: "b", phase: "created", worker: "other" });
    await using it = openStage({ ...twoBeds, rows: [taken] });
    it.workers.set("other", workerOf({ id: "other", private: null }));
    it.queue.push("job-1");
    it.fate = (call) => lost(call) ?? (/^(associate|arm b)/.test(call) ? hang() : undefined);
    await it.runUntil(() => it.count(/^create/) > 0);
    await it.run(30_000);
    expect(it.instance()?.worker).toBeNull();
  });
});

describe("a job that has a worker already", () => {
  const conflict = refusal(409, "job job-1 already assigned to worker 01HGYSTRYRBS0DG7J6E22ZS3M5");
  const taker = "01HGYSTRYRBS0DG7J6E22ZS3M5";

  test("goes on with it where it is ours", async () => {
    await using it = openStage();
    it.queue.push("job-1");
    it.workers.set(taker, workerOf({ id: taker, private: null }));
    it.fate = (call) => (call.startsWith("create") ? conflict : undefined);
    await it.runUntil(() => it.instance()?.phase === "running");
    expect(it.instance()?.worker).toBe(taker);
  });

  test.each([
    ["another factory's", undefined, refusal(403)],
    ["deleted", undefined, undefined],
    ["another instance's", workerOf({ id: taker, private: "x/1" }), undefined],
  ])("is left alone where that is %s", async (_, worker, read) => {
    await using it = openStage();
    it.queue.push("job-1");
    if (worker !== undefined) it.workers.set(taker, worker);
    it.fate = (call) => (call.startsWith("create") ? conflict : call.startsWith("read") ? read : undefined);
    await it.runUntil(() => it.count(/^create/) > 0);
    await it.run(1_000);
    expect(it.instance()).toBeUndefined();
    expect(it.count(/^(associate|go|delete)/)).toBe(0);
  });
});

describe("an associated worker", () => {
  async function openAssociated(over: Parameters<typeof workerOf>[0]): Promise<Stage> {
    const it = openStage();
    it.queue.push("job-1");
    it.fate = (call) => {
      if (!call.startsWith("associate")) return undefined;
      it.workers.set("worker-of-job-1", workerOf({ id: "worker-of-job-1", private: "a/1", ...over }));
      return refusal(401);
    };
    await it.runUntil(() => it.count(/^associate/) > 0);
    await it.run(20_000);
    return it;
  }

  test("that is held is not started before it is released", async () => {
    await using it = await openAssociated({ hold: true });
    expect(it.count(/^go/)).toBe(0);
    const worker = it.workers.get("worker-of-job-1");
    if (worker !== undefined) worker.hold = false;
    it.fate = () => undefined;
    await it.runUntil(() => it.instance()?.phase === "running");
  });

  test("F19 that is another instance's is never started nor deleted, and its job's owner reads why, once", async () => {
    await using it = await openAssociated({ private: "x/1" });
    expect(it.count(/^(go|stop|delete)/)).toBe(0);
    expect(it.count(/^append .*its worker belongs to x\/1/)).toBe(1);
  });

  test("that is to be recycled is not started", async () => {
    await using it = await openAssociated({ recycle: true });
    expect(it.count(/^go/)).toBe(0);
    expect(it.count(/^delete/)).toBe(1);
  });
});

describe("the loop", () => {
  test("has never more than 64 steps of this host under way", async () => {
    const names = Array.from({ length: 100 }, (_, number) => `bed-${number}`);
    await using it = openStage({
      config: configOf(names.map((name) => testbedOf({ name }))),
      rows: names.map((testbed) => instanceOf({ testbed, phase: "preparing", createSentAt: null })),
    });
    it.fate = (call) => (call.startsWith("arm") ? hang() : undefined);
    await it.run(5_000);
    expect(it.count(/^arm/)).toBe(64);
    expect(it.count(/^list/)).toBeGreaterThan(1);
  });

  test("keeps what an action learnt over a look that began before it", async () => {
    const instance = instanceOf();
    await using it = openStage({ rows: [instance] });
    it.agents.set("a_7", "armed");
    it.fate = (call) => (call.startsWith("look") ? it.clock.sleep(100) : undefined);
    const looked = look(it.factory, "", [instance]).then((found) => takeIn(it.factory, found));
    await it.clock.advance(10);
    setView(it.factory, instance, "alive");
    await it.clock.advance(200);
    await looked;
    expect(it.factory.known.instances.get("a/7")?.look).toMatchObject({ view: "alive", isStale: true });
  });

  test("looks again after a start when an end was reported while its first look was under way", async () => {
    await using it = openStage({ rows: [instanceOf()] });
    it.workers.set("worker-a", workerOf());
    const hints: (() => void)[] = [];
    it.factory.files.watch = (_, onChange) => {
      hints.push(onChange);
      return { close: () => undefined };
    };
    it.fate = async (call) => {
      if (!call.startsWith("look") || it.agents.has("a_7")) return undefined;
      await it.clock.sleep(100);
      it.agents.set("a_7", "exited");
      for (const hint of hints) hint();
      return [{ state: "alive", reason: null, output: null }];
    };
    await it.run(5_000);
    expect(hints).not.toEqual([]);
    expect(it.calls).toContain("stop a_7");
  });

  test("takes nothing from a look at an instance that has come further meanwhile", async () => {
    const instance = instanceOf({ phase: "starting" });
    await using it = openStage({ rows: [instance] });
    it.agents.set("a_7", "armed");
    it.fate = (call) => (call.startsWith("look") ? it.clock.sleep(100) : undefined);
    const looked = look(it.factory, "", [instance]).then((found) => takeIn(it.factory, found));
    await it.clock.advance(10);
    remember(it.factory.known, { ...instance, phase: "running" });
    await it.clock.advance(200);
    await looked;
    expect(it.factory.known.instances.get("a/7")?.look).toBeNull();
  });
});
