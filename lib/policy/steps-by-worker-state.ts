/**
 * What to do next with an instance, by its phase and by what the server and the minder say of it: every pair has an answer.
 * Data only; plan.ts reads it.
 */
import type {
  AgentView,
  EndingInstance,
  Instance,
  InstanceIn,
  OpenPhase,
  PreparingInstance,
  RustInstance,
  WorkerView,
  WorkingInstance,
} from "../words/domain.ts";

/** Each step that is taken, and the instances that it is for. */
export interface StepOn {
  /** Have a minder hold the testbed and get everything ready. */
  arm: PreparingInstance | WorkingInstance;
  /** Ask the server for a worker, renewing the lease first if it is old. */
  create: PreparingInstance;
  /** Find out what became of a request for a worker. */
  settle: PreparingInstance;
  /** Tell the server which instance the worker is, and read it back. */
  associate: WorkingInstance;
  /** Hand the bootstrap over: the agent starts. */
  go: WorkingInstance;
  /** It went, and that was not recorded. */
  "record went": WorkingInstance;
  /** Tell the server that the agent may have its job. */
  flush: WorkingInstance | RustInstance;
  /** Its agent is gone before its job's end, and can go on with what it wrote down: start it again. */
  resume: WorkingInstance;
  /** Stop all of it, and prove that. */
  stop: EndingInstance | RustInstance;
  /** Read the worker; unless it is held, delete it and free the testbed. */
  delete: EndingInstance | RustInstance;
  /** Something contradicts what we know: touch nothing, tell the operator. */
  alarm: Instance;
}

export type Step =
  | keyof StepOn
  /** Nothing to do until something changes. */
  | "wait"
  /** Ask the minder. */
  | "look"
  /** Read the worker; unless it is held, decide the end. */
  | "end";

/** The steps that are for every instance in a phase. */
type StepIn<P extends OpenPhase> =
  | Exclude<Step, keyof StepOn>
  | { [S in keyof StepOn]: InstanceIn<P> extends StepOn[S] ? S : never }[keyof StepOn];
type ByAgent<S extends Step> = Record<AgentView, S>;
type ByWorker<S extends Step> = Record<WorkerView, ByAgent<S>>;

const always = <S extends Step>(step: S): ByAgent<S> => ({
  unseen: step,
  "cannot tell": step,
  absent: step,
  armed: step,
  alive: step,
  done: step,
  exited: step,
  dead: step,
});

const byWorker = <S extends Step>(of: ByAgent<S>): ByWorker<S> => ({
  unseen: of,
  missing: of,
  gone: of,
  foreign: of,
  held: of,
  recycle: of,
  offline: of,
  online: of,
});

/** Before go, whatever went is recorded first; a minder that gave up waiting is armed again. */
const beforeGo = <S extends Step>(armed: S): ByAgent<S | "look" | "wait" | "arm" | "record went"> => ({
  unseen: "look",
  "cannot tell": "wait",
  absent: "arm",
  armed,
  alive: "record went",
  done: "record went",
  exited: "record went",
  dead: "record went",
});

const notYetRunning = <S extends Step>(of: ByAgent<S>): ByWorker<S | "wait" | "end" | "alarm"> => ({
  unseen: of,
  missing: always("wait"),
  gone: always("end"),
  foreign: always("alarm"),
  held: always("wait"),
  recycle: always("end"),
  offline: of,
  // It went once; with nothing of it left it is dead, and never started again.
  online: { ...of, absent: "end" },
});

const whileRunning: ByAgent<"look" | "wait" | "end"> = {
  unseen: "look",
  "cannot tell": "wait",
  // Its directory is gone: nothing there says whether it runs, so only the worker's end is acted on.
  absent: "wait",
  armed: "wait",
  alive: "wait",
  done: "end",
  exited: "end",
  dead: "end",
};

const table: { [P in OpenPhase]: ByWorker<StepIn<P>> } = {
  preparing: byWorker({
    ...always("arm"),
    armed: "create",
    // Without a worker it never got the go signal, so an unknown agent runs there: do not start a second one.
    alive: "alarm",
    done: "alarm",
    exited: "alarm",
    dead: "alarm",
  }),
  creating: byWorker(always("settle")),
  created: notYetRunning(beforeGo("associate")),
  starting: notYetRunning(beforeGo("go")),
  running: {
    unseen: whileRunning,
    // One list without it proves nothing, but an agent that has ended is a reason of its own.
    missing: whileRunning,
    gone: always("end"),
    foreign: always("alarm"),
    held: always("wait"),
    recycle: always("end"),
    offline: whileRunning,
    online: { ...whileRunning, alive: "flush" },
  },
  // The end is decided and committed; a hold that came later is looked for again before the delete.
  destroying: { ...byWorker(always("stop")), held: always("wait"), foreign: always("alarm") },
  stopped: { ...byWorker(always("delete")), held: always("wait"), foreign: always("alarm") },
};

export const steps: Record<OpenPhase, ByWorker<Step>> = table;
