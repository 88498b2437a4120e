/**
 * How many actions are under way at one time, by what they wait for. A host that hangs holds places of its own lane only, so
 * that lists, leases and the testbeds of this host never wait for it.
 */
import type { Action } from "./action.ts";

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

/** Each bounds processes and connections, however many testbeds there are. */
const mostAtOnce: Record<Exclude<Lane, "single">, number> = {
  here: 64,
  check: 64,
  "check again": 64,
  "far step": 64,
  "far look": 64,
};

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
      const { ssh, spRunnerUrl } = action.instance.place;
      return ssh === undefined && spRunnerUrl === undefined ? "here" : "far step";
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
  const places = { ...mostAtOnce };
  const retries = { here: 0, check: 0, "check again": 0, "far step": 0, "far look": 0 };
  const take = (action: Action): boolean => {
    const lane = laneOf(action);
    if (lane === "single") return true;
    const isAgain = isRetry(action);
    if (places[lane] <= 0 || (isAgain && retries[lane] >= mostAtOnce[lane] / 2)) return false;
    places[lane] -= 1;
    if (isAgain) retries[lane] += 1;
    return true;
  };
  for (const action of underWay) take(action);
  const isFar = (action: Action): boolean => laneOf(action).startsWith("far");
  const inOrder = [...planned.filter((action) => !isFar(action)), ...planned.filter(isFar)];
  return inOrder.filter(take);
}
