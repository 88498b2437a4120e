/** When this host, other hosts and services are looked at: what is wrong there is to be known before a job is leased. */
import type { Testbed } from "../config/config.ts";
import { type Agenda, atOnceMs } from "./action-queue.ts";
import { isHere, isReached, type Taken } from "./free-testbeds.ts";
import { limits } from "./times-and-limits.ts";
import type { Observation } from "./observation.ts";

export function planHosts(seen: Observation, taken: Taken, agenda: Agenda): void {
  if (seen.mode === "drain") return;
  const enabled = seen.config.testbeds.filter((testbed) => testbed.enabled);
  if (enabled.some(isHere)) planThisHost(seen, agenda);
  const free = enabled.filter((testbed) => isReached(testbed) && !taken.testbeds.has(testbed.name));
  planReach(free, seen, agenda);
}

function planThisHost({ host }: Observation, agenda: Agenda): void {
  const intervalMs = host?.fault === null ? limits.hostMs : limits.faultyHostMs;
  agenda.add({ kind: "look at host" }, host === null ? atOnceMs : host.atMs + intervalMs);
}

function planReach(free: readonly Testbed[], seen: Observation, agenda: Agenda): void {
  const dueMs = ({ name }: Testbed): number => {
    const reached = seen.reached.get(name);
    // One that was not reached is tried again when its retry is due.
    return reached?.ok === true ? reached.atMs + limits.reachMs : atOnceMs;
  };
  // The boards of one service are asked for together, so that it is asked once.
  const services = new Set<string | null>();
  for (const testbed of free) {
    const atMs = dueMs(testbed);
    if (atMs > atOnceMs && atMs <= seen.now.uptimeMs) services.add(testbed.spRunnerUrl);
  }
  for (const testbed of free) {
    const isDueTogether = testbed.spRunnerUrl !== null && services.has(testbed.spRunnerUrl);
    const lastMs = seen.reached.get(testbed.name)?.atMs ?? atOnceMs;
    agenda.addFar({ kind: "reach", testbed }, lastMs, isDueTogether ? atOnceMs : dueMs(testbed));
  }
}
