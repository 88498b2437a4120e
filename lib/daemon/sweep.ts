/**
 * Removes directories of ended instances that are older than `general.keep` says, or on their host together larger: on this
 * host, and on those that have been reached.
 */
import { type Instance, instanceName } from "../domain.ts";
import type { Host } from "../host.ts";
import type { Factory } from "./known.ts";
import { done, failed, type Outcome } from "./outcome.ts";

const dayMs = 24 * 3_600_000;

export async function sweep(factory: Factory): Promise<Outcome> {
  const { hosts, known, clock } = factory;
  known.sweptMs = clock.uptimeMs();
  const reached = [...known.reached.values()].flatMap(({ host }) => (host === undefined ? [] : [host]));
  // Several testbeds hang on one host.
  const places = new Map([hosts.here, ...reached].map((host) => [placeOf(host), host]));
  const left = await Promise.all([...places.values()].map((host) => sweepHost(factory, host)));
  const [first = null] = left.filter((each) => each !== null);
  return first === null ? done : failed(first);
}

/** What could not be removed, for people; it holds nobody up. */
async function sweepHost(factory: Factory, host: Host): Promise<string | null> {
  const { store, config, clock, log } = factory;
  const kept = await host.minder.kept(host.workDirectory);
  if (!kept.ok) return `cannot see what is kept in ${host.workDirectory}: ${kept.reason}`;
  const bytesOf = new Map(kept.directories.map(({ directory, bytes }) => [directory, bytes]));
  let keptBytes = 0;
  let left: string | null = null;
  for (const instance of store.ended()) {
    const { directory } = instance.place;
    const bytes = bytesOf.get(directory);
    if (bytes === undefined || !isAt(instance, host)) continue;
    const ageMs = clock.wallMs() - (instance.endedMs ?? clock.wallMs());
    keptBytes += bytes;
    if (ageMs <= config.general.keepDays * dayMs && keptBytes <= config.general.keepBytes) continue;
    const removed = await host.minder.remove(directory, instance.cookie);
    const trouble = removed.kind === "tidied" ? removed.left : removed.reason;
    if (trouble !== null) {
      // Files of another user, perhaps: no reason to stop anything.
      left ??= `cannot remove ${directory}: ${trouble}`;
      continue;
    }
    log.info("removed the directory of an ended instance", {
      testbed: instance.testbed,
      instance: instanceName(instance),
    });
  }
  return left;
}

function placeOf({ ssh, workDirectory }: Host): string {
  return JSON.stringify([ssh?.host, ssh?.user, ssh?.port, workDirectory]);
}

/** Only what this work directory holds is ours to remove. */
function isAt({ place, testbed, seq }: Instance, { ssh, workDirectory }: Host): boolean {
  return place.ssh?.host === ssh?.host && place.directory === `${workDirectory}/${testbed}_${seq}`;
}
