/**
 * What plan() can answer, and one row for each action with what the loop has to know of it. How it is done is in the table of
 * lib/daemon/apply.ts.
 */
import type { Testbed } from "../config/config.ts";
import { type Instance, instanceName, type PreparingInstance } from "../words/domain.ts";
import type { Announced } from "./announcements.ts";
import type { End } from "../words/end-cause.ts";
import { fieldsOf, type LogFields } from "../words/logger.ts";
import type { Worker } from "../server/factory-side.ts";
import type { PendingLease } from "./observation.ts";
import type { StepOn } from "./steps-by-worker-state.ts";

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
  /** Before a worker is asked for. */
  | { kind: "withdraw"; instance: PreparingInstance; end: End }
  | { kind: "end"; instance: Instance; end: End }
  | ({ kind: "announce" } & Announced)
  | { [S in keyof StepOn]: { kind: S; instance: StepOn[S] } }[keyof StepOn];

export type ActionKind = Action["kind"];
export type ActionOf<K extends ActionKind, A = Action> = A extends { kind: infer Kinds }
  ? K extends Kinds
    ? A & { kind: K }
    : never
  : never;

export interface Plan {
  /** In the order in which they are to be begun: what frees a testbed before what takes one. */
  actions: Action[];
  /** Re-plan at this uptime in ms even if nothing happens. */
  wakeAtMs: number;
}

/** What an action waits for, and with what it shares its places. */
export type Lane =
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

interface ActionRow<A> {
  /** No two actions with one key are under way at the same time. */
  key(action: A): string;
  lane(action: A): Lane;
  /** What a log line about it names. */
  about(action: A): LogFields;
  /** It is not begun while the server does not answer. */
  needsServer?: true;
  /** Whether it succeeds says how the server as a whole is. */
  isServerWide?: true;
  /** It only finds out, and need not be waited for: there is always some of it while instances are held. */
  isPassive?: true;
  /** It finds what keeps jobs away: is to be found gone within 10 s of the fix. */
  isPreflight?: true;
}

const nothing = (): LogFields => ({});
const inLane = (lane: Lane) => (): Lane => lane;
const whole = (kind: ActionKind) => ({ key: () => kind, lane: inLane("single"), about: nothing });
const ofTestbed = (what: string, lane: Lane) => ({
  key: ({ testbed }: { testbed: Testbed }) => `${what} ${testbed.name}`,
  lane: inLane(lane),
  about: ({ testbed }: { testbed: Testbed }): LogFields => ({ testbed: testbed.name }),
});
const ofInstance = {
  key: ({ instance }: { instance: Instance }) => `testbed ${instance.testbed}`,
  lane: ({ instance }: { instance: Instance }): Lane => {
    const { way } = instance.place;
    return way === "local" || way === "rust" ? "here" : "far step";
  },
  about: ({ instance }: { instance: Instance }): LogFields => fieldsOf(instance),
};
const atServer = { ...ofInstance, needsServer: true } as const;

const rows: { [K in ActionKind]: ActionRow<ActionOf<K>> } = {
  "list workers": { ...whole("list workers"), needsServer: true, isServerWide: true, isPassive: true },
  ping: { ...whole("ping"), needsServer: true, isServerWide: true, isPassive: true },
  lease: { ...whole("lease"), needsServer: true, isServerWide: true },
  look: {
    key: ({ at }) => `look ${at}`,
    lane: ({ at }) => (at === "" ? "single" : "far look"),
    about: ({ instances }) => ({ testbed: instances.map(({ testbed }) => testbed).join(", ") }),
    isPassive: true,
  },
  "look at locks": { ...whole("look at locks"), isPassive: true },
  "look at host": { ...whole("look at host"), isPassive: true, isPreflight: true },
  sweep: { ...whole("sweep"), isPassive: true },
  "take over": {
    key: ({ at }) => `testbed ${at}`,
    lane: inLane("here"),
    about: ({ at }) => (at === "" ? {} : { testbed: at }),
  },
  reach: { ...ofTestbed("reach", "far look"), isPassive: true, isPreflight: true },
  check: { ...ofTestbed("check", "check"), isPassive: true, isPreflight: true },
  begin: ofTestbed("testbed", "single"),
  "let lapse": { key: ({ lease }) => `lease ${lease.job}`, lane: inLane("single"), about: nothing },
  "delete stranger": {
    key: ({ worker }) => `worker ${worker.id}`,
    lane: inLane("here"),
    about: nothing,
    needsServer: true,
  },
  "check again": { ...ofInstance, lane: inLane("check again") },
  withdraw: ofInstance,
  arm: ofInstance,
  create: atServer,
  settle: atServer,
  associate: atServer,
  go: atServer,
  "record went": ofInstance,
  flush: atServer,
  resume: atServer,
  end: atServer,
  // Beside the instance's steps: it delays none of them.
  announce: {
    ...atServer,
    key: ({ instance, limit }) => `announce ${limit} ${instanceName(instance)}`,
    lane: inLane("here"),
    isPassive: true,
  },
  stop: atServer,
  delete: atServer,
  alarm: ofInstance,
};

export function rowOf({ kind }: Action): ActionRow<Action> {
  return rows[kind];
}

export function actionKey(action: Action): string {
  return rowOf(action).key(action);
}
