/**
 * The agent of a hardware test that is gone before its job's end, killed or with its host: started again in the same directory,
 * where the new one finds what the one before it wrote down, and follows the same test on.
 */
import type { WorkingInstance } from "../words/domain.ts";
import { armRequest } from "./arm-request.ts";
import { failed, type Learnt, refusedCall } from "./outcome.ts";
import { goRequest } from "./start.ts";
import { limits } from "../policy/times-and-limits.ts";
import { type Factory, isOurs } from "./memory.ts";
import { sectionOf } from "./reconfigure.ts";

type Needs = Pick<Factory, "api" | "config" | "hosts" | "known">;

export async function resume(factory: Needs, instance: WorkingInstance): Promise<Learnt> {
  const { api, hosts, known, config } = factory;
  const { worker, bootstrap, place, cookie } = instance;
  const testbed = sectionOf(factory, instance);
  const vain: Learnt = { kind: "agent not startable again" };
  if (bootstrap === null || testbed === undefined) return vain;
  const read = await api.worker(worker);
  if (!read.ok) return refusedCall("read the worker", read);
  if (read.value === null || read.value.recycle || !isOurs(instance, read.value)) return vain;
  if (read.value.hold) return { kind: "worker held" };
  if ((known.failures.get(`testbed ${instance.testbed}`)?.count ?? 0) >= limits.restartFailures) return vain;
  const minder = hosts.minderOf(place);
  const stopped = await minder.stop(place.directory, { cookie, graceMs: 0 });
  if (stopped.kind !== "stopped") return failed(`cannot start the agent again: ${stopped.reason}`);
  const host = { ...hosts.here, agent: hosts.builtIn };
  const armed = await minder.arm(armRequest(config, host, instance, testbed));
  // What its agent wrote is gone, and does not come back.
  if (armed.kind === "taken") return vain;
  if (armed.kind !== "armed") {
    return failed(`cannot start the agent again: ${armed.kind === "elsewhere" ? armed.owner : armed.reason}`);
  }
  const gone = await minder.go(goRequest(config, instance, bootstrap));
  if (gone.kind !== "went") {
    return failed(
      `cannot start the agent again: ${gone.kind === "expired" ? "it was too late" : gone.reason}`,
    );
  }
  return { kind: "agent started again" };
}
