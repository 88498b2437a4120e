/** Small builders for what plan() is given, and a seeded source of random scenes that could really be. */
import type { Config, Testbed } from "../../lib/config/config.ts";
import type {
  AgentView,
  Changes,
  Instance,
  InstanceIn,
  Moment,
  OpenPhase,
  Phase,
  RustInstance,
  WorkerView,
} from "../../lib/words/domain.ts";
import type { RustPlace } from "../../lib/words/place.ts";
import { instanceName } from "../../lib/words/domain.ts";
import type { Intent } from "../../lib/words/intent.ts";
import type { JobEntry } from "../../lib/words/journal.ts";
import type { Worker } from "../../lib/server/factory-side.ts";
import { actionKey, type Action } from "../../lib/policy/action.ts";
import type { Look, Observation, PendingLease } from "../../lib/policy/observation.ts";
import { Secret } from "../../lib/words/secret.ts";
import { type KnownServer, newServerView } from "../../lib/policy/server-view.ts";

/** The uptime at which scenes are looked at, well past every interval of the plan's. */
export const nowMs = 10_000_000;
export const at = (uptimeMs: number, bootId = "boot-1"): Moment => ({ bootId, uptimeMs });
/** Times that lie so far ahead or back that they decide nothing. */
export const never = Number.POSITIVE_INFINITY;
export const long = 3_600_000;

export const openPhases: readonly OpenPhase[] = [
  "preparing",
  "creating",
  "created",
  "starting",
  "running",
  "destroying",
  "stopped",
];
export const workerViews: readonly WorkerView[] = [
  "unseen",
  "missing",
  "gone",
  "foreign",
  "held",
  "recycle",
  "offline",
  "online",
];
export const agentViews: readonly AgentView[] = [
  "unseen",
  "cannot tell",
  "absent",
  "armed",
  "alive",
  "done",
  "exited",
  "dead",
];

export const gimlet = "01HGYSTRYRBS0DG7J6E22ZS3M5";
export const sidecar = "01HGYSTRYRBS0DG7J6E22ZS3M6";

export function testbedOf(over: Partial<Testbed> = {}): Testbed {
  return {
    name: "a",
    spType: "gimlet",
    targets: ["sp-gimlet"],
    host: null,
    sshUser: "lab",
    sshPort: null,
    sshKey: null,
    hostKey: null,
    agentPath: null,
    workDir: null,
    spRunnerUrl: null,
    testType: "update-rollback",
    disableWatchdog: false,
    spRunnerPath: "sp-runner",
    spRunnerConfig: "~/Oxide/ci/config.toml",
    baseline: "v16",
    enabled: true,
    startTimeoutMs: 300_000,
    jobTimeoutMs: null,
    silenceTimeoutMs: null,
    check: null,
    note: "",
    ...over,
  };
}

export function configOf(testbeds: Testbed[], isolate: "auto" | "off" = "auto"): Config {
  return {
    path: "config.toml",
    general: {
      baseurl: "http://localhost:8000",
      workDir: null,
      elevate: false,
      elevateElsewhere: null,
      agent: null,
      pollIntervalMs: 1000,
      bindJob: true,
      operators: null,
      isolate,
      keepDays: 14,
      keepBytes: 10e9,
      agentEnvironment: {},
    },
    web: null,
    notify: { command: null, webhook: null, secret: null, reservedOverMs: 8 * 3_600_000 },
    update: { mode: "off", url: null, channel: "stable", window: null, pin: null },
    token: new Secret("token"),
    tokenFile: null,
    testbeds,
    targets: [
      { name: "sp-gimlet", id: gimlet },
      { name: "sp-sidecar", id: sidecar },
      { name: "nameless", id: null },
    ],
  };
}

export function jobOf(over: Partial<JobEntry> = {}): JobEntry {
  return {
    what: "job",
    testbed: "a",
    seq: 7,
    job: "01HGYSTRYRBS0DG7J6E22ZS3M7",
    jobName: "flash",
    target: gimlet,
    queuedMs: 1_000,
    leasedMs: 3_000,
    isStarted: true,
    wentMs: 4_000,
    endedMs: 64_000,
    result: "passed",
    cause: "job done",
    reason: "",
    silentMs: null,
    ...over,
  };
}

