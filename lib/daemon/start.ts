/**
 * From a worker to a running agent. Each function is one step of plan.ts and can be repeated after a crash at any point;
 * there is never a second agent for one worker.
 */
import { createHmac } from "node:crypto";
import type { Config } from "../config/config.ts";
import { instanceName, type RustInstance, type WorkingInstance } from "../words/domain.ts";
import type { GoSpec } from "../hosts/minder/specification.ts";
import { Secret } from "../words/secret.ts";
import { cannotGoOn, failed, type Learnt, refusedCall } from "./outcome.ts";
import type { Clock } from "../doors/clock.ts";
import type { Minders } from "../hosts/host.ts";
import type { FactoryApi } from "../server/factory-side.ts";
import { type InstanceRecords, memoryOf } from "./instance-memory.ts";
import { eventLine, isOurs } from "./memory.ts";

export async function associate(
  {
    api,
    clock,
    known,
  }: { api: Pick<FactoryApi, "associate" | "worker" | "append">; clock: Clock; known: InstanceRecords },
  instance: WorkingInstance,
): Promise<Learnt> {
  const name = instanceName(instance);
  const { worker: id } = instance;
  const associated = await api.associate(id, name);
  if (!associated.ok && associated.refusal === "no answer") return refusedCall("associate", associated);
  const read = await api.worker(id);
  if (!read.ok) return refusedCall("read the worker", read);
  const worker = read.value;
  const seen = { id, worker };
  if (worker === null) return { ...cannotGoOn("worker gone"), seen };
  if (worker.recycle) return { ...cannotGoOn("worker recycled"), seen };
  if (!isOurs(instance, worker)) {
    const text = `the testbed's factory cannot start this job: its worker belongs to ${worker.private ?? "nobody"}`;
    // Once in the life of this process, and no more than tried.
    if (!memoryOf(known, instance).isAlarmTold) await api.append(id, eventLine({ clock }, "worker", text));
    const why = associated.ok ? `its private is ${worker.private}` : associated.message;
    return { kind: "worker of another", why, seen };
  }
  return { kind: worker.hold ? "worker held" : "associated", seen };
}

export async function go(
  { api, hosts, config }: { api: Pick<FactoryApi, "worker">; hosts: Minders<"go">; config: Config },
  instance: WorkingInstance,
): Promise<Learnt> {
  const { worker: id } = instance;
  if (instance.bootstrap === null) {
    // It was taken over from its directory: its worker's bootstrap is only on the server.
    const read = await api.worker(id);
    if (!read.ok) return refusedCall("read the worker", read);
    if (read.value === null) return cannotGoOn("worker gone");
    return { kind: "bootstrap read", bootstrap: new Secret(read.value.bootstrap) };
  }
  const minder = hosts.minderOf(instance.place);
  const gone = await minder.go(goRequest(config, instance, instance.bootstrap));
  if (gone.kind === "cannot tell") return failed(`cannot start the agent: ${gone.reason}`);
  return { kind: gone.kind === "went" ? "went" : "go expired" };
}

/** Always the same for one instance, so that no agent is left with another token than the one before it used. */
export function goRequest(
  { general }: Config,
  { place, cookie, worker }: WorkingInstance,
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

export async function flush(
  { api }: { api: Pick<FactoryApi, "flush"> },
  instance: WorkingInstance | RustInstance,
): Promise<Learnt> {
  const answer = await api.flush(instance.worker);
  return answer.ok ? { kind: "flushed" } : refusedCall("flush the worker", answer);
}
