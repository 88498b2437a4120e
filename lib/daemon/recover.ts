/**
 * What a start does before the loop: finds the Rust factory's agents, learns which seqs were ever used, and makes rows of
 * instances that only their directories still tell of (a lost or older database).
 */
import { z } from "zod";
import { directoryName, type Instance, instanceName } from "../domain.ts";
import { errorText } from "../failure.ts";
import type { Recalled } from "../minder/minder.ts";
import { isPassing } from "../store.ts";
import { locateFormer } from "./former.ts";
import { probeHost } from "./isolation.ts";
import { type Factory, logFor, noteSeqs } from "./known.ts";

const intentSchema = z.object({
  testbed: z.string(),
  seq: z.number().int(),
  target: z.string(),
  job: z.string().nullable(),
  isBound: z.boolean(),
  cookie: z.string(),
  place: z.object({
    way: z.enum(["local", "ssh", "sp-runner"]),
    directory: z.string(),
    agent: z.enum(["external", "built-in"]),
  }),
  leasedAt: z.object({ bootId: z.string(), uptimeMs: z.number() }),
  startTimeoutMs: z.number(),
  jobTimeoutMs: z.number().nullable(),
  silenceTimeoutMs: z.number().nullable(),
  begunMs: z.number(),
});

const recallAgainMs = 5_000;

export async function recover(factory: Factory, stopped: AbortSignal): Promise<void> {
  const { files, minder, store, known, workDirectory, log } = factory;
  await locateFormer(factory);
  const names = await files.list(workDirectory);
  noteSeqs(
    factory,
    names.map((name) => name.replace(/_(\d+)$/, "/$1")),
  );
  const recalled = await recallUntilAnswered(factory, stopped);
  if (!stopped.aborted) await probeHost(factory);
  for (const { directory, intentJson, worker } of recalled) {
    const instance = readIntent(intentJson, directory, worker);
    if (instance === null || known.instances.has(instanceName(instance))) continue;
    if (store.largestSeq(instance.testbed) >= instance.seq) continue;
    const [view] = await minder.look([directory]);
    // What is proved to be over needs no row; anything else may still hold the testbed.
    const isOver = view !== undefined && view.process === "dead" && view.minder === "dead";
    if (isOver) continue;
    try {
      store.begin(instance);
    } catch (error) {
      if (isPassing(error)) throw error;
      log.error(`cannot take over ${instanceName(instance)}: ${errorText(error)}`);
      continue;
    }
    known.instances.set(instanceName(instance), instance);
    logFor(factory, instance).warn("the database does not know this instance: taken over from its directory");
  }
}

/** Nothing is begun before it is known what runs. */
async function recallUntilAnswered(
  { minder, clock, log, workDirectory }: Factory,
  stopped: AbortSignal,
): Promise<Recalled[]> {
  for (let isTold = false; !stopped.aborted; isTold = true) {
    const recalled = await minder.recall(workDirectory);
    if (recalled.ok) return recalled.instances;
    if (!isTold) log.error(`cannot read the instance directories, nothing is begun: ${recalled.reason}`);
    await clock.sleep(recallAgainMs, stopped);
  }
  return [];
}

function readIntent(intentJson: string, directory: string, worker: string | null): Instance | null {
  try {
    const intent = intentSchema.parse(JSON.parse(intentJson));
    if (!directory.endsWith(`/${directoryName(intent)}`)) return null;
    return {
      ...intent,
      // Without a worker it was never told to go; a request for one may have been sent.
      phase: worker === null ? "creating" : "starting",
      createSentAt: worker === null ? intent.leasedAt : null,
      worker,
      bootstrap: null,
      wentAt: null,
      isOnline: false,
      isFlushed: false,
      endReason: null,
      untold: null,
      endedMs: null,
    };
  } catch {
    return null;
  }
}
