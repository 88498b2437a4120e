/** The whole daemon over a real database, with a clock, a server and a minder that a test moves as it likes. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Answer } from "../../lib/server/call.ts";
import type { Config } from "../../lib/config/config.ts";
import { noCover } from "../../lib/hosts/covered-paths.ts";
import { createDaemon, type Daemon } from "../../lib/daemon/daemon.ts";
import type { AgentView, Instance } from "../../lib/words/domain.ts";
import type { FactoryApi, Worker } from "../../lib/server/factory-side.ts";
import type { Host, Hosts } from "../../lib/hosts/host.ts";
import type { Supervisor } from "../../lib/doors/supervisor.ts";
import type { Log } from "../../lib/words/logger.ts";
import type { Minder } from "../../lib/hosts/minder/minder.ts";
import type { MinderView, Recalled } from "../../lib/hosts/minder/minder-answer.ts";
import { openStore, type Store } from "../../lib/store/store.ts";
import { configOf, testbedOf, workerOf } from "../policy/scenes.ts";
import { createSettableClock, type SettableClock } from "../lab/settable-clock.ts";
import { openInstances } from "../../lib/daemon/instance-memory.ts";
import { openMemory, type Factory } from "../../lib/daemon/memory.ts";

export const refusal = (status: number, message = "no"): Answer<never> => ({
  ok: false,
  refusal:
    status === 403 ? "forbidden" : status === 409 ? "conflict" : status >= 500 ? "no answer" : "rejected",
  status,
  message,
});

/** What a call is given instead of its usual answer; undefined: the usual one. */
type Fate = (call: string) => unknown;

