/** A small job that does not come to its end leaves nothing in the server's queue. */
import { expect, test } from "bun:test";
import { proveBySmallJob, type SmallJobDoors } from "../../../lib/commands/selftest/small-job.ts";
import type { Job } from "../../../lib/devserver/customer.ts";
import { createSettableClock } from "../../lab/settable-clock.ts";

const id = "01M850P0K099E9F8GHWJ7VBZWM";
const small = { testbed: "a", target: { name: "sp", id } };
const good = <T>(value: T) => Promise.resolve({ ok: true as const, value });

function doorsOf(over: Partial<SmallJobDoors["api"]>): { doors: SmallJobDoors; cancelled: string[] } {
  const cancelled: string[] = [];
  const api: SmallJobDoors["api"] = {
    submitJob: () => good({ id }) as never,
    targetOf: () => good(null),
    uploadInput: () => good(undefined) as never,
    job: () => good({ state: "queued" } as Job),
    events: () => good([]),
    outputs: () => good([]),
    cancel: (job) => {
      cancelled.push(job);
      return good(undefined);
    },
    ...over,
  };
  const doors: SmallJobDoors = {
    api,
    clock: createSettableClock(),
    claim: () => Promise.resolve(null),
    whyNot: () => Promise.resolve(null),
    signal: AbortSignal.abort(),
  };
  return { doors, cancelled };
}

test("it is cancelled also if asking the factory fails", async () => {
  const { doors, cancelled } = doorsOf({});
  const claim = (): Promise<never> => Promise.reject(new Error("no factory"));
  const proof = proveBySmallJob(small, { ...doors, claim });
  expect(await proof.catch((error: unknown) => String(error))).toBe("Error: no factory");
  expect(cancelled).toEqual([id]);
});

test("one that cannot be cancelled is named", async () => {
  const refusal = { ok: false, message: "the server is away" } as never;
  const { doors } = doorsOf({ cancel: () => Promise.resolve(refusal) });
  const { fault } = await proveBySmallJob(small, doors);
  expect(fault).toBe(`cancelled; job ${id} is left on the server: the server is away`);
});

test("one that has failed by itself is not cancelled", async () => {
  const { doors, cancelled } = doorsOf({ job: () => good({ state: "failed", times: {} } as Job) });
  const { fault } = await proveBySmallJob(small, { ...doors, signal: new AbortController().signal });
  expect(fault).toStartWith("the job failed");
  expect(cancelled).toEqual([]);
});
