import { describe, expect, test } from "bun:test";
import { createEventQueue } from "../../../lib/agent/events/queue.ts";
import type { WorkerEvent } from "../../../lib/server/worker-side.ts";

const event = (payload: string): WorkerEvent => ({ stream: "stdout", time: "2026-01-01T00:00:00Z", payload });

/** A server that answers each batch when the test says so. */
function createSink() {
  const batches: string[][] = [];
  const open: PromiseWithResolvers<void>[] = [];
  return {
    batches,
    send: (events: WorkerEvent[]): Promise<void> => {
      batches.push(events.map(({ payload }) => payload));
      const answer = Promise.withResolvers<void>();
      open.push(answer);
      return answer.promise;
    },
    answer: async () => {
      open.shift()?.resolve();
      await Bun.sleep(0);
    },
    refuse: async () => {
      open.shift()?.reject(new Error("over"));
      await Bun.sleep(0);
    },
  };
}

describe("createEventQueue()", () => {
  test("sends the first event at once and the next batch as soon as it is answered", async () => {
    const sink = createSink();
    const queue = createEventQueue(sink.send);
    for (const name of ["a", "b", "c"]) await queue.put(event(name));
    expect(sink.batches).toEqual([["a"]]);
    await sink.answer();
    expect(sink.batches).toEqual([["a"], ["b", "c"]]);
    const flushed = queue.flush();
    await sink.answer();
    await flushed;
  });

  test("puts at most 100 events into a batch, in order", async () => {
    const sink = createSink();
    const queue = createEventQueue(sink.send);
    for (let count = 0; count < 202; count += 1) await queue.put(event(String(count)));
    for (let count = 0; count < 4; count += 1) await sink.answer();
    expect(sink.batches.map(({ length }) => length)).toEqual([1, 100, 100, 1]);
    expect(sink.batches.flat()).toEqual(Array.from({ length: 202 }, (_, index) => String(index)));
  });

  test("bounds a batch by bytes too, so that its JSON stays under 10 MiB at worst", async () => {
    const sink = createSink();
    const queue = createEventQueue(sink.send);
    const nul = "\0".repeat(64 * 1024);
    for (let count = 0; count < 30; count += 1) await queue.put(event(nul));
    await sink.answer();
    const json = JSON.stringify(sink.batches[1]);
    expect(json.length).toBeLessThan(10 * 1024 * 1024);
    expect(sink.batches[1]?.length).toBeGreaterThan(10);
  });

  test.each([
    ["events", 1, 257],
    ["bytes", 64 * 1024, 33],
  ])("is full with so many %s, and then an event waits", async (_, bytes, most) => {
    const sink = createSink();
    const queue = createEventQueue(sink.send);
    let put = 0;
    const flood = (async () => {
      for (let count = 0; count < 1000; count += 1) {
        await queue.put(event("x".repeat(bytes)));
        put += 1;
      }
    })();
    await Bun.sleep(0);
    expect(put).toBeLessThanOrEqual(most);
    while (put < 1000) await sink.answer();
    await flood;
  });

  test("flush() waits for the batch that is on its way", async () => {
    const sink = createSink();
    const queue = createEventQueue(sink.send);
    await queue.put(event("a"));
    let isFlushed = false;
    const flushed = queue.flush().then(() => (isFlushed = true));
    await Bun.sleep(0);
    expect(isFlushed).toBe(false);
    await sink.answer();
    await flushed;
  });

  test("when sending fails, waiting and later calls fail", async () => {
    const sink = createSink();
    const queue = createEventQueue(sink.send);
    await queue.put(event("a"));
    const waiting = Promise.allSettled([queue.flush()]);
    await sink.refuse();
    expect((await waiting)[0]).toMatchObject({ status: "rejected" });
    expect(queue.put(event("b"))).rejects.toThrow("over");
    expect(queue.flush()).rejects.toThrow("over");
  });

  test("an event that waits for room fails too: none is taken that nobody will send", async () => {
    const sink = createSink();
    const queue = createEventQueue(sink.send);
    for (let count = 0; count < 257; count += 1) await queue.put(event(String(count)));
    const waiting = Promise.allSettled([queue.put(event("last"))]);
    await sink.refuse();
    expect((await waiting)[0]).toMatchObject({ status: "rejected", reason: new Error("over") });
    expect(sink.batches).toHaveLength(1);
  });
});
