/**
 * The loop: observe, plan, apply. Events only wake it; each pass starts from what is true then, and no action of one
 * testbed waits for another's.
 */
import { type Instance, isRust } from "../words/domain.ts";
import { errorText, isRefusedBySystem } from "../words/failure.ts";
import type { Supervisor } from "../doors/supervisor.ts";
import type { LogFields } from "../words/logger.ts";
import { plan } from "../policy/plan.ts";
import { limits } from "../policy/limits.ts";
import { type Action, actionKey } from "../policy/action.ts";
import { chooseStartable } from "../policy/lanes.ts";
import { takenBy } from "../policy/free-testbeds.ts";
import { backOffMs, noteAnswering, noteOutage } from "../policy/server-view.ts";
import { isPassing } from "../store/store.ts";
import { lookAtHost } from "./isolation.ts";
import { type Factory, fieldsOf, hintAt, observe } from "./memory.ts";
import { failed, type Outcome } from "./outcome.ts";
import { takeStep } from "./step.ts";
import { begin, letLapse } from "./prepare.ts";
import { reach } from "./far-hosts.ts";
import { recover, takeOverLater } from "./recover.ts";
import { sweep } from "./sweep.ts";
import { takeIn } from "./findings.ts";
import { deleteStranger, lease, listWorkers, look, lookAtLocks, ping } from "./server-wide.ts";
import { check } from "./testbed-check.ts";
import { takeWords } from "./operator-word.ts";

/** What only finds out, and need not be waited for: there is always some of it while instances are held. */
const passive: ReadonlySet<Action["kind"]> = new Set([
  "list workers",
  "ping",
  "look",
  "look at locks",
  "look at host",
  "reach",
  "check",
  "sweep",
]);

export interface Daemon {
  /** Until `stop`, or, once draining, until nothing runs that is not held. Throws on a fault of this program's own. */
  run(): Promise<{ held: Instance[] }>;
  /** Takes nothing new; `run` ends when what runs has ended. */
  drain(): void;
  /** Ends `run` at once; agents are left running. */
  stop(): void;
}

