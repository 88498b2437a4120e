/** What plan() can answer. */
import type { Testbed } from "../config/config.ts";
import type {
  EndingInstance,
  Instance,
  PreparingInstance,
  RustInstance,
  WorkingInstance,
} from "../words/domain.ts";
import type { End } from "../words/end-cause.ts";
import type { Worker } from "../server/factory-side.ts";
import type { PendingLease } from "./observation.ts";

export type Action =
  | { kind: "list workers" }
  | { kind: "ping" }
  | { kind: "lease"; targets: string[] }
  /** All of one host, over one connection: `at` is farHostName(), and empty for this host. */
  | { kind: "look"; at: string; instances: Instance[] }
  | { kind: "look at locks" }
  | { kind: "sweep" }
  /** `at` is the testbed on whose host it is; empty: this host. */
  | { kind: "take over"; at: string }
  | { kind: "reach"; testbed: Testbed }
  /** This host: whether jobs can run on it. */
  | { kind: "look at host" }
  | { kind: "check"; testbed: Testbed }
  /** Between a lease and its worker. */
  | { kind: "check again"; instance: PreparingInstance }
  | { kind: "begin"; lease: PendingLease; testbed: Testbed }
  | { kind: "let lapse"; lease: PendingLease }
  | { kind: "delete stranger"; worker: Worker }
  | { kind: "end"; instance: Instance; end: End }
  | StepAction;

/** What steps.ts has for an instance of each kind. */
export type StepAction =
  | { kind: "create" | "settle"; instance: PreparingInstance }
  | { kind: "arm"; instance: PreparingInstance | WorkingInstance }
  | { kind: "associate" | "go" | "record went" | "resume"; instance: WorkingInstance }
  | { kind: "flush"; instance: WorkingInstance | RustInstance }
  | { kind: "stop" | "delete"; instance: EndingInstance | RustInstance }
  | { kind: "alarm"; instance: Instance };

export interface Plan {
  /** In the order in which they are to be begun: what frees a testbed before what takes one. */
  actions: Action[];
  /** Uptime in ms at which the plan may be another one though nothing happened. */
  wakeAtMs: number;
}

/** No two actions with one key are under way at the same time. */
export function actionKey(action: Action): string {
  switch (action.kind) {
    case "list workers":
    case "ping":
    case "lease":
    case "look at locks":
    case "look at host":
    case "sweep":
      return action.kind;
    case "look":
      return `look ${action.at}`;
    case "take over":
      return `testbed ${action.at}`;
    case "reach":
      return `reach ${action.testbed.name}`;
    case "check":
      return `check ${action.testbed.name}`;
    case "begin":
      return `testbed ${action.testbed.name}`;
    case "let lapse":
      return `lease ${action.lease.job}`;
    case "delete stranger":
      return `worker ${action.worker.id}`;
    default:
      return `testbed ${action.instance.testbed}`;
  }
}

/** Actions that ask nothing of the server: they go on while it does not answer. */
export const serverless: ReadonlySet<Action["kind"]> = new Set([
  "look",
  "look at locks",
  "look at host",
  "sweep",
  "take over",
  "reach",
  "check",
  "check again",
  "begin",
  "let lapse",
  "arm",
  "record went",
  "alarm",
]);
