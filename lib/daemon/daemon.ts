/**
 * The loop: observe, plan, apply. Events only wake it; each pass starts from what is true then, and no action of one
 * testbed waits for another's.
 */
import { type Instance, isRust } from "../words/domain.ts";
import { errorText, isRefusedBySystem } from "../words/failure.ts";
import type { Act, ActAnswer } from "../control/act.ts";
import type { Supervisor } from "../doors/supervisor.ts";
import type { Observation } from "../policy/observation.ts";
import { plan } from "../policy/plan.ts";
import { limits } from "../policy/times-and-limits.ts";
import { type Action, actionKey, rowOf } from "../policy/action.ts";
import { chooseStartable } from "../policy/lanes.ts";
import { takenBy } from "../policy/free-testbeds.ts";
import type { Snapshot } from "../status/snapshot.ts";
import { isPassing } from "../store/store.ts";
import { apply } from "./apply.ts";
import { recordOutcome } from "./failures.ts";
import { type PendingAct, type Running, takeActs } from "./operator-acts.ts";
import { turnIntents } from "./operator-intents.ts";
import { failed, type Outcome } from "./outcome.ts";
import { recover } from "./recover.ts";
import { hintAt, openInstances } from "./instance-memory.ts";
import { takeSnapshot } from "./live-view.ts";
import { type Factory, observe, untakenIn } from "./memory.ts";
import { reconfigure } from "./reconfigure.ts";

export interface Daemon {
  /** Until `stop`, or, once draining, until nothing runs that is not held. Throws on a fault of this program's own. */
  run(): Promise<{ held: Instance[] }>;
  /** Takes nothing new; `run` ends when what runs has ended. */
  drain(): void;
  /** False: asks for no job, because another version is about to take over. A drain stays one. */
  setAsking(isAsking: boolean): void;
  /** Carries an act out in the loop's next turn; resolves once that is in the journal. `who` is a user's name. */
  act(act: Act, who: string, signal: AbortSignal): Promise<ActAnswer>;
  /** What the plan would be made of now. */
  observe(): Observation;
  /** What is known now. */
  snapshot(database: string): Snapshot;
  /** From the next pass on. What is under way goes on with what it was begun with, and takes in nothing of what has changed. */
  reconfigure(next: Pick<Factory, "config" | "api" | "hosts">): void;
  /** Ends `run` at once; agents are left running. */
  stop(): void;
}

