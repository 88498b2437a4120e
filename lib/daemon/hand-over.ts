/** What one run of the factory leaves to the next: what the log says of it, and what a new version is measured by. */
import { listNames } from "../words/columns.ts";
import { type Instance, instanceName } from "../words/domain.ts";
import type { Log } from "../words/logger.ts";
import type { InstanceMemory } from "./instance-memory.ts";
import type { Memory } from "./memory.ts";
import { stateOf } from "../status/job-view.ts";
import { actionKey } from "../policy/action.ts";
import { limits } from "../policy/times-and-limits.ts";

/** Null: there was nothing to take over. */
export function describeTakenOver(instances: Instance[]): string | null {
  return instances.length === 0 ? null : `took over ${count(instances)}: ${list(instances)}`;
}

/** The last lines of a run. `left` are the instances that are not over. */
export function reportLeft(log: Log, left: Instance[], isDrained: boolean): void {
  for (const { testbed, seq, worker } of isDrained ? left : []) {
    const about = {
      testbed,
      instance: instanceName({ testbed, seq }),
      ...(worker === null ? {} : { worker }),
    };
    log.warn("held on the server and left as it is: release the worker there, then start again", about);
  }
  log.info(`${isDrained ? "drained" : "stopped"}: ${describeRest(left, isDrained)}; goodbye`);
}

export function describeRest(left: Instance[], isDrained: boolean): string {
  if (left.length === 0) return "nothing is left running";
  const what = isDrained ? "held on the server" : "left to the next start";
  return `${count(left)} ${what}: ${list(left)}`;
}

const notYetRunning: readonly Instance["phase"][] = ["preparing", "creating", "created", "starting"];

const leaseKey = actionKey({ kind: "lease", targets: [] });

export interface Standing {
  /** Names of instances of which it is not known whether their agents live. */
  unseen: string[];
  /** Those of them whose host does not answer. */
  away: string[];
  isServerDown: boolean;
  /** A lease is being asked for, or turned into a running agent. */
  isStarting: boolean;
  /** An instance that an earlier process leased is open. */
  hasOlder: boolean;
}

export function standingOf(known: Pick<Memory, "busy" | "instances" | "server" | "leases">): Standing {
  const records = [...known.instances.values()];
  const isUnseen = ({ row, look }: InstanceMemory): boolean =>
    row.phase === "running" && (look === null || ["cannot tell", "unseen"].includes(look.view));
  const unseen = records.filter(isUnseen);
  const names = (of: InstanceMemory[]): string[] => of.map(({ row }) => instanceName(row));
  return {
    unseen: names(unseen),
    away: names(unseen.filter(({ look }) => look?.isHostAway === true)),
    isServerDown: known.server.answeringSinceMs === null,
    isStarting:
      known.busy.has(leaseKey) ||
      known.leases.length > 0 ||
      records.some(({ row }) => notYetRunning.includes(row.phase)),
    hasOlder: records.some(({ isLeasedHere }) => !isLeasedHere),
  };
}

function count({ length }: Instance[]): string {
  return length === 1 ? "1 instance" : `${length} instances`;
}

function list(instances: Instance[]): string {
  const named = instances.map((each) => `${instanceName(each)} (${stateOf(each)})`);
  return listNames(named, limits.instancesNamed);
}
