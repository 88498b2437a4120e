/**
 * The whole policy: from what is known now to what to do now. Pure: no clock, no network, no memory of the last call.
 * In the order in which it is to be begun: what frees a testbed before what takes one.
 */
import { isOpen } from "../words/domain.ts";
import type { Plan } from "./action.ts";
import { type Agenda, atOnceMs, openAgenda } from "./action-queue.ts";
import { takenBy } from "./free-testbeds.ts";
import { planHosts } from "./hosts.ts";
import { type OpenInstance, planInstances, planLooks } from "./instances.ts";
import { planLeases } from "./lease-requests.ts";
import { limits } from "./times-and-limits.ts";
import type { Observation } from "./observation.ts";
import { judgeStrangers } from "./strangers.ts";

export function plan(seen: Observation): Plan {
  const agenda = openAgenda(seen);
  const open = seen.instances.filter((each): each is OpenInstance => isOpen(each.phase));
  const taken = takenBy(open);
  planInstances(open, seen, agenda);
  for (const at of seen.untaken.keys()) if (!taken.testbeds.has(at)) agenda.add({ kind: "take over", at });
  planLooks(open, seen, agenda);
  planList(open, seen, agenda);
  planHosts(seen, taken, agenda);
  planLeases(open, seen, taken, agenda);
  agenda.add({ kind: "sweep" }, seen.sweptMs === null ? atOnceMs : seen.sweptMs + limits.sweepMs);
  return agenda.plan();
}

/** The list of workers, and what of it belongs to nothing that we know. */
function planList(open: readonly OpenInstance[], seen: Observation, agenda: Agenda): void {
  const { list, isListWanted } = seen.server;
  const { confirmed, isAnyUnconfirmed, settledMs } = judgeStrangers(open, seen);
  for (const worker of confirmed) agenda.add({ kind: "delete stranger", worker });
  agenda.wakeAt(settledMs);
  const idleMs = isAnyUnconfirmed ? limits.confirmMs : limits.listWhileIdleMs;
  const intervalMs = open.length > 0 ? limits.listWhileRunningMs : idleMs;
  agenda.add(
    { kind: "list workers" },
    isListWanted || list === null ? atOnceMs : list.askedAtMs + intervalMs,
  );
}