export const hasWorker = (phase: string): boolean => !["preparing", "creating", "dropped"].includes(phase);
const hasGone = (phase: string): boolean => ["running", "destroying", "stopped"].includes(phase);

/** What a test says of an instance. */
export type Said = Changes & { testbed?: string; seq?: number; cookie?: string };
export type OwnIn<P extends Phase> = Extract<InstanceIn<P>, { cookie: string }>;

export function instanceOf<P extends Phase = "running">(over: Said & { phase?: P } = {}): OwnIn<P> {
  const phase: Phase = over.phase ?? "running";
  const testbed = over.testbed ?? "a";
  return {
    testbed,
    seq: 7,
    phase,
    target: gimlet,
    job: `job-${testbed}`,
    isBound: true,
    cookie: "00112233445566778899aabbccddeeff",
    place: { way: "local", directory: `/work/${testbed}_7`, agent: "external" },
    leasedAt: at(nowMs - 1000),
    createSentAt: phase === "preparing" ? null : at(nowMs - 900),
    worker: hasWorker(phase) ? `worker-${testbed}` : null,
    bootstrap: hasWorker(phase) ? new Secret("bootstrap") : null,
    wentAt: hasGone(phase) ? at(nowMs - 800) : null,
    isOnline: false,
    isFlushed: false,
    announced: {},
    startTimeoutMs: 300_000,
    jobTimeoutMs: null,
    silenceTimeoutMs: null,
    endReason: null,
    endCause: null,
    untold: null,
    begunMs: 1_700_000_000_000,
    endedMs: null,
    isCleared: false,
    ...over,
  } as OwnIn<P>;
}

/** One that the Rust factory began. */
export function rustInstanceOf(at: RustPlace["at"] = "local", over: Said = {}): RustInstance {
  const place = { way: "rust", at, directory: `/work/${over.testbed ?? "a"}_7`, agent: "external" };
  return { ...instanceOf(over), place, cookie: null } as RustInstance;
}

export function workerOf(over: Partial<Worker> = {}): Worker {
  return {
    id: "worker-a",
    private: "a/7",
    recycle: false,
    bootstrap: "bootstrap",
    online: false,
    hold: false,
    target: gimlet,
    ...over,
  };
}

export function leaseOf(over: Partial<PendingLease> = {}): PendingLease {
  return { job: "job-1", target: gimlet, askedAt: at(nowMs - 100), tried: [], ...over };
}

export function lookOf(view: AgentView, over: Partial<Look> = {}): Look {
  return { view, atMs: nowMs, isStale: false, printedMs: nowMs, ...over };
}

export function listOf(workers: Worker[], askedAtMs = nowMs): KnownServer["list"] {
  return { askedAtMs, workers: new Map(workers.map((worker) => [worker.id, worker])) };
}

/** A server that answers, listed and pinged just now, from which no lease is due. */
export function serverOf(over: Partial<KnownServer> = {}): KnownServer {
  return {
    ...newServerView(),
    list: listOf([]),
    isListWanted: false,
    answeringSinceMs: nowMs - long,
    leaseDueMs: nowMs + long,
    lastPingMs: nowMs,
    ...over,
  };
}

export function intentOf(): Intent {
  return { kind: "paused", who: "ann", note: "", sinceMs: 0, until: null, isAfterJob: false };
}

/** A lab with one free testbed in which nothing is due. */
export function sceneOf(over: Partial<Observation> = {}): Observation {
  return {
    now: at(nowMs),
    startedMs: nowMs - long,
    mode: "run",
    config: configOf([testbedOf()]),
    instances: [],
    leases: [],
    meant: new Map(),
    health: new Map(),
    intents: new Map(),
    rests: new Map(),
    untaken: new Map(),
    elsewhere: new Map(),
    alone: new Set(),
    resumed: new Map(),
    locksSeenMs: nowMs,
    host: { atMs: nowMs, fault: null, faults: new Map() },
    checks: new Map(),
    refusal: null,
    reached: new Map(),
    looks: new Map(),
    sweptMs: nowMs,
    server: serverOf(),
    isStoreFailing: false,
    retryAtMs: new Map(),
    failures: new Map(),
    busy: new Set(),
    ...over,
  };
}

