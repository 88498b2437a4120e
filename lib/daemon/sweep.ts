/** Removes directories of ended instances that are older, or together larger, than `general.keep` says. */
import { type Instance, instanceName } from "../domain.ts";
import type { Factory } from "./known.ts";
import { errorText } from "../failure.ts";
import { done, failed, type Outcome } from "./outcome.ts";

const dayMs = 24 * 3_600_000;

export async function sweep(factory: Factory): Promise<Outcome> {
  const { files, store, config, known, clock, hosts, log } = factory;
  const { workDirectory } = hosts.here;
  known.sweptMs = clock.uptimeMs();
  const present = new Set(await files.list(workDirectory));
  let keptBytes = 0;
  let left: string | null = null;
  for (const instance of store.ended()) {
    if (!present.has(nameOf(instance)) || !isUnder(instance, workDirectory)) continue;
    const { directory } = instance.place;
    const ageMs = clock.wallMs() - (instance.endedMs ?? clock.wallMs());
    keptBytes += await files.treeBytes(directory);
    if (ageMs <= config.general.keepDays * dayMs && keptBytes <= config.general.keepBytes) continue;
    try {
      await files.removeTree(directory);
    } catch (error) {
      // Files of another user, perhaps: no reason to stop anything.
      left ??= `cannot remove ${directory}: ${errorText(error)}`;
      continue;
    }
    log.info("removed the directory of an ended instance", {
      testbed: instance.testbed,
      instance: instanceName(instance),
    });
  }
  return left === null ? done : failed(left);
}

function nameOf({ place }: Instance): string {
  return place.directory.slice(place.directory.lastIndexOf("/") + 1);
}

/** Only what this work directory holds is ours to remove. */
function isUnder(instance: Instance, workDirectory: string): boolean {
  return instance.place.directory === `${workDirectory}/${nameOf(instance)}`;
}
