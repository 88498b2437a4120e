/**
 * Removes directories of ended instances that are older than `general.keep` says, or on their host together larger: on this
 * host, and on those that have been reached. Rows and the journal's entries go later.
 */
import type { Host } from "../hosts/host.ts";
import { dayMs } from "../words/duration.ts";
import { limits } from "../policy/times-and-limits.ts";
import type { EndedInstance } from "../store/history.ts";
import { done, failed, type Outcome } from "./outcome.ts";
import type { Factory } from "./memory.ts";

type Needs = Pick<Factory, "clock" | "config" | "hosts" | "known" | "log" | "store">;

/** Looks at each host once an hour, and at a new one at once. */
export async function sweep(factory: Needs): Promise<Outcome> {
  const { hosts, known, clock } = factory;
  const nowMs = clock.uptimeMs();
  const reached = [...known.testbeds.values()].flatMap(({ reached }) => reached?.host ?? []);
  // Several testbeds hang on one host.
  const places = new Map([hosts.here, ...reached].map((host) => [placeOf(host), host]));
  const isDue = (place: string): boolean =>
    nowMs - (known.hostsSweptMs.get(place) ?? Number.NEGATIVE_INFINITY) >= limits.sweepMs;
  const due = [...places].filter(([place]) => isDue(place));
  for (const [place] of due) known.hostsSweptMs.set(place, nowMs);
  known.sweptMs = Math.min(...[...places.keys()].map((place) => known.hostsSweptMs.get(place) ?? nowMs));
  const left: string[] = [];
  const sweepNext = async (): Promise<void> => {
    for (let next = due.shift(); next !== undefined; next = due.shift()) {
      left.push(...(await sweepHost(factory, next[1])));
    }
  };
  await Promise.all(Array.from({ length: limits.hostsSweptAtOnce }, sweepNext));
  await pruneRows(factory);
  const [first] = left;
  return first === undefined ? done : failed(first);
}

/** What could not be removed, for people. It delays nothing else. */
async function sweepHost(factory: Needs, host: Host): Promise<string[]> {
  const { store, config, clock, log, known } = factory;
  const { workDirectory } = host;
  const kept = await host.minder.kept(workDirectory);
  if (!kept.ok) {
    // It is tried again, as any action that failed.
    known.hostsSweptMs.delete(placeOf(host));
    known.sweptMs = null;
    return [`cannot see what is kept in ${workDirectory}: ${kept.reason}`];
  }
  const bytesOf = new Map(kept.directories.map(({ directory, bytes }) => [directory, bytes]));
  let keptBytes = 0;
  const left: string[] = [];
  for (const ended of store.endedAmong(kept.directories.map(({ directory }) => nameOf(directory)))) {
    const { directory, cookie, testbed, seq } = ended;
    const bytes = bytesOf.get(directory);
    if (bytes === undefined || !isAt(ended, host)) continue;
    const isYoung = clock.wallMs() - ended.endedMs <= config.general.keepDays * dayMs;
    if (isYoung && keptBytes + bytes <= config.general.keepBytes) {
      keptBytes += bytes;
      continue;
    }
    const removed = await host.minder.remove(directory, cookie);
    const trouble = removed.kind === "tidied" ? removed.left : removed.reason;
    if (trouble !== null) {
      // Files of another user, perhaps: no reason to stop anything.
      left.push(`cannot remove ${directory}: ${trouble}`);
      keptBytes += bytes;
      continue;
    }
    log.info("removed the directory of an ended instance", { testbed, instance: `${testbed}/${seq}` });
  }
  return left;
}

async function pruneRows({ store, config, clock }: Needs): Promise<void> {
  const beforeMs = clock.wallMs() - config.general.keepDays * dayMs - limits.rowsMs;
  const most = limits.rowsPerCommit;
  while (store.prune(beforeMs, most) === most) await clock.sleep(limits.betweenCommitsMs);
  while (store.pruneJournal(beforeMs, most, limits.journalEntries) === most)
    await clock.sleep(limits.betweenCommitsMs);
}

/** The last part of a path. */
function nameOf(directory: string): string {
  return directory.slice(directory.lastIndexOf("/") + 1);
}

function placeOf({ ssh, workDirectory }: Host): string {
  return JSON.stringify([ssh?.host, ssh?.user, ssh?.port, workDirectory]);
}

/** Only what this work directory holds is ours to remove. */
function isAt({ host, directory, testbed, seq }: EndedInstance, { ssh, workDirectory }: Host): boolean {
  return host === (ssh?.host ?? null) && directory === `${workDirectory}/${testbed}_${seq}`;
}