export function createDaemon(parts: Factory & { supervisor: Supervisor }): Daemon {
  const { known, clock } = parts;
  // Replaced as a whole: a pass, and what it begins, sees one configuration.
  let factory = parts;
  const stopped = new AbortController();
  let wakeUp = new AbortController();
  let mode: Observation["mode"] = "run";
  const underWay = new Map<Action, Promise<void>>();
  const watchers = new Map<string, { close(): void }[]>();
  let fault: { error: unknown } | null = null;
  const asked: PendingAct[] = [];

  function wake(): void {
    wakeUp.abort();
  }

  async function run(): Promise<{ held: Instance[] }> {
    known.startedMs = clock.uptimeMs();
    await recover(factory, stopped.signal);
    try {
      while (!stopped.signal.aborted && !isDrained()) {
        wakeUp = new AbortController();
        factory.supervisor.alive();
        known.turnedMs = clock.uptimeMs();
        takeActs(factory, daemon, asked);
        turnIntents(factory);
        const { actions, wakeAtMs } = plan(observe(factory, mode));
        const isRetry = (action: Action): boolean => known.retryAtMs.has(actionKey(action));
        for (const action of chooseStartable(actions, underWay.keys(), isRetry)) start(action);
        watchInstances();
        const sleepMs = Math.min(wakeAtMs - clock.uptimeMs(), limits.sleepMs);
        await clock.sleep(sleepMs, AbortSignal.any([wakeUp.signal, stopped.signal]));
        if (fault !== null) throw fault.error;
      }
      factory.supervisor.stopping();
      await Promise.race([Promise.allSettled(underWay.values()), clock.sleep(limits.stopMs)]);
      if (fault !== null) throw fault.error;
      return { held: openInstances(known) };
    } finally {
      for (const name of watchers.keys()) unwatch(name);
      for (const { answer } of asked.splice(0)) answer({ isDone: false, lines: ["the factory stops"] });
    }
  }

  function isDrained(): boolean {
    if (mode !== "drain" || [...underWay.keys()].some((action) => rowOf(action).isPassive !== true))
      return false;
    const { list } = known.server;
    const { testbeds } = takenBy(openInstances(known));
    // It runs, and is taken over with the next pass.
    if ([...untakenIn(known)].some((testbed) => !testbeds.has(testbed))) return false;
    return openInstances(known).every(
      ({ worker }) => worker !== null && list?.workers.get(worker)?.hold === true,
    );
  }

  function start(action: Action): void {
    const key = actionKey(action);
    known.busy.add(key);
    const running = attempt(action).finally(() => {
      known.busy.delete(key);
      underWay.delete(action);
      wake();
    });
    underWay.set(action, running);
  }

  async function attempt(action: Action): Promise<void> {
    const begunWith = factory;
    try {
      record(action, await apply(begunWith, action));
    } catch (error) {
      // The disk is full or somebody else writes the file: the next pass may do better. All else is our own fault.
      if (isPassing(error)) {
        known.isStoreFailing = true;
        record(action, failed(`cannot write the database: ${String(error)}`));
      } else if (isRefusedBySystem(error)) record(action, failed(errorText(error)));
      else fault ??= { error };
    }
    // What it failed on may be what was changed.
    if (begunWith !== factory) known.retryAtMs.delete(actionKey(action));
  }

  function record(action: Action, outcome: Outcome): void {
    recordOutcome(factory, action, outcome);
    // What a step fails on may be what a look shows to people: a host that is away, or another one.
    if ("reason" in outcome && "instance" in action) hintAt(factory, action.instance);
  }

  /** A file event in an instance's directory is a hint to look at it; a missed one costs a look's interval. */
  function watchInstances(): void {
    // One that was begun again has another directory of its minder's by the same name.
    const keyOf = (name: string): string => `${name} ${known.instances.get(name)?.resumed ?? 0}`;
    const wanted = new Set([...known.instances.keys()].map(keyOf));
    for (const name of watchers.keys()) if (!wanted.has(name)) unwatch(name);
    for (const [instanceName, { row: instance }] of known.instances) {
      const name = keyOf(instanceName);
      if (instance.phase !== "running" || watchers.has(name)) continue;
      const onChange = (): void => {
        const current = known.instances.get(instanceName)?.row;
        if (current !== undefined) hintAt(factory, current);
        wake();
      };
      const { directory } = instance.place;
      if (!isRust(instance) && instance.place.way === "ssh") {
        watchers.set(name, [factory.hosts.watch(instance.place, instance.cookie, onChange)]);
        continue;
      }
      watchers.set(
        name,
        // Where the agent says that the job is done, and the minder that the agent ended.
        (isRust(instance)
          ? [`${directory}/opt/buildomat/etc`]
          : [`${directory}/opt/etc`, `${directory}/minder`]
        ).map((path) => factory.files.watch(path, onChange)),
      );
      // It may have ended before it was watched.
      hintAt(factory, instance);
      wake();
    }
  }

  function unwatch(name: string): void {
    for (const watcher of watchers.get(name) ?? []) watcher.close();
    watchers.delete(name);
  }

  const daemon: Daemon & Running = {
    run,
    drain: () => {
      mode = "drain";
      wake();
    },
    act: (act, who, signal) =>
      new Promise((resolve) => {
        asked.push({ act, who, signal, askedMs: clock.uptimeMs(), answer: resolve });
        wake();
      }),
    reconfigure: (next) => {
      const before = factory.config;
      factory = { ...factory, ...next };
      reconfigure(factory, before, next.config);
      // Other hosts are watched by the keys of today.
      for (const name of watchers.keys()) unwatch(name);
      wake();
    },
    observe: () => observe(factory, mode),
    setAsking: (isAsking) => {
      if (mode !== "drain") mode = isAsking ? "run" : "hand over";
    },
    snapshot: (database) => takeSnapshot(factory, { mode, database }),
    stop: () => stopped.abort(),
  };
  return daemon;
}
