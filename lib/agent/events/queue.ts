/**
 * A job's events on their way to the server: in order, in batches, a new batch as soon as the last was taken. It is
 * bounded: while it is full, a further event waits, and that stalls the pipe of the task that prints. It does not
 * know how a batch is sent or what becomes of one that the server refuses.
 */
import type { WorkerEvent } from "../../server/worker-side.ts";
import { batchBytes, batchEvents, queueBytes, queueEvents } from "./event-limits.ts";

export interface EventQueue {
  /** Resolves when the event is queued; rejects when the queue has failed. */
  put(event: WorkerEvent): Promise<void>;
  /** Resolves when all that was put has been sent. */
  flush(): Promise<void>;
}

/** `send` resolves when the batch needs no more thought; when it rejects, so does every waiting and later call. */
export function createEventQueue(send: (events: WorkerEvent[]) => Promise<void>): EventQueue {
  const queue: WorkerEvent[] = [];
  let bytes = 0;
  let isSending = false;
  let failure: { error: unknown } | null = null;
  let waiters: (() => void)[] = [];

  const isFull = (): boolean => queue.length >= queueEvents || bytes >= queueBytes;

  function takeBatch(): WorkerEvent[] {
    let count = 0;
    let taken = 0;
    for (const event of queue) {
      const size = sizeOf(event);
      if (count === batchEvents || (count > 0 && taken + size > batchBytes)) break;
      count += 1;
      taken += size;
    }
    bytes -= taken;
    return queue.splice(0, count);
  }

  async function sendAll(): Promise<void> {
    isSending = true;
    try {
      while (queue.length > 0) {
        const batch = takeBatch();
        wakeWaiters();
        await send(batch);
      }
    } catch (error) {
      failure = { error };
      queue.length = 0;
    }
    isSending = false;
    wakeWaiters();
  }

  function wakeWaiters(): void {
    const woken = waiters;
    waiters = [];
    for (const wake of woken) wake();
  }

  const change = (): Promise<void> => new Promise((resolve) => waiters.push(resolve));

  function throwFailure(): void {
    if (failure !== null) throw failure.error;
  }

  return {
    put: async (event) => {
      throwFailure();
      while (isFull()) {
        await change();
        throwFailure();
      }
      queue.push(event);
      bytes += sizeOf(event);
      if (!isSending) void sendAll();
    },
    flush: async () => {
      while (failure === null && (isSending || queue.length > 0)) await change();
      throwFailure();
    },
  };
}

function sizeOf(event: WorkerEvent): number {
  return Buffer.byteLength(event.payload) + 200;
}
