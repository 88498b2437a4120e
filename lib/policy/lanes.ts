/**
 * How many actions are under way at one time, by what they wait for. A host that hangs holds places of its own lane only, so
 * that lists, leases and the testbeds of this host never wait for it.
 */
import type { Action } from "./action.ts";
import { limits } from "./limits.ts";

type Lane =
  /** At most one of each kind is ever under way, or it ends at once: needs no bound. */
  | "single"
  /** Waits for this host or for the server. */
  | "here"
  /** A command of the operator's, which may wait for anything. */
  | "check"
  /** The same with a job leased: one that waits for a job keeps none waiting. */
  | "check again"
  /** A step of an instance that needs another host, or a service. */
  | "far step"
  /** Finds out how another host is. */
  | "far look";

function laneOf(action: Action): Lane {
  switch (action.kind) {
    case "list workers":
    case "ping":
    case "lease":
    case "look at locks":
    case "look at host":
    case "sweep":
    case "begin":
    case "let lapse":
      return "single";
    case "look":
      return action.at === "" ? "single" : "far look";
    case "reach":
      return "far look";
    case "check":
      return "check";
    case "check again":
      return "check again";
    case "delete stranger":
    case "take over":
      return "here";
    default: {
      const { way } = action.instance.place;
      return way === "local" || way === "rust" ? "here" : "far step";
    }
  }
}

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
    const lane = laneOf(action);
    if (lane === "single") return true;
    const { all, retries } = taken.get(lane) ?? { all: 0, retries: 0 };
    const isAgain = isRetry(action);
    if (all >= limits.actionsInLane || (isAgain && retries >= limits.actionsInLane / 2)) return false;
    taken.set(lane, { all: all + 1, retries: isAgain ? retries + 1 : retries });
    return true;
  };
  for (const action of underWay) take(action);
  const isFar = (action: Action): boolean => laneOf(action).startsWith("far");
  const inOrder = [...planned.filter((action) => !isFar(action)), ...planned.filter(isFar)];
  return inOrder.filter(take);
}
