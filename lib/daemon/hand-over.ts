/** What one run of the factory leaves to the next: what the log says of it, and what a new version is measured by. Pure. */
import { type Instance, instanceName } from "../words/domain.ts";
import type { Known } from "./memory.ts";
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

const notYetRunning: readonly Instance["phase"][] = ["preparing", "creating", "created", "starting"];

export interface Standing {
  /** Names of instances of which it is not known whether their agents live. */
  unseen: string[];
  isServerDown: boolean;
  /** A lease is being turned into a running agent. */
  isStarting: boolean;
  /** An instance that began before this moment of the wall clock is open. */
  hasOlder: boolean;
}

export function standingOf(known: Known, sinceMs: number): Standing {
  const instances = [...known.instances.values()];
  const isSeen = (name: string): boolean =>
    !["cannot tell", "unseen"].includes(known.looks.get(name)?.view ?? "unseen");
  return {
    unseen: instances
      .filter(({ phase }) => phase === "running")
      .map(instanceName)
      .filter((name) => !isSeen(name)),
    isServerDown: known.server.answeringSinceMs === null,
    isStarting: known.leases.length > 0 || instances.some(({ phase }) => notYetRunning.includes(phase)),
    hasOlder: instances.some(({ begunMs }) => begunMs < sinceMs),
  };
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
