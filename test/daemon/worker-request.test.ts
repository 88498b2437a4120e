/** Requests for a worker and arming, where answers are lost or the world has changed meanwhile. */
import { describe, expect, test } from "bun:test";
import { apply } from "../../lib/daemon/apply.ts";
import type { Phase } from "../../lib/words/domain.ts";
import { openStage, refusal, type Stage } from "./stage.ts";
import {
  at,
  configOf,
  instanceOf,
  sidecar,
  testbedOf,
  workerOf,
  type Said,
  type OwnIn,
} from "../policy/scenes.ts";
import { remember } from "../../lib/daemon/instance-memory.ts";

const startMs = 1_000_000;
const twoBeds = { config: configOf([testbedOf(), testbedOf({ name: "b" })]) };
const asked = (it: Stage): string[] => it.calls.filter((call) => /^(renew|create|go)/.test(call));
const fresh = <P extends Phase>(over: Said & { phase: P }): OwnIn<P> =>
  instanceOf({ job: "job-1", leasedAt: at(startMs), createSentAt: at(startMs), ...over });
const firstAt = async (it: Stage, call: RegExp): Promise<number> => {
  await it.runUntil(() => it.count(call) > 0);
  return it.clock.uptimeMs();
};
/** As if another instance had got the worker while a call was under way. */
const give = (it: Stage, worker: string): undefined => {
  remember(it.factory.known, it.store.begin(instanceOf({ testbed: "b", phase: "created", worker })));
};

describe("a request for a worker", () => {
  test("whose answer was lost is repeated at once, while its lease still renews", async () => {
    const instance = fresh({ phase: "preparing", createSentAt: null });
    await using it = openStage({ rows: [instance] });
    it.leases.set("job-1", 0);
    it.fate = (call) =>
      call.startsWith("create") && it.count(/^create/) === 1 ? refusal(500, "it broke off") : undefined;
    const made = apply(it.factory, { kind: "create", instance });
    await it.clock.advance(10);
    expect((await made).kind).toBe("done");
    expect(asked(it)).toEqual(["create job-1", "renew job-1", "create job-1"]);
  });

  test.each([
    ["serves another target by now", configOf([testbedOf({ targets: ["sp-sidecar"] })])],
    ["is disabled by now", configOf([testbedOf({ enabled: false })])],
    ["is not configured any more", configOf([testbedOf({ name: "b" })])],
  ])("is not repeated if its testbed %s", async (_, config) => {
    await using it = openStage({ config, rows: [fresh({ phase: "creating" })] });
    it.leases.set("job-1", 0);
    await it.run(70_000);
    expect(it.count(/^create/)).toBe(0);
    expect(it.instance()).toBeUndefined();
  });

  test("says nothing in the job of a worker that another instance has", async () => {
    const taken = instanceOf({ testbed: "b", phase: "created", worker: "other" });
    await using it = openStage({ ...twoBeds, rows: [taken, fresh({ phase: "creating", isBound: false })] });
    it.workers.set("other", workerOf({ id: "other", private: null }));
    it.fate = (call) => (/^(associate|arm b)/.test(call) ? new Promise(() => undefined) : undefined);
    await it.run(30_000);
    expect(it.count(/^append other/)).toBe(0);
  });

  test("does not adopt a worker that another instance got while it was asked about", async () => {
    await using it = openStage({ ...twoBeds, rows: [fresh({ phase: "creating", isBound: false })] });
    it.workers.set("other", workerOf({ id: "other", private: null }));
    it.fate = (call) => (call.startsWith("append other") ? give(it, "other") : undefined);
    await it.runUntil(() => it.count(/^append other/) > 0);
    await it.run(1_000);
    expect(it.instance()?.worker).toBeNull();
  });

  test.each([
    ["answered", undefined],
    ["refused", refusal(409, "job job-1 already assigned to worker 01HGYSTRYRBS0DG7J6E22ZS3M5")],
  ])("that is %s with the worker of another instance starts nothing", async (_, answer) => {
    await using it = openStage(twoBeds);
    it.queue.push("job-1");
    const id = "01HGYSTRYRBS0DG7J6E22ZS3M5";
    it.workers.set(id, workerOf({ id, private: null }));
    it.fate = (call) => {
      if (!call.startsWith("create")) return undefined;
      give(it, id);
      return answer ?? { ok: true, value: workerOf({ id, private: null }) };
    };
    await it.runUntil(() => it.count(/^create/) > 0);
    await it.run(50);
    expect(it.instance()).toBeUndefined();
  });

  test.each([
    ["found its worker", "late"],
    ["came to nothing", null],
  ])("that %s: a worker without an instance is judged only by lists from after that", async (_, late) => {
    await using it = openStage({ rows: [fresh({ phase: "creating", isBound: false })] });
    it.workers.set("jobless", workerOf({ id: "jobless", private: null }));
    await it.run(20_000);
    if (late !== null) it.workers.set(late, workerOf({ id: late, private: null }));
    await it.runUntil(() => it.instance()?.phase !== "creating");
    const settledMs = it.clock.uptimeMs();
    expect((await firstAt(it, /^delete jobless/)) - settledMs).toBeGreaterThan(9_800);
  });
});

