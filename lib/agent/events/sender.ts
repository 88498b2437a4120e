/** Events on their way to one stream of the server's, a batch at a time, whatever becomes of a batch (test/FAULTS.md F01). */
import type { Answer } from "../../server/call.ts";
import type { Clock } from "../../doors/clock.ts";
import type { Log } from "../../words/logger.ts";
import type { WorkerEvent } from "../../server/worker-side.ts";
import type { JobCalls } from "../job-calls.ts";

export interface SenderOptions {
  append(events: WorkerEvent[]): Promise<Answer<void>>;
  calls: JobCalls;
  clock: Clock;
  log: Log;
}

/** How often the log says that events flow. */
const countEveryMs = 10_000;

/** Resolves when the server has the batch, or will never take it. Rejects when the job is over. */
export function createSender(options: SenderOptions): (events: WorkerEvent[]) => Promise<void> {
  const { calls, clock, log } = options;
  let sent = 0;
  let countedMs = clock.uptimeMs();
  const append = (events: WorkerEvent[]): Promise<Answer<void>> =>
    calls.insist("events", "ends the job", () => options.append(events));

  async function send(events: WorkerEvent[]): Promise<void> {
    const answer = await append(events);
    if (!answer.ok) return await sendParts(events, answer.message);
    sent += events.length;
    if (clock.uptimeMs() - countedMs < countEveryMs) return;
    countedMs = clock.uptimeMs();
    log.info(`${sent} events sent`);
  }

  /** The server takes a batch whole or not at all: what it refuses is found by halves, and replaced by a note. */
  async function sendParts(events: WorkerEvent[], why: string): Promise<void> {
    const [event] = events;
    if (event === undefined) return;
    if (events.length > 1) {
      const half = events.length >> 1;
      await send(events.slice(0, half));
      await send(events.slice(half));
      return;
    }
    const bytes = Buffer.byteLength(event.payload);
    log.warn(`an event of ${bytes} bytes was refused by the server: ${why}`);
    const note = { ...event, payload: `${bytes} bytes of output were refused by the server` };
    const answer = await append([note]);
    if (!answer.ok) log.warn(`the note of it was refused too: ${answer.message}`);
  }

  return send;
}
