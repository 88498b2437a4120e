/**
 * The agent of a hardware test that is gone before its job's end, killed or with its host: started again in the same directory,
 * where the new one finds what the one before it wrote down, and follows the same test on.
 */
import { type Instance, instanceName } from "../words/domain.ts";
import { armRequest } from "./arm-request.ts";
import { type Factory, isOurs, logFor, setView } from "./memory.ts";
import { done, failed, type Outcome, refusedCall, waiting } from "./outcome.ts";
import { goRequest } from "./start.ts";
import { limits } from "../policy/limits.ts";

export async function resume(factory: Factory, instance: Instance): Promise<Outcome> {
  const { api, hosts, known, config } = factory;
  const { worker, bootstrap, place, cookie } = instance;
  const name = instanceName(instance);
  const testbed = config.testbeds.find((each) => each.name === instance.testbed);
  // It cannot be gone on with: the next pass ends it.
  const giveUp = (): Outcome => {
    known.resumed.set(name, Number.POSITIVE_INFINITY);
    return done;
  };
  if (worker === null || bootstrap === null || testbed === undefined) return giveUp();
  const read = await api.worker(worker);
  if (!read.ok) return refusedCall("read the worker", read);
  if (read.value === null || read.value.recycle || !isOurs(instance, read.value)) return giveUp();
  if (read.value.hold) {
    known.server.isListWanted = true;
    return waiting(limits.heldMs);
  }
  if ((known.failures.get(`testbed ${instance.testbed}`)?.count ?? 0) >= limits.restartFailures)
    return giveUp();
  const minder = hosts.minderOf(place);
  const stopped = await minder.stop(place.directory, { cookie, graceMs: 0 });
  if (stopped.kind !== "stopped") return failed(`cannot start the agent again: ${stopped.reason}`);
  const host = { ...hosts.here, agent: hosts.builtIn };
  const armed = await minder.arm(armRequest(factory, host, instance, testbed));
  if (armed.kind !== "armed") {
    return failed(`cannot start the agent again: ${armed.kind === "elsewhere" ? armed.owner : armed.reason}`);
  }
  const gone = await minder.go(goRequest(config, instance, worker, bootstrap));
  if (gone.kind !== "went") {
    return failed(
      `cannot start the agent again: ${gone.kind === "expired" ? "it was too late" : gone.reason}`,
    );
  }
  known.resumed.set(name, (known.resumed.get(name) ?? 0) + 1);
  setView(factory, instance, "alive");
  logFor(factory, instance).warn(
    "its agent was gone before the job's end: started again, it follows the same test",
  );
  return done;
}
