/** What the log says of instances that one run of the factory leaves to the next. Pure. */
import { type Instance, instanceName } from "../words/domain.ts";
import { stateOf } from "../status/snapshot.ts";
import { limits } from "../policy/limits.ts";

/** Null: there was nothing to take over. */
export function describeTakenOver(instances: Instance[]): string | null {
  return instances.length === 0 ? null : `took over ${count(instances)}: ${list(instances)}`;
}

/** The last line of a run. `left` are the instances that are not over. */
export function describeLeft(left: Instance[], isDrained: boolean): string {
  const how = isDrained ? "drained" : "stopped";
  if (left.length === 0) return `${how}: nothing is left running; goodbye`;
  const what = isDrained ? "held on the server" : "left to the next start";
  return `${how}: ${count(left)} ${what}: ${list(left)}; goodbye`;
}

function count({ length }: Instance[]): string {
  return length === 1 ? "1 instance" : `${length} instances`;
}

function list(instances: Instance[]): string {
  const named = instances
    .slice(0, limits.instancesNamed)
    .map((each) => `${instanceName(each)} (${stateOf(each)})`);
  const rest = instances.length - named.length;
  return `${named.join(", ")}${rest === 0 ? "" : ` and ${rest} more`}`;
}
