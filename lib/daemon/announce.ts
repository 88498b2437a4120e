/**
 * Says in a job's own output that a time limit is about to end it: once, also if this process starts again in between. Whether
 * the server takes the line changes nothing else.
 */
import { announcement, type Announced } from "../policy/announcements.ts";
import { isPassing } from "../store/store.ts";
import { type Instance, instanceName } from "../words/domain.ts";
import { advance } from "./instance-memory.ts";
import { eventLine, type Factory, now } from "./memory.ts";
import { done, type Outcome, refusedCall } from "./outcome.ts";

type Needs = Pick<Factory, "api" | "clock" | "known" | "store">;

export async function announce(factory: Needs, { instance, limit, endsAtMs }: Announced): Promise<Outcome> {
  const { known, clock, api } = factory;
  const name = instanceName(instance);
  const row = (): Instance | undefined => known.instances.get(name)?.row;
  const before = row();
  const leftMs = endsAtMs - clock.uptimeMs();
  if (before === undefined || before.phase !== "running" || leftMs <= 0) return done;
  const { announced } = before;
  // First: a crash now costs the announcement, and makes no second one.
  advance(factory, before, { announced: { ...announced, [limit]: now(factory) } });
  const text = announcement(before, limit, leftMs);
  const answer = await api.append(before.worker, eventLine(factory, "worker", text));
  if (answer.ok ? !answer.value : answer.isUnsent !== true) return done;
  // It is certain that nobody has read it.
  const after = row();
  try {
    if (after?.phase === "running") advance(factory, after, { announced });
  } catch (error) {
    if (!isPassing(error)) throw error;
  }
  return answer.ok ? done : refusedCall("announce the end of a job", answer);
}
