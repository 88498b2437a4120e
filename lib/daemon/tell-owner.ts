/** What the owner of a job reads when the lab failed it. The sentence itself is in `lib/policy/end-causes.ts`. */
import type { Instance } from "../words/domain.ts";
import { limits } from "../policy/times-and-limits.ts";
import { eventLine, type Factory } from "./memory.ts";
import { type Learnt, refusedCall } from "./outcome.ts";

/** Adds the reason to the job's event stream, with the last lines of the agent's log. */
export async function tellOwner(
  factory: Pick<Factory, "api" | "clock" | "hosts">,
  instance: Instance,
): Promise<Learnt> {
  const { worker, place, untold } = instance;
  if (worker === null || untold === null) return { kind: "owner told" };
  const tail = await factory.hosts.minderOf(place).tail(place.directory, limits.logTailBytes);
  const lines = tail.ok && tail.text.trim() !== "" ? tail.text.trim().split("\n") : [];
  const payload = [
    `the testbed's factory ends this job: ${untold}`,
    ...lines.map((line) => `agent.log: ${line}`),
  ];
  const answer = await factory.api.append(worker, eventLine(factory, "worker", payload.join("\n")));
  if (!answer.ok && answer.refusal === "no answer") return refusedCall("tell the job's owner", answer);
  return { kind: "owner told" };
}