describe("a testbed that cannot be armed", () => {
  const failedArm = (call: string): unknown =>
    call.startsWith("arm") ? { kind: "failed", reason: "no room" } : undefined;

  test("for a worker that is there already ends it, and its job's owner reads why", async () => {
    await using it = openStage({ ...twoBeds, rows: [fresh({ phase: "created" })] });
    it.workers.set("worker-a", workerOf());
    it.fate = failedArm;
    await it.runUntil(() => it.instance() === undefined);
    expect(it.count(/^append worker-a .*preflight failed: no room/)).toBe(1);
    expect(it.count(/^delete worker-a/)).toBe(1);
    expect(it.count(/^arm b/)).toBe(0);
  });

  test("is not tried again for the same job, however many were tried since", async () => {
    await using it = openStage(twoBeds);
    it.queue.push("job-1");
    // By then the first one could take a job again.
    it.fate = (call) =>
      call === "arm b_1" ? it.clock.sleep(15_000).then(() => failedArm(call)) : failedArm(call);
    await it.runUntil(() => it.count(/^arm/) === 2);
    await it.run(58_000);
    expect(it.calls.filter((call) => call.startsWith("arm"))).toEqual(["arm a_1", "arm b_1"]);
  });

  test.each([
    ["service", { way: "sp-runner", spRunnerUrl: "http://old" }],
    [
      "host",
      {
        way: "ssh",
        ssh: {
          host: "old",
          user: "",
          port: null,
          key: null,
          hostKey: null,
          elevation: null,
          uid: 0,
        },
      },
    ],
  ] as const)("since it was moved from the %s of its row is not armed where it is now", async (_, over) => {
    const place = { directory: "/work/a_7", agent: "external", ...over } as const;
    await using it = openStage({ rows: [fresh({ phase: "preparing", createSentAt: null, place })] });
    it.leases.set("job-1", 0);
    await it.runUntil(() => it.count(/^stop a_7/) > 0);
    expect(it.count(/^(arm a_7|create)/)).toBe(0);
  });

  test("whose address leads to another machine than its row's is not armed there", async () => {
    const learnt = { host: "h", user: "", port: null, key: null, hostKey: null, elevation: null, uid: 0 };
    const place = { directory: "/work/a_7", agent: "external", way: "ssh" } as const;
    const ssh = { ...learnt, machine: "old" };
    await using it = openStage({
      config: configOf([testbedOf({ host: "h" })]),
      rows: [fresh({ phase: "preparing", createSentAt: null, place: { ...place, ssh } })],
    });
    const { hosts } = it.factory;
    const host = { ...hosts.here, ssh: { ...learnt, machine: "new" } };
    hosts.reach = () => Promise.resolve({ ok: true, host });
    it.leases.set("job-1", 0);
    await it.runUntil(() => it.count(/^stop a_7/) > 0);
    expect(it.count(/^(arm a_7|create)/)).toBe(0);
  });

  test("is not armed for a target that it no longer serves", async () => {
    await using it = openStage({
      rows: [fresh({ phase: "preparing", createSentAt: null, target: sidecar })],
    });
    await it.run(5_000);
    expect(it.count(/^(arm|create)/)).toBe(0);
  });
});
