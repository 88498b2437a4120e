/**
 * From a worker to a running agent. Each function is one step of plan.ts and can be repeated after a crash at any point;
 * there is never a second agent for one worker.
 */
import { createHmac } from "node:crypto";
import type { Config } from "../config/config.ts";
import { type Instance, instanceName } from "../words/domain.ts";
import type { GoSpec } from "../hosts/minder/specification.ts";
import { Secret } from "../words/secret.ts";
import { noteWorker } from "../policy/server-view.ts";
import { advance, eventLine, type Factory, isOurs, logFor, now, setView } from "./memory.ts";
import { done, failed, type Outcome, refusedCall, waiting } from "./outcome.ts";
import { decideEnd } from "./wind-down.ts";

export async function associate(factory: Factory, instance: Instance): Promise<Outcome> {
  const { api, known } = factory;
  if (instance.worker === null) throw new Error(`${instanceName(instance)} has no worker`);
  const associated = await api.associate(instance.worker, instanceName(instance));
  if (!associated.ok && associated.refusal === "no answer") return refusedCall("associate", associated);
  const read = await api.worker(instance.worker);
  if (!read.ok) return refusedCall("read the worker", read);
  noteWorker(known.server, instance.worker, read.value);
  if (read.value === null) return await decideEnd(factory, instance, { cause: "worker gone" });
  if (read.value.recycle) return await decideEnd(factory, instance, { cause: "worker recycled" });
  if (!isOurs(instance, read.value)) {
    const why = associated.ok ? `its private is ${read.value.private}` : associated.message;
    await tellOnce(
      factory,
      instance,
      instance.worker,
      `its worker belongs to ${read.value.private ?? "nobody"}`,
    );
    return failed(`the worker cannot be associated with this instance: ${why}`);
  }
  if (read.value.hold) {
    known.server.isListWanted = true;
    return waiting(1000);
  }
  advance(factory, instance, { phase: "starting" });
  return done;
}

/** Tells the job's owner why the job hangs; once in the life of this process, and no more than tried. */
async function tellOnce(factory: Factory, instance: Instance, worker: string, why: string): Promise<void> {
  const { api, known } = factory;
  const name = instanceName(instance);
  if (known.told.has(name)) return;
  known.told.add(name);
  await api.append(
    worker,
    eventLine(factory, "worker", `the testbed's factory cannot start this job: ${why}`),
  );
}

export async function go(factory: Factory, instance: Instance): Promise<Outcome> {
  const { hosts, config } = factory;
  if (instance.worker === null) throw new Error(`${instanceName(instance)} has no worker`);
  if (instance.bootstrap === null) return await readBootstrap(factory, instance);
  const gone = await hosts
    .minderOf(instance.place)
    .go(goRequest(config, instance, instance.worker, instance.bootstrap));
  switch (gone.kind) {
    case "went":
      return recordWent(factory, instance);
    case "expired":
      setView(factory, instance, "absent");
      return done;
    case "cannot tell":
      return failed(`cannot start the agent: ${gone.reason}`);
  }
}

/** Always the same for one instance, so that no agent is left with another token than the one before it used. */
export function goRequest(
  { general }: Config,
  { place, cookie }: Instance,
  worker: string,
  bootstrap: Secret,
): GoSpec {
  const token = createHmac("sha256", bootstrap.reveal()).update(cookie).digest("hex");
  const agentJson = JSON.stringify(
    { baseurl: general.baseurl, bootstrap: bootstrap.reveal(), token },
    null,
    2,
  );
  return { directory: place.directory, worker, agentJson };
}

/** An instance that was taken over from its directory: its worker's bootstrap is only on the server. */
async function readBootstrap(factory: Factory, instance: Instance): Promise<Outcome> {
  const read = await factory.api.worker(instance.worker ?? "");
  if (!read.ok) return refusedCall("read the worker", read);
  if (read.value === null) return await decideEnd(factory, instance, { cause: "worker gone" });
  advance(factory, instance, { bootstrap: new Secret(read.value.bootstrap) });
  return done;
}

export function recordWent(factory: Factory, instance: Instance): Outcome {
  const next = advance(factory, instance, { phase: "running", wentAt: now(factory) });
  const look = factory.known.looks.get(instanceName(instance));
  if (look?.view === "armed") setView(factory, next, "alive");
  logFor(factory, next).info("the agent was started");
  return done;
}

export async function flush(factory: Factory, instance: Instance): Promise<Outcome> {
  if (instance.worker === null) return done;
  const answer = await factory.api.flush(instance.worker);
  if (!answer.ok) return refusedCall("flush the worker", answer);
  advance(factory, instance, { isFlushed: true });
  return done;
}