export function createDaemon(factory: Factory & { supervisor: Supervisor }): Daemon {
  const { known, clock, log } = factory;
  const stopped = new AbortController();
  let wakeUp = new AbortController();
  let mode: "run" | "drain" = "run";
  const underWay = new Map<Action, Promise<void>>();
  const watchers = new Map<string, { close(): void }[]>();
  let fault: { error: unknown } | null = null;

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
        takeWords(factory);
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
      return { held: [...known.instances.values()] };
    } finally {
      for (const name of watchers.keys()) unwatch(name);
    }
  }

  function isDrained(): boolean {
    if (mode !== "drain" || [...underWay.keys()].some(({ kind }) => !passive.has(kind))) return false;
    const { list } = known.server;
    const { testbeds } = takenBy([...known.instances.values()]);
    // It runs, and is taken over with the next pass.
    if ([...known.untaken.keys()].some((testbed) => !testbeds.has(testbed))) return false;
    return [...known.instances.values()].every(
      ({ worker }) => worker !== null && list?.workers.get(worker)?.hold === true,
    );
  }

  function start(action: Action): void {
    const key = actionKey(action);
    known.busy.add(key);
    const running = attempt(action, key).finally(() => {
      known.busy.delete(key);
      underWay.delete(action);
      wake();
    });
    underWay.set(action, running);
  }

  async function attempt(action: Action, key: string): Promise<void> {
    try {
      note(await apply(factory, action), action, key);
    } catch (error) {
      // The disk is full or somebody else writes the file: the next pass may do better. All else is our own fault.
      if (isPassing(error)) {
        known.isStoreFailing = true;
        note(failed(`cannot write the database: ${String(error)}`), action, key);
      } else if (isRefusedBySystem(error)) note(failed(errorText(error)), action, key);
      else fault ??= { error };
    }
  }

  /** Remembers how an action ended; what goes wrong is told once, and once more when it is right again. */
  function note(outcome: Outcome, action: Action, key: string): void {
    const about = aboutOf(action);
    const before = known.failures.get(key);
    const nowMs = clock.uptimeMs();
    const isServerWide = ["list workers", "ping", "lease"].includes(action.kind);
    if (outcome.kind === "outage" && isServerWide) {
      if (!known.failures.has("server")) {
        log.error(
          `the server ${factory.config.general.baseurl} (general.baseurl) does not answer: ${outcome.reason}`,
        );
        known.failures.set("server", { count: 1, message: outcome.reason });
      }
      noteOutage(known.server, nowMs, factory.random.fraction());
      known.retryAtMs.set(key, known.server.retryAtMs);
      return;
    }
    if (outcome.kind === "failed" || outcome.kind === "outage") {
      const count = (before?.count ?? 0) + 1;
      // Whether the server as a whole is away, the list tells; one call alone says nothing of it.
      if (outcome.kind === "outage") known.server.isListWanted = true;
      else if (before?.message !== outcome.reason) log.warn(outcome.reason, about);
      if (isServerWide) known.server.answeringSinceMs = null;
      // What a step fails on may be what a look shows to people: a host that is away, or another one.
      if ("instance" in action) hintAt(factory, action.instance);
      // What was not told is not told to be right again.
      known.failures.set(key, {
        count,
        message: outcome.kind === "outage" ? (before?.message ?? null) : outcome.reason,
      });
      const backOff = backOffMs(count - 1, factory.random.fraction());
      // What keeps jobs away is to be found gone within 10 s of the fix.
      const isPreflight = ["reach", "look at host", "check"].includes(action.kind);
      known.retryAtMs.set(key, nowMs + (isPreflight ? Math.min(backOff, limits.faultyHostMs) : backOff));
      return;
    }
    const isTold = before !== undefined && before.message !== null;
    known.failures.delete(key);
    known.retryAtMs.delete(key);
    if (outcome.kind === "waiting") {
      known.retryAtMs.set(key, nowMs + outcome.ms);
      // What comes and goes is told once.
      if (isTold) known.failures.set(key, { ...before, count: 0 });
    }
    if (isTold && outcome.kind === "done") log.info(`${action.kind}: right again`, about);
    if (isServerWide) {
      if (known.failures.delete("server")) log.info("the server answers again");
      noteAnswering(known.server, nowMs);
    }
  }

  /** A file event in an instance's directory is a hint to look at it; a missed one costs a look's interval. */
  function watchInstances(): void {
    // One that was begun again has another directory of its minder's by the same name.
    const keyOf = (name: string): string => `${name} ${known.resumed.get(name) ?? 0}`;
    const wanted = new Set([...known.instances.keys()].map(keyOf));
    for (const name of watchers.keys()) if (!wanted.has(name)) unwatch(name);
    for (const [instanceName, instance] of known.instances) {
      const name = keyOf(instanceName);
      if (instance.phase !== "running" || watchers.has(name)) continue;
      const onChange = (): void => {
        const current = known.instances.get(instanceName);
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

  return {
    run,
    drain: () => {
      mode = "drain";
      wake();
    },
    stop: () => stopped.abort(),
  };
}

async function apply(factory: Factory, action: Action): Promise<Outcome> {
  switch (action.kind) {
    case "list workers":
      return takeIn(factory, await listWorkers(factory));
    case "ping":
      return takeIn(factory, await ping(factory));
    case "lease":
      return takeIn(factory, await lease(factory, action.targets));
    case "look":
      return takeIn(factory, await look(factory, action.at, action.instances));
    case "look at locks":
      return takeIn(factory, await lookAtLocks(factory));
    case "sweep":
      return await sweep(factory);
    case "take over":
      return await takeOverLater(factory, action.at);
    case "reach":
      return await reach(factory, action.testbed);
    case "check":
      return await check(factory, action.testbed);
    case "look at host":
      return await lookAtHost(factory);
    case "begin":
      return begin(factory, action.lease, action.testbed);
    case "let lapse":
      return letLapse(factory, action.lease);
    case "delete stranger":
      return takeIn(factory, await deleteStranger(factory, action.worker));
    default:
      return await takeStep(factory, action);
  }
}

function aboutOf(action: Action): LogFields {
  if ("testbed" in action) return { testbed: action.testbed.name };
  if (action.kind === "take over" && action.at !== "") return { testbed: action.at };
  if (action.kind === "look") return { testbed: action.instances.map(({ testbed }) => testbed).join(", ") };
  if (!("instance" in action)) return {};
  return fieldsOf(action.instance);
}
