/**
 * How many actions are under way at one time, by what they wait for. A host that hangs holds places of its own lane only, so
 * that lists, leases and the testbeds of this host never wait for it.
 */
import { type Action, type Lane, rowOf } from "./action.ts";
import { limits } from "./times-and-limits.ts";

/**
 * What of `planned` may be begun beside what is under way: in its order, but what may wait for another host last. What was
 * tried before and did not end well gets half of a lane's places at most: it may hang again.
 */
export function chooseStartable(
  planned: readonly Action[],
  underWay: Iterable<Action>,
  isRetry: (action: Action) => boolean,
): Action[] {
  const taken = new Map<Lane, { all: number; retries: number }>();
  const take = (action: Action): boolean => {
    const lane = rowOf(action).lane(action);
    if (lane === "single") return true;
    const { all, retries } = taken.get(lane) ?? { all: 0, retries: 0 };
    const isAgain = isRetry(action);
    if (all >= limits.actionsInLane || (isAgain && retries >= limits.actionsInLane / 2)) return false;
    taken.set(lane, { all: all + 1, retries: isAgain ? retries + 1 : retries });
    return true;
  };
  for (const action of underWay) take(action);
  const isFar = (action: Action): boolean => rowOf(action).lane(action).startsWith("far");
  const inOrder = [...planned.filter((action) => !isFar(action)), ...planned.filter(isFar)];
  return inOrder.filter(take);
}