/** A scene with one instance, of which the server and the minder say just this. */
export function cellOf(phase: OpenPhase, worker: WorkerView, agent: AgentView): Observation {
  const instance = instanceOf({ phase });
  const name = instanceName(instance);
  const server = serverOf();
  const private_ = phase === "created" ? null : name;
  switch (worker) {
    case "unseen":
      // Recorded by this process, after the last list was asked for.
      server.recordedMs = new Map([[name, nowMs]]);
      break;
    case "missing":
      server.missingSinceMs = new Map([[name, nowMs - 9_999]]);
      break;
    case "gone":
      server.missingSinceMs = new Map([[name, nowMs - 10_000]]);
      break;
    default:
      server.list = listOf([
        workerOf({
          private: worker === "foreign" ? "a/6" : private_,
          hold: worker === "held",
          recycle: worker === "recycle",
          online: worker === "online",
        }),
      ]);
  }
  const looks = agent === "unseen" ? [] : [[name, lookOf(agent)] as const];
  return sceneOf({ instances: [instance], server, looks: new Map(looks) });
}

export const kinds = (actions: readonly Action[]): string[] => actions.map(({ kind }) => kind);
export const atTime = (seen: Observation, uptimeMs: number): Observation => ({
  ...seen,
  now: at(uptimeMs, seen.now.bootId),
});

/** The scene once every action has been begun and none has ended. What is done at once is done. */
export function begun(seen: Observation, actions: readonly Action[]): Observation {
  const instances = [...seen.instances];
  let leases = seen.leases;
  for (const action of actions) {
    if (action.kind !== "begin" && action.kind !== "let lapse") continue;
    leases = leases.filter((lease) => lease !== action.lease);
    if (action.kind === "begin") {
      instances.push(instanceOf({ testbed: action.testbed.name, seq: 8, phase: "preparing" }));
    }
  }
  // The first open instance makes lists due more often: that one is begun as well.
  const more = instances.length > seen.instances.length ? ["list workers"] : [];
  return { ...seen, instances, leases, busy: new Set([...seen.busy, ...actions.map(actionKey), ...more]) };
}

/** mulberry32: the same numbers for the same seed, on every machine. */
export function randomOf(seed: number): {
  below(limit: number): number;
  chance(share: number): boolean;
  pick<T>(of: readonly T[]): T;
} {
  let state = seed >>> 0;
  const fraction = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  const below = (limit: number): number => Math.floor(fraction() * limit);
  return {
    below,
    chance: (share) => fraction() < share,
    pick: (of) => {
      const picked = of[below(of.length)];
      if (picked === undefined) throw new Error("nothing to pick from");
      return picked;
    },
  };
}