export interface Stage {
  directory: string;
  factory: Factory;
  store: Store;
  clock: SettableClock;
  /** Calls of the server and of the minder in their order: `create job-1`, `stop a_1`. */
  calls: string[];
  /** Set to change what calls answer. A promise that never ends is a call that hangs. */
  fate: Fate;
  queue: string[];
  leases: Map<string, number>;
  workers: Map<string, Worker>;
  agents: Map<string, AgentView>;
  recalled: Recalled[];
  locks: Map<string, string>;
  said: string[];
  /** When the loop reported to the supervisor that it turns. */
  turns: number[];
  daemon: Daemon;
  /** Lets the daemon run for this long. */
  run(ms: number): Promise<void>;
  /** Starts it; resolves when it has ended by itself. */
  ended(): Promise<unknown>;
  /** Runs it until something is true; throws after ten minutes. */
  runUntil(isTrue: () => boolean): Promise<void>;
  instance(testbed?: string): Instance | undefined;
  count(call: RegExp): number;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface StageOptions {
  config?: Config;
  bootId?: string;
  /** Rows that an earlier process left. */
  rows?: Instance[];
}

export function openStage({
  config = configOf([testbedOf()]),
  bootId = "boot-1",
  rows = [],
}: StageOptions = {}): Stage {
  const directory = mkdtempSync(join(tmpdir(), "daemon-"));
  const store = openStore({ path: join(directory, "data.sqlite3"), nowMs: 0, directoryOf: () => directory });
  for (const row of rows) store.begin(row);
  const clock = createSettableClock({ bootId });
  const nameOf = (path: string): string => path.replace(/^.*\//, "");
  const ok = <T>(value: T): Answer<T> => ({ ok: true, value });

  /** Does what the server or the minder would do, unless the test has something else in mind. */
  async function call<T>(words: string[], usual: () => T): Promise<T> {
    const line = words.join(" ");
    stage.calls.push(line);
    await clock.sleep(1);
    const fated = await stage.fate(line);
    return fated === undefined ? usual() : (fated as T);
  }

  const api: FactoryApi = {
    ping: () => call(["ping"], () => ok({ ok: true as const })),
    lease: (targets) =>
      call(["lease"], () => {
        const job = stage.queue.shift();
        if (job === undefined) return ok(null);
        stage.leases.set(job, clock.uptimeMs());
        return ok({ job, target: targets[0] ?? "" });
      }),
    renew: (job) => call(["renew", job], () => ok(stage.leases.has(job))),
    createWorker: (target, job) =>
      call(["create", job ?? "unbound"], () => {
        const worker = workerOf({ id: `worker-of-${job}`, private: null, target });
        stage.workers.set(worker.id, worker);
        stage.leases.delete(job ?? "");
        return ok({ ...worker });
      }),
    workers: () => call(["list"], () => ok([...stage.workers.values()].map((each) => ({ ...each })))),
    worker: (id) =>
      call(["read", id], () => {
        const worker = stage.workers.get(id);
        return ok(worker === undefined ? null : { ...worker });
      }),
    associate: (id, instance) =>
      call(["associate", id], () => {
        const worker = stage.workers.get(id);
        if (worker !== undefined) worker.private ??= instance;
        return ok(undefined);
      }),
    append: (id, line) => call(["append", id, line.payload], () => ok(id.includes("jobless"))),
    flush: (id) => call(["flush", id], () => ok(undefined)),
    deleteWorker: (id) =>
      call(["delete", id], () => {
        stage.workers.delete(id);
        return ok(true as const);
      }),
  };

  const viewOf = (path: string): MinderView => {
    const state = stage.agents.get(nameOf(path)) ?? "absent";
    const isGone = ["absent", "exited", "dead"].includes(state);
    return {
      directory: path,
      state: state === "unseen" ? "absent" : state,
      reason: null,
      went: false,
      process: isGone ? "dead" : "alive",
      minder: isGone ? "dead" : "alive",
      hasJob: false,
      exit: null,
      logBytes: 0,
      output: "1",
    };
  };
  const minder = {
    probe: (agents = []) =>
      call(["probe", ...agents], () => ({
        ok: true,
        uid: 0,
        isolation: { kind: "possible" },
        unshared: null,
        unusable: null,
        freeBytes: 1e12,
        agentFaults: [],
      })),
    arm: ({ directory: at }) =>
      call(["arm", nameOf(at)], () => {
        stage.agents.set(nameOf(at), "armed");
        return { kind: "armed", refusal: null };
      }),
    go: ({ directory: at }) =>
      call(["go", nameOf(at)], () => {
        stage.agents.set(nameOf(at), "alive");
        return { kind: "went" };
      }),
    look: (paths) => call(["look", ...paths.map(nameOf)], () => paths.map(viewOf)),
    stop: (at) =>
      call(["stop", nameOf(at)], () => {
        stage.agents.delete(nameOf(at));
        return { kind: "stopped" };
      }),
    quiet: (at) => call(["quiet", nameOf(at)], () => ({ kind: "stopped" })),
    tail: () => Promise.resolve({ ok: true, text: "" }),
    tidy: (at) => call(["tidy", nameOf(at)], () => ({ kind: "tidied", left: null })),
    kept: () => Promise.resolve({ ok: true, directories: [] }),
    remove: () => Promise.resolve({ kind: "tidied", left: null }),
    locks: () =>
      call(["locks"], () => ({
        ok: true,
        locks: [...stage.locks].map(([testbed, cookie]) => ({
          testbed,
          uid: 0,
          cookie,
          owner: "alive",
          instance: `${testbed}/9`,
          directory: "/elsewhere",
        })),
      })),
    recall: () => call(["recall"], () => ({ ok: true, instances: stage.recalled })),
    lookAtFormer: () => Promise.resolve([]),
    stopFormer: () => Promise.resolve({ kind: "stopped" }),
    formerDirectories: () => Promise.resolve({ ok: true, directories: [] }),
  } as Minder;
  const here = {
    minder,
    agent: { kind: "external", argv: ["/agent"], bmat: [] },
    workDirectory: join(directory, "work"),
    cover: noCover,
    path: "/bin",
    user: { name: "lab", home: "/home/lab" },
    ssh: null,
  } as unknown as Host;
  const hosts: Hosts = {
    here,
    builtIn: here.agent,
    minderOf: () => minder,
    reach: (testbed) => call(["reach", testbed.name], () => ({ ok: true as const, host: here })),
    watch: () => ({ close: () => undefined }),
    close: () => Promise.resolve(),
  };
  const say = (message: string): void => void stage.said.push(message);
  const log: Log = { debug: say, info: say, warn: say, error: say };
  const factory = {
    config,
    store,
    api,
    hosts,
    openRunner: () => ({ health: () => Promise.resolve(ok({ status: "healthy" })) }),
    clock,
    random: { bytes: (count: number) => new Uint8Array(count).fill(7), fraction: () => 0.5 },
    files: { list: () => Promise.resolve([]), watch: () => ({ close: () => undefined }) },
    processes: {},
    log,
    supervisor: { alive: () => void stage.turns.push(clock.uptimeMs()), stopping: () => undefined },
    known: openMemory(store, clock),
  } as unknown as Factory & { supervisor: Supervisor };

  let running: Promise<unknown> | null = null;
  const stage: Stage = {
    directory,
    factory,
    store,
    clock,
    calls: [],
    fate: () => undefined,
    queue: [],
    leases: new Map(),
    workers: new Map(),
    agents: new Map(),
    recalled: [],
    locks: new Map(),
    said: [],
    turns: [],
    daemon: createDaemon(factory),
    ended: () => (running ??= stage.daemon.run()),
    run: async (ms) => {
      void stage.ended();
      await clock.advance(ms);
    },
    runUntil: async (isTrue) => {
      for (let passed = 0; !isTrue(); passed += 100) {
        if (passed > 600_000) throw new Error(`it does not come: ${stage.calls.slice(-20).join(", ")}`);
        await stage.run(100);
      }
    },
    instance: (testbed = "a") => openInstances(factory.known).find((each) => each.testbed === testbed),
    count: (pattern) => stage.calls.filter((line) => pattern.test(line)).length,
    [Symbol.asyncDispose]: async () => {
      stage.daemon.stop();
      await clock.advance(3_000);
      await running;
      store.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
  return stage;
}
