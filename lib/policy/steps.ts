/**
 * What to do next with an instance, by its phase and by what the server and the minder say of it: every pair has an answer.
 * Data only; plan.ts reads it.
 */
import type { AgentView, InstanceIn, OpenPhase, WorkerView } from "../words/domain.ts";
import type { StepAction } from "./action.ts";

export type Step =
  /** Nothing to do until something changes. */
  | "wait"
  /** Ask the minder. */
  | "look"
  /** Have a minder hold the testbed and get everything ready. */
  | "arm"
  /** Ask the server for a worker, renewing the lease first if it is old. */
  | "create"
  /** Find out what became of a request for a worker. */
  | "settle"
  /** Tell the server which instance the worker is, and read it back. */
  | "associate"
  /** Hand the bootstrap over: the agent starts. */
  | "go"
  /** It went, and that was not recorded. */
  | "record went"
  /** Tell the server that the agent may have its job. */
  | "flush"
  /** Its agent is gone before its job's end, and can go on with what it wrote down: start it again. */
  | "resume"
  /** Read the worker; unless it is held, decide the end. */
  | "end"
  /** Stop all of it, and prove that. */
  | "stop"
  /** Read the worker; unless it is held, delete it and free the testbed. */
  | "delete"
  /** Something contradicts what we know: touch nothing, tell the operator. */
  | "alarm";

/** The steps that are for every instance in a phase. */
type StepIn<P extends OpenPhase> =
  | "wait"
  | "look"
  | "end"
  | (StepAction extends infer A extends StepAction
      ? A extends StepAction
        ? InstanceIn<P> extends A["instance"]
          ? A["kind"]
          : never
        : never
      : never);
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
    // Without a worker it was never told to go: whatever went there must not meet a second agent.
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