/** A random scene: up to four testbeds with what may hang on each, in any phase and at any moment. */
export function randomScene(seed: number): Observation {
  const { below, chance, pick } = randomOf(seed);
  const past = (most: number): number => nowMs - below(most);
  const near = (): number => nowMs + below(40_000) - 20_000;
  const names = ["a", "b", "c", "d"].slice(0, 1 + below(4));
  const testbeds = names.map((name) =>
    testbedOf({
      name,
      targets: pick([["sp-gimlet"], ["sp-sidecar"], ["sp-gimlet", "sp-sidecar"], ["nameless"]]),
      enabled: chance(0.85),
      check: chance(0.3) ? "true" : null,
      host: chance(0.2) ? "lab-3.example.org" : null,
      spRunnerUrl: chance(0.05) ? "http://localhost:9090" : null,
    }),
  );
  const instances = [...names, "unconfigured"].flatMap((testbed): Instance[] => {
    if (chance(0.45)) return [];
    const phase = pick([...openPhases, "running", "running"] as const);
    const limitMs = (): number | null => (chance(0.3) ? pick([1000, 30_000, 600_000]) : null);
    const wentMs = hasGone(phase) ? past(900_000) : null;
    return [
      instanceOf({
        testbed,
        phase,
        wentAt: wentMs === null ? null : at(wentMs, chance(0.95) ? "boot-1" : "boot-0"),
        isOnline: chance(0.5),
        isFlushed: chance(0.3),
        startTimeoutMs: pick([1000, 30_000, 300_000]),
        jobTimeoutMs: limitMs(),
        silenceTimeoutMs: limitMs(),
      }),
    ];
  });
  const askedAtMs = past(chance(0.5) ? 3_000 : 70_000);
  const listed = instances.flatMap((instance): Worker[] => {
    if (instance.worker === null || chance(0.25)) return [];
    const name = instanceName(instance);
    return [
      workerOf({
        id: instance.worker,
        private: pick([name, name, name, name, null, "x/1"]),
        hold: chance(0.2),
        recycle: chance(0.15),
        online: chance(0.6),
      }),
    ];
  });
  for (let number = below(4); number > 0; number -= 1) {
    listed.push(
      workerOf({
        id: `stranger-${number}`,
        private: pick([null, null, "a/3", "no name"]),
        hold: chance(0.3),
        recycle: chance(0.3),
        online: chance(0.3),
      }),
    );
  }
  const some = <T>(share: number, valueOf: (name: string) => T, of: readonly string[]): Map<string, T> =>
    new Map(of.filter(() => chance(share)).map((name) => [name, valueOf(name)]));
  const instanceNames = instances.map(instanceName);
  const server = serverOf({
    list: chance(0.9) ? listOf(listed, askedAtMs) : null,
    isListWanted: chance(0.2),
    missingSinceMs: some(0.6, () => askedAtMs - below(20_000), instanceNames),
    recordedMs: some(0.4, () => past(60_000), instanceNames),
    firstListedMs: some(
      0.9,
      () => askedAtMs - below(chance(0.2) ? 900_000 : 30_000),
      listed.map(({ id }) => id),
    ),
    lastSettledMs: chance(0.3) ? Number.NEGATIVE_INFINITY : past(40_000),
    retryAtMs: chance(0.7) ? Number.NEGATIVE_INFINITY : near(),
    answeringSinceMs: chance(0.8) ? past(900_000) : null,
    leaseDueMs: chance(0.5) ? Number.NEGATIVE_INFINITY : near(),
    lastPingMs: past(20_000),
    isTokenRefused: chance(0.1),
  });
  const scene: Observation = sceneOf({
    mode: chance(0.85) ? "run" : "drain",
    config: configOf(testbeds, chance(0.85) ? "auto" : "off"),
    instances,
    leases: ["job-1", "job-2", "job-3"]
      .filter(() => chance(0.25))
      .map((job) =>
        leaseOf({ job, target: pick([gimlet, sidecar]), tried: names.filter(() => chance(0.2)) }),
      ),
    health: some(
      0.3,
      () => ({ strikes: 1, retryAt: at(near(), pick(["boot-1", "boot-1", "boot-0"])), reason: "it fell" }),
      names,
    ),
    rests: some(0.1, () => ({ untilMs: near(), reason: "it came to nothing" }), names),
    elsewhere: some(0.15, () => "z/1 in /elsewhere", names),
    locksSeenMs: chance(0.1) ? null : past(8_000),
    checks: some(
      0.8,
      (name) => ({
        atMs: past(30_000),
        fault: chance(0.7) ? null : "its check fails",
        instance: chance(0.5) ? `${name}/7` : null,
      }),
      names,
    ),
    host: chance(0.1)
      ? null
      : {
          atMs: past(70_000),
          fault: chance(0.9) ? null : "the disk is full",
          faults: some(0.1, () => "the disk is full", names),
        },
    looks: some(
      0.9,
      () =>
        lookOf(pick(agentViews.slice(1)), {
          atMs: past(8_000),
          isStale: chance(0.1),
          printedMs: past(700_000),
        }),
      instanceNames,
    ),
    sweptMs: chance(0.1) ? null : past(4_000_000),
    server,
  });
  const keys = [
    "list workers",
    "ping",
    "lease",
    "look",
    "look at locks",
    "look at host",
    "sweep",
    "worker stranger-1",
  ];
  const all = [
    ...keys,
    ...[...names, "unconfigured"].flatMap((name) => [`testbed ${name}`, `check ${name}`]),
  ];
  const retryAtMs = some(0.15, near, all);
  const busy = new Set(all.filter(() => chance(0.1)));
  const intents = some(
    0.15,
    (): Intent => ({
      ...intentOf(),
      kind: pick(["paused", "reserved", "quarantined"]),
      until: chance(0.5) ? null : { wallMs: 0, at: at(near()) },
      isAfterJob: chance(0.3),
    }),
    names,
  );
  return { ...scene, retryAtMs, busy, intents };
}
