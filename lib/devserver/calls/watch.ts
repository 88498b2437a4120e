/** A job's changes as a stream of server-sent events (lib/devserver/README.md "Watching a job"). */
import type { Clock } from "../../doors/clock.ts";
import { jobState } from "../model/jobs.ts";
import type { JobRecord, State } from "../model/state.ts";

/** After this much silence a comment is sent, so that a proxy does not take the connection for dead. */
const silenceMs = 5000;

/** `after` is the number of the last event that is not sent. */
export function watchJob(state: State, clock: Clock, job: JobRecord, after: number): Response {
  const encoder = new TextEncoder();
  const over = new AbortController();
  let sent = after;
  let shown: string | null = null;
  let lastSentMs = clock.uptimeMs();

  const open = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
    const send = (record: string): void => {
      lastSentMs = clock.uptimeMs();
      controller.enqueue(encoder.encode(record));
    };
    if (job.isComplete) {
      // There are no changes to wait for: the client must look at the job itself.
      send("event: check\ndata: -\n\n");
      controller.close();
      return;
    }
    /** The state first, then the events, as the server reads them. */
    const update = (): void => {
      const now = jobState(job);
      if (now !== shown) send(`event: state\nid: seq-${sent}\ndata: ${now}\n\n`);
      shown = now;
      for (const event of job.events.slice(sent)) {
        send(`event: job\nid: seq-${event.seq}\ndata: ${JSON.stringify(event)}\n\n`);
        sent = event.seq;
      }
      if (job.isComplete) end();
    };
    const end = (): void => {
      if (over.signal.aborted) return;
      over.abort();
      controller.close();
    };
    job.watchers.add(update);
    state.watches.add(end);
    over.signal.addEventListener("abort", () => {
      job.watchers.delete(update);
      state.watches.delete(end);
    });
    update();
    void breakSilence(send);
  };

  const breakSilence = async (send: (record: string) => void): Promise<void> => {
    while (!over.signal.aborted) {
      const silentMs = clock.uptimeMs() - lastSentMs;
      if (silentMs >= silenceMs) send(": nothing happens\n");
      await clock.sleep(silentMs >= silenceMs ? silenceMs : silenceMs - silentMs, over.signal);
    }
  };

  return new Response(new ReadableStream<Uint8Array>({ start: open, cancel: () => over.abort() }), {
    headers: {
      "content-type": "text/event-stream",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
    },
  });
}

/** Only events after the newest, unless `minseq` or the header of a client that reconnects asks for earlier ones. */
export function watchAfter(job: JobRecord, minseq: string | null, lastEventId: string | null): number {
  const after = minseq === null ? job.events.length : Math.max(0, Number(minseq) - 1);
  const seen = /^seq-(\d+)$/.exec(lastEventId ?? "")?.[1];
  return seen === undefined ? after : Math.min(after, Number(seen));
}
