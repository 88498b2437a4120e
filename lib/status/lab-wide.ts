/** What concerns several testbeds at once, so that it is said once. Pure. */
import type { Instance } from "../words/domain.ts";
import type { Snapshot, TestbedSnapshot } from "./snapshot.ts";
import { stateOf } from "./job-view.ts";

export function sharedReasons(testbeds: readonly TestbedSnapshot[]): Snapshot["shared"] {
  const ill = testbeds.filter(({ state, job }) => job === null && state !== "free" && state !== "disabled");
  return [...Map.groupBy(ill, ({ whyNot }) => whyNot ?? "")]
    .filter(([reason, group]) => reason !== "" && group.length > 1)
    .map(([reason, group]) => ({ reason, testbeds: group.map(({ testbed }) => testbed) }));
}

/** What would become of the jobs if the factory stopped now. */
export function ifStopped(instances: readonly Instance[], leases: number): string {
  const count = (state: string): number => instances.filter((each) => stateOf(each) === state).length;
  const parts = [
    sentence(
      count("running"),
      "job runs on and is taken over by the next start",
      "jobs run on and are taken over by the next start",
    ),
    sentence(
      count("preparing"),
      "job that is being prepared waits for the next start",
      "jobs that are being prepared wait for the next start",
    ),
    sentence(
      count("ending"),
      "job is over, and its testbed is cleaned up by the next start",
      "jobs are over, and their testbeds are cleaned up by the next start",
    ),
    sentence(leases, "lease goes back to the queue", "leases go back to the queue"),
  ].filter((each) => each !== null);
  return parts.length === 0 ? "no job is affected" : parts.join("; ");
}

function sentence(count: number, one: string, several: string): string | null {
  if (count === 0) return null;
  return count === 1 ? `1 ${one}` : `${count} ${several}`;
}
