import { describe, expect, test } from "bun:test";
import type { AgentView, OpenPhase, WorkerView } from "../../lib/words/domain.ts";
import { type Step, steps } from "../../lib/policy/steps-by-worker-state.ts";
import { agentViews, hasWorker, openPhases, workerViews } from "./scenes.ts";

interface Cell {
  phase: OpenPhase;
  worker: WorkerView;
  agent: AgentView;
  step: Step;
}

const cells: Cell[] = openPhases.flatMap((phase) =>
  workerViews.flatMap((worker) =>
    agentViews.map((agent) => ({ phase, worker, agent, step: steps[phase][worker][agent] })),
  ),
);
const withWorker = cells.filter(({ phase }) => hasWorker(phase));
const mayHaveGone: readonly AgentView[] = ["alive", "done", "exited", "dead"];

/** The cells in which a step is taken, one line for each that the rule `isMeant` and the table do not agree on. */
function disagreements(step: Step, isMeant: (cell: Cell) => boolean): string[] {
  return cells
    .filter((cell) => (cell.step === step) !== isMeant(cell))
    .map(({ phase, worker, agent, step: said }) => `${phase} × ${worker} × ${agent}: ${said}`);
}

/** The worker is there, or was before any list could tell. */
const isUntouched = ({ worker }: Cell): boolean => ["unseen", "offline", "online"].includes(worker);
const isBeforeGo = ({ phase }: Cell): boolean => phase === "created" || phase === "starting";

describe("steps", () => {
  test("have one answer for each of the 448 cells, and no others", () => {
    expect(cells).toHaveLength(7 * 8 * 8);
    expect(cells.filter(({ step }) => step === undefined)).toEqual([]);
    expect(Object.keys(steps).toSorted()).toEqual(openPhases.toSorted());
    for (const phase of openPhases) {
      expect(Object.keys(steps[phase]).toSorted()).toEqual(workerViews.toSorted());
      for (const worker of workerViews) {
        expect(Object.keys(steps[phase][worker]).toSorted()).toEqual(agentViews.toSorted());
      }
    }
  });

  test("leave everything of a held worker alone", () => {
    const held = withWorker.filter(({ worker }) => worker === "held");
    expect(held.filter(({ step }) => step !== "wait")).toEqual([]);
  });

  test("only raise an alarm where the worker is another instance's", () => {
    expect(disagreements("alarm", (cell) => isForeign(cell) || isImpossible(cell))).toEqual([]);
    function isForeign({ phase, worker }: Cell): boolean {
      return hasWorker(phase) && worker === "foreign";
    }
    // Without a worker it never got the go signal.
    function isImpossible({ phase, agent }: Cell): boolean {
      return phase === "preparing" && mayHaveGone.includes(agent);
    }
  });

  test("never arm or start an instance that may have gone", () => {
    const started = cells.filter(({ phase, agent }) => phase === "running" || mayHaveGone.includes(agent));
    const starts: readonly Step[] = ["arm", "go", "create", "associate"];
    expect(started.filter(({ step }) => starts.includes(step))).toEqual([]);
  });

  test("go only from starting, only when armed, and only while nothing is wrong with the worker", () => {
    expect(
      disagreements("go", (cell) => cell.phase === "starting" && cell.agent === "armed" && isUntouched(cell)),
    ).toEqual([]);
  });

  test("associate only a created worker, once the minder is armed", () => {
    const isMeant = (cell: Cell): boolean =>
      cell.phase === "created" && cell.agent === "armed" && isUntouched(cell);
    expect(disagreements("associate", isMeant)).toEqual([]);
  });

  test("create only from preparing, and only when armed", () => {
    expect(disagreements("create", ({ phase, agent }) => phase === "preparing" && agent === "armed")).toEqual(
      [],
    );
  });

  test("arm what is to be prepared, and again what gave up waiting before it went", () => {
    const isMeant = (cell: Cell): boolean =>
      cell.phase === "preparing"
        ? cell.agent !== "armed" && !mayHaveGone.includes(cell.agent)
        : isBeforeGo(cell) && cell.agent === "absent" && isUntouched(cell) && cell.worker !== "online";
    expect(disagreements("arm", isMeant)).toEqual([]);
  });

  test("settle whatever was asked for, whatever is seen", () => {
    expect(disagreements("settle", ({ phase }) => phase === "creating")).toEqual([]);
  });

  test("record what went before it was recorded", () => {
    const isMeant = (cell: Cell): boolean =>
      isBeforeGo(cell) && isUntouched(cell) && mayHaveGone.includes(cell.agent);
    expect(disagreements("record went", isMeant)).toEqual([]);
  });

  test("flush only what runs and is online", () => {
    const isMeant = ({ phase, worker, agent }: Cell): boolean =>
      phase === "running" && worker === "online" && agent === "alive";
    expect(disagreements("flush", isMeant)).toEqual([]);
  });

  test("stop only what is being destroyed, and delete only what is stopped", () => {
    const isOurs = ({ worker }: Cell): boolean => worker !== "held" && worker !== "foreign";
    expect(disagreements("stop", (cell) => cell.phase === "destroying" && isOurs(cell))).toEqual([]);
    expect(disagreements("delete", (cell) => cell.phase === "stopped" && isOurs(cell))).toEqual([]);
  });

  test("end by a recycled or twice missing worker, or by an agent that is over; one list proves nothing", () => {
    const isMeant = (cell: Cell): boolean => {
      const { phase, worker, agent } = cell;
      if (!isBeforeGo(cell) && phase !== "running") return false;
      if (worker === "gone" || worker === "recycle") return true;
      // A worker that has been online had its agent: with nothing left of it, it is not started again.
      if (isBeforeGo(cell) && worker === "online" && agent === "absent") return true;
      const isOver = agent === "done" || agent === "exited" || agent === "dead";
      return phase === "running" && isOver && (isUntouched(cell) || worker === "missing");
    };
    expect(disagreements("end", isMeant)).toEqual([]);
  });

  test("never take an unknown state for an end", () => {
    const ends: readonly Step[] = ["end", "record went", "arm", "go"];
    const unsure = withWorker.filter(
      (cell) =>
        (cell.agent === "cannot tell" || cell.agent === "unseen") &&
        (isUntouched(cell) || cell.worker === "missing"),
    );
    expect(unsure.filter(({ step }) => ends.includes(step))).toEqual([]);
  });
});
