/** A step of an instance asks its one outside thing and says what it learnt; it needs no factory for that. */
import { describe, expect, test } from "bun:test";
import { InstanceMemory } from "../../lib/daemon/instance-memory.ts";
import type { Learnt } from "../../lib/daemon/outcome.ts";
import { associate, flush, go } from "../../lib/daemon/start.ts";
import type { GoResult } from "../../lib/hosts/minder/minder-answer.ts";
import type { Answer } from "../../lib/server/call.ts";
import type { Worker } from "../../lib/server/factory-side.ts";
import { createSettableClock } from "../lab/settable-clock.ts";
import { configOf, instanceOf, workerOf } from "../policy/scenes.ts";
import { refusal } from "./stage.ts";

const ok = <Value>(value: Value): Answer<Value> => ({ ok: true, value });
const away = refusal(500, "it broke off");
const kinds = (learnt: Learnt): string => ("end" in learnt ? learnt.end.cause : learnt.kind);

describe("associate()", () => {
  const instance = instanceOf({ phase: "created" });
  async function learn(
    associated: Answer<void>,
    read: Answer<Worker | null>,
    record = new InstanceMemory(instance),
  ): Promise<{ learnt: Learnt; lines: string[] }> {
    const lines: string[] = [];
    const api = {
      associate: () => Promise.resolve(associated),
      worker: () => Promise.resolve(read),
      append: (_: string, { payload }: { payload: string }) => {
        lines.push(payload);
        return Promise.resolve(ok(false));
      },
    };
    const known = { instances: new Map([["a/7", record]]) };
    return { learnt: await associate({ api, clock: createSettableClock(), known }, instance), lines };
  }

  test.each<[string, Answer<void>, Answer<Worker | null>]>([
    ["associated", ok(undefined), ok(workerOf())],
    ["worker held", ok(undefined), ok(workerOf({ hold: true }))],
    ["worker gone", ok(undefined), ok(null)],
    ["worker recycled", ok(undefined), ok(workerOf({ recycle: true }))],
    // Said before, by a call whose answer was lost.
    ["associated", refusal(409), ok(workerOf())],
    ["worker of another", refusal(409), ok(workerOf({ private: "b/1" }))],
    ["outage", refusal(503), ok(workerOf())],
    ["outage", ok(undefined), refusal(503)],
  ])("learns: %s", async (kind, associated, read) => {
    const { learnt } = await learn(associated, read);
    expect(kinds(learnt)).toBe(kind);
    if (kind !== "outage")
      expect(learnt.seen).toEqual({ id: "worker-a", worker: read.ok ? read.value : null });
  });

  test("has the job's owner read once why the job hangs", async () => {
    const record = new InstanceMemory(instance);
    const another = ok(workerOf({ private: "b/1" }));
    expect((await learn(refusal(409), another, record)).lines).toEqual([
      "the testbed's factory cannot start this job: its worker belongs to b/1",
    ]);
    record.isAlarmTold = true;
    expect((await learn(refusal(409), another, record)).lines).toEqual([]);
  });
});

describe("go()", () => {
  const learn = async (gone: GoResult, read: Answer<Worker | null>, over = {}): Promise<Learnt> => {
    const hosts = { minderOf: () => ({ go: () => Promise.resolve(gone) }) };
    const api = { worker: () => Promise.resolve(read) };
    return await go({ api, hosts, config: configOf([]) }, instanceOf({ phase: "starting", ...over }));
  };

  test.each<[string, GoResult]>([
    ["went", { kind: "went" }],
    ["go expired", { kind: "expired" }],
    ["failed", { kind: "cannot tell", reason: "no answer" }],
  ])("learns from the minder: %s", async (kind, gone) => {
    expect(kinds(await learn(gone, away))).toBe(kind);
  });

  test.each<[string, Answer<Worker | null>]>([
    ["bootstrap read", ok(workerOf())],
    ["worker gone", ok(null)],
    ["failed", away],
  ])("reads a bootstrap that it lacks before it calls the minder: %s", async (kind, read) => {
    expect(kinds(await learn({ kind: "went" }, read, { bootstrap: null }))).toBe(kind);
  });
});

test.each([
  ["flushed", ok(undefined)],
  ["failed", away],
])("flush() learns: %s", async (kind, answer) => {
  const api = { flush: () => Promise.resolve(answer) };
  expect(kinds(await flush({ api }, instanceOf({ phase: "running" })))).toBe(kind);
});
