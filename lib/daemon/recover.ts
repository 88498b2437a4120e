/**
 * What a start does before the loop: finds the Rust factory's agents, learns which seqs were ever used, and makes rows of
 * instances that only their directories still tell of (a lost or older database).
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import type { Config } from "../config/config.ts";
import { directoryName, elapsedMs, type Instance, instanceName } from "../words/domain.ts";
import { errorText } from "../words/failure.ts";
import type { Minder } from "../hosts/minder/minder.ts";
import type { Recalled } from "../hosts/minder/minder-answer.ts";
import { isPassing } from "../store/store.ts";
import { placeSchema } from "../store/row.ts";
import { locateFormer } from "./rust-instances.ts";
import { done, type Outcome } from "./outcome.ts";
import { blockHost } from "./isolation.ts";
import { limits } from "../policy/times-and-limits.ts";
import { advance, memoryOf, openInstanceOf, openInstances, remember } from "./instance-memory.ts";
import { type Factory, now, logFor } from "./memory.ts";
import { learnSeqs, testbedMemory } from "./testbed-memory.ts";
import { justBegun } from "../words/just-begun.ts";

type Taking = Pick<Factory, "config" | "known" | "log" | "store">;
type Needs = Pick<Factory, "clock" | "config" | "files" | "hosts" | "known" | "log" | "store">;

const intentSchema = z.object({
  factory: z.string(),
  testbed: z.string(),
  seq: z.number().int(),
  target: z.string(),
  job: z.string().nullable(),
  isBound: z.boolean(),
  cookie: z.string(),
  place: placeSchema,
  leasedAt: z.object({ bootId: z.string(), uptimeMs: z.number() }),
  startTimeoutMs: z.number(),
  jobTimeoutMs: z.number().nullable(),
  silenceTimeoutMs: z.number().nullable(),
  begunMs: z.number(),
});

/**
 * Whose an instance is: other factories may have theirs in the same directory of a host. Made of what stays the same when the
 * database is lost, and says nothing of the token.
 */
export function factoryMark({ general, token }: Config): string {
  return createHash("sha256").update(`${general.baseurl}\n${token.reveal()}`).digest("hex").slice(0, 16);
}

export async function recover(factory: Needs, stopped: AbortSignal): Promise<void> {
  const { minder, workDirectory } = factory.hosts.here;
  for (const instance of openInstances(factory.known)) countAnew(factory, instance);
  await locateFormer(factory);
  const names = await factory.files.list(workDirectory);
  learnSeqs(
    factory,
    names.map((name) => name.replace(/_(\d+)$/, "/$1")),
  );
  const recalled = await recallUntilAnswered(factory, stopped);
  await takeOver(factory, minder, recalled);
}

/**
 * An agent on another host outlives a boot of this one. How long that took is not known, and must end no job: its time limits
 * count from now on.
 */
function countAnew(factory: Needs, instance: Instance): void {
  const wentAt = now(factory);
  if (instance.wentAt === null || elapsedMs(instance.wentAt, wentAt) !== null) return;
  const record = memoryOf(factory.known, instance);
  record.isFromEarlierBoot = true;
  try {
    advance(factory, instance, { wentAt });
  } catch (error) {
    if (!isPassing(error)) throw error;
    // They count all the same, and once more anew after the next start.
    record.row = { ...instance, wentAt };
  }
}

/** Makes rows for instances of ours on the minder's host that have none. */
export async function takeOver(factory: Taking, minder: Minder, recalled: Recalled[]): Promise<void> {
  const mark = factoryMark(factory.config);
  const ours = recalled
    .map(({ directory, intentJson, worker }) => readIntent(intentJson, { directory, worker, mark }))
    .filter((instance) => instance !== null);
  await takeOverEach(factory, minder, ours);
}

/** Takes over what had to wait for the end of an older instance of its testbed. */
export async function takeOverLater(factory: Taking, testbed: string): Promise<Outcome> {
  const record = testbedMemory(factory.known, testbed);
  const waiting = record.untaken;
  if (waiting !== null) await takeOverEach(factory, waiting.minder, waiting.instances);
  if (record.untaken === waiting) record.untaken = null;
  return done;
}

async function takeOverEach(factory: Taking, minder: Minder, instances: Instance[]): Promise<void> {
  const { store, known, log } = factory;
  const left = new Map<string, Instance[]>();
  for (const instance of instances.toSorted((a, b) => a.seq - b.seq)) {
    const { testbed, place } = instance;
    if (known.instances.has(instanceName(instance))) continue;
    if (store.largestSeq(testbed) >= instance.seq) continue;
    const [view] = await minder.look([place.directory]);
    // What is proved to be over needs no row; anything else may still hold the testbed.
    const isOver = view !== undefined && view.process === "dead" && view.minder === "dead";
    if (isOver) continue;
    // The database may be an older one: it has an instance that has ended since, and this one runs.
    if (openInstanceOf(known, testbed) !== undefined) {
      left.set(testbed, [...(left.get(testbed) ?? []), instance]);
      continue;
    }
    try {
      store.begin(instance);
    } catch (error) {
      if (isPassing(error)) throw error;
      log.error(`cannot take over ${instanceName(instance)}: ${errorText(error)}`);
      continue;
    }
    remember(known, instance);
    logFor(factory, instance).warn("the database does not know this instance: taken over from its directory");
  }
  for (const [testbed, untaken] of left)
    testbedMemory(known, testbed).untaken = { minder, instances: untaken };
}

/** Nothing is begun before it is known what runs. */
async function recallUntilAnswered(factory: Needs, stopped: AbortSignal): Promise<Recalled[]> {
  const { hosts, clock, log } = factory;
  const { minder, workDirectory } = hosts.here;
  for (let isTold = false; !stopped.aborted; isTold = true) {
    const recalled = await minder.recall(workDirectory);
    if (recalled.ok) return recalled.instances;
    if (!isTold) {
      const fault = `cannot read the instance directories, nothing is begun: ${recalled.reason}`;
      log.error(fault);
      blockHost(factory, fault);
    }
    await clock.sleep(limits.recallMs, stopped);
  }
  return [];
}

function readIntent(
  intentJson: string,
  { directory, worker, mark }: { directory: string; worker: string | null; mark: string },
): Instance | null {
  try {
    const { factory, ...intent } = intentSchema.parse(JSON.parse(intentJson));
    if (factory !== mark || !directory.endsWith(`/${directoryName(intent)}`)) return null;
    return {
      ...intent,
      ...justBegun,
      // Without a worker it was never told to go; a request for one may have been sent.
      ...(worker === null ? { phase: "creating", worker } : { phase: "starting", worker }),
      createSentAt: worker === null ? intent.leasedAt : null,
    };
  } catch {
    return null;
  }
}
