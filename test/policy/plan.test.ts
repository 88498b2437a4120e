import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { type AgentView, type Instance, instanceName, isOpen } from "../../lib/words/domain.ts";
import type { SshHost } from "../../lib/words/place.ts";
import type { Intent } from "../../lib/words/intent.ts";
import { endText, toldOwner } from "../../lib/policy/end-causes.ts";
import { plan } from "../../lib/policy/plan.ts";
import { workerView } from "../../lib/policy/server-view.ts";
import { type Action, actionKey } from "../../lib/policy/action.ts";
import { limits } from "../../lib/policy/times-and-limits.ts";
import type { Look, Observation, ServerView } from "../../lib/policy/observation.ts";
import { whyNoLease, whyNotFree } from "../../lib/policy/free-testbeds.ts";
import { steps } from "../../lib/policy/steps-by-worker-state.ts";
import {
  agentViews,
  at,
  atTime,
  begun,
  cellOf,
  configOf,
  gimlet,
  hasWorker,
  instanceOf,
  kinds,
  leaseOf,
  listOf,
  long,
  lookOf,
  never,
  nowMs,
  openPhases,
  randomScene,
  sceneOf,
  serverOf,
  sidecar,
  testbedOf,
  workerOf,
  workerViews,
  rustInstanceOf,
  type Said,
  intentOf,
} from "./scenes.ts";

const past = Number.NEGATIVE_INFINITY;
const actionsOf = (seen: Observation): Action[] => plan(seen).actions;
const kindsOf = (seen: Observation): string[] => kinds(actionsOf(seen));
const targetsOf = (seen: Observation): string[] =>
  actionsOf(seen).flatMap((action) => (action.kind === "lease" ? action.targets : []));

/** At `atMs`, and not a millisecond before, the plan has `kind`; until then it says when to look again. */
function expectFirstAt(seen: Observation, atMs: number, kind: Action["kind"]): void {
  const before = plan(atTime(seen, atMs - 1));
  expect(kinds(before.actions)).not.toContain(kind);
  expect(before.wakeAtMs).toBe(atMs);
  expect(kinds(plan(atTime(seen, atMs)).actions)).toContain(kind);
}

/** What is done with an instance, and nothing that concerns the lab or the server as a whole. */
function stepsOf(seen: Observation): Action[] {
  // What is announced is in announcements.test.ts.
  return actionsOf(seen).filter((action) => "instance" in action && action.kind !== "announce");
}

describe("plan() for one instance", () => {
  const known = openPhases.filter(hasWorker);

  test("takes the step of the table for every phase, worker and agent", () => {
    for (const phase of known) {
      for (const worker of workerViews) {
        for (const agent of agentViews) {
          const step = steps[phase][worker][agent];
          const expected = step === "wait" || step === "look" ? [] : [step];
          expect([phase, worker, agent, ...kinds(stepsOf(cellOf(phase, worker, agent)))]).toEqual([
            phase,
            worker,
            agent,
            ...expected,
          ]);
        }
      }
    }
  });

  test("sees no worker where none was recorded, whatever the list says", () => {
    for (const worker of workerViews) {
      for (const agent of agentViews) {
        expect(kinds(stepsOf(cellOf("creating", worker, agent)))).toEqual(["settle"]);
        const [step] = stepsOf(cellOf("preparing", worker, agent));
        expect(step?.kind).toBe(steps.preparing.unseen[agent] as "arm");
      }
    }
  });

  test("does nothing at all with a held worker, whatever limit has passed", () => {
    for (const phase of known) {
      for (const agent of agentViews) {
        const seen = cellOf(phase, "held", agent);
        const instances = seen.instances.map((each) => ({
          ...each,
          startTimeoutMs: 1,
          jobTimeoutMs: 1,
          silenceTimeoutMs: 1,
        }));
        expect(stepsOf({ ...seen, instances })).toEqual([]);
      }
    }
  });

  test("only raises an alarm over a foreign worker, whatever limit has passed", () => {
    for (const phase of known) {
      const seen = cellOf(phase, "foreign", "alive");
      const instances = seen.instances.map((each) => ({ ...each, startTimeoutMs: 1, jobTimeoutMs: 1 }));
      expect(kinds(stepsOf({ ...seen, instances }))).toEqual(["alarm"]);
    }
  });

  test("does not take a worker without private for a foreign one: a list can be older than the association", () => {
    for (const phase of known) {
      const seen = cellOf(phase, "offline", "armed");
      const server = serverOf({ list: listOf([workerOf({ private: null })]) });
      expect(kinds(stepsOf({ ...seen, server }))).not.toContain("alarm");
    }
  });

  test("stops and deletes what ended before its worker was associated", () => {
    const server = serverOf({ list: listOf([workerOf({ private: null })]) });
    expect(kinds(stepsOf({ ...cellOf("destroying", "offline", "absent"), server }))).toEqual(["stop"]);
    expect(kinds(stepsOf({ ...cellOf("stopped", "offline", "absent"), server }))).toEqual(["delete"]);
  });

  test("leaves a held worker alone that was never associated", () => {
    const server = serverOf({ list: listOf([workerOf({ private: null, hold: true })]) });
    for (const phase of known) {
      expect(stepsOf({ ...cellOf(phase, "offline", "armed"), server })).toEqual([]);
    }
  });

  test("does not start what an earlier process prepared before the first list says that it is not held", () => {
    const instance = instanceOf({ phase: "starting" });
    const looks = new Map([["a/7", lookOf("armed")]]);
    const restarted = sceneOf({ instances: [instance], looks, server: serverOf({ list: null }) });
    expect(stepsOf(restarted)).toEqual([]);
    expect(kindsOf(restarted)).toContain("list workers");
    const recordedNow = serverOf({ list: null, recordedMs: new Map([["a/7", nowMs - 5]]) });
    expect(kinds(stepsOf({ ...restarted, server: recordedNow }))).toEqual(["go"]);
  });

  test("flushes once", () => {
    const seen = cellOf("running", "online", "alive");
    expect(kinds(stepsOf(seen))).toEqual(["flush"]);
    const instances = seen.instances.map((each) => ({ ...each, isFlushed: true }));
    expect(stepsOf({ ...seen, instances })).toEqual([]);
  });

  test("does what frees a testbed before what takes one", () => {
    const phases = openPhases.toReversed();
    const instances = openPhases.map((phase, index) => instanceOf({ phase, testbed: `t${index}` }));
    const looks = new Map(
      openPhases.map(
        (phase, index) => [`t${index}/7`, lookOf(phase === "running" ? "done" : "armed")] as const,
      ),
    );
    const recordedMs = new Map(instances.map(({ testbed }) => [`${testbed}/7`, nowMs] as const));
    const leases = [leaseOf()];
    const actions = actionsOf(
      sceneOf({ instances, looks, leases, server: serverOf({ recordedMs, leaseDueMs: past }) }),
    );
    expect(actions.flatMap((action) => ("instance" in action ? [action.instance.phase] : []))).toEqual(
      phases,
    );
    expect(kinds(actions).indexOf("begin")).toBeGreaterThan(kinds(actions).indexOf("arm"));
  });

  test("plans nothing for what is under way", () => {
    const seen = cellOf("stopped", "online", "dead");
    expect(kinds(stepsOf(seen))).toEqual(["delete"]);
    expect(stepsOf({ ...seen, busy: new Set(["testbed a"]) })).toEqual([]);
  });

  test("tries what failed again when its time comes", () => {
    const seen = {
      ...cellOf("preparing", "unseen", "unseen"),
      retryAtMs: new Map([["testbed a", nowMs + 700]]),
    };
    expectFirstAt(seen, nowMs + 700, "arm");
  });

  test("ignores instances that have ended", () => {
    const instances = [instanceOf({ phase: "destroyed" }), instanceOf({ phase: "dropped", seq: 8 })];
    expect(plan(sceneOf({ instances })).actions).toEqual([]);
  });
});

describe("plan() for the end of an instance", () => {
  const reasonOf = (seen: Observation): { reason: string; untold: string | null } | null => {
    const [end] = stepsOf(seen);
    return end?.kind === "end" ? { reason: endText(end.end), untold: toldOwner(end.end) } : null;
  };

  test("blames nobody for a job that is done, a worker that is gone or one that is recycled", () => {
    expect(reasonOf(cellOf("running", "online", "done"))).toEqual({
      reason: "the job is done",
      untold: null,
    });
    for (const agent of ["alive", "done", "exited", "dead"] as const) {
      expect(reasonOf(cellOf("running", "gone", agent))).toEqual({
        reason: "the worker is gone",
        untold: null,
      });
      expect(reasonOf(cellOf("running", "recycle", agent))).toEqual({
        reason: "the server recycles the worker",
        untold: null,
      });
    }
  });

  test("informs the job's owner that its agent ended or was killed", () => {
    const killed = "the agent was killed, or its host restarted";
    expect(reasonOf(cellOf("running", "online", "dead"))).toEqual({ reason: killed, untold: killed });
    const ended = "the agent ended before the job did";
    const cell = cellOf("running", "offline", "exited");
    expect(reasonOf(cell)).toEqual({ reason: ended, untold: ended });
    const exits = [
      [{ code: 3 }, "exit code 3"],
      [{ signal: 9 }, "signal 9"],
    ] as const;
    for (const [exit, how] of exits) {
      const looks = new Map([["a/7", lookOf("exited", { exit })]]);
      expect(reasonOf({ ...cell, looks })).toMatchObject({ untold: `${ended}: ${how}` });
    }
  });

  const running = (over: Said, list = [workerOf({ online: true })]): Observation =>
    sceneOf({
      // What is not under test is done or far away.
      instances: [instanceOf({ isFlushed: true, isOnline: true, wentAt: at(nowMs), ...over })],
      looks: new Map([["a/7", lookOf("alive", { atMs: nowMs + long, printedMs: nowMs })]]),
      server: serverOf({ list: listOf(list, nowMs + long), lastPingMs: nowMs + long }),
    });

  test("ends a job at its job_timeout, not before", () => {
    const seen = running({ jobTimeoutMs: 90_000 });
    expectFirstAt(seen, nowMs + 90_000, "end");
    const reason = "the job ran longer than job_timeout (90 s)";
    expect(reasonOf(atTime(seen, nowMs + 90_000))).toEqual({ reason, untold: reason });
  });

  describe("silence_timeout", () => {
    const silent = (
      atMs: number,
      over: Partial<Look> = {},
      server: Partial<ServerView> = {},
    ): Observation => {
      const seen = running({ silenceTimeoutMs: 20_000, wentAt: at(nowMs - 60_000) });
      const looks = new Map([["a/7", lookOf("alive", { atMs, printedMs: nowMs, ...over })]]);
      const since = { answeringSinceMs: nowMs - long, ...server };
      return atTime({ ...seen, looks, server: { ...seen.server, ...since } }, atMs);
    };

    test("ends a job that a look from after it shows silent, and says for how long it was", () => {
      const reason = "the job printed nothing for 23 s (silence_timeout is 20 s)";
      expect(reasonOf(silent(nowMs + 23_000))).toEqual({ reason, untold: reason });
      expect(kinds(stepsOf(silent(nowMs + 20_000)))).toEqual(["end"]);
      expect(stepsOf(silent(nowMs + 19_999))).toEqual([]);
    });

    test("proves nothing by a look from before it, and looks again at once", () => {
      const seen = atTime(silent(nowMs + 19_000), nowMs + 20_000);
      expect(kinds(stepsOf(seen))).toEqual([]);
      expect(plan(seen).actions.map(({ kind }) => kind)).toContain("look");
      expect(plan(silent(nowMs + 19_000)).actions.map(({ kind }) => kind)).not.toContain("look");
      expect(plan(silent(nowMs + 19_000)).wakeAtMs).toBe(nowMs + 20_000);
    });

    test("counts from go, and from when the server was back", () => {
      const old = { printedMs: nowMs - long };
      const went = silent(nowMs + 20_000, old);
      const instances = went.instances.map((each) => ({ ...each, wentAt: at(nowMs + 1) }));
      expect(stepsOf({ ...went, instances })).toEqual([]);
      expect(stepsOf(silent(nowMs + 20_000, old, { answeringSinceMs: nowMs + 1 }))).toEqual([]);
      expect(stepsOf(silent(nowMs + long, old, { answeringSinceMs: null }))).toEqual([]);
      expect(kinds(stepsOf(silent(nowMs + 20_000, old)))).toEqual(["end"]);
    });
  });

  test("has no job_timeout and no silence_timeout unless they are configured", () => {
    const seen = atTime(running({ wentAt: at(0) }), nowMs + 100 * long);
    expect(stepsOf(seen)).toEqual([]);
  });

  describe("start_timeout", () => {
    const offline = (listedMs: number, over: Parameters<typeof serverOf>[0] = {}): Observation => ({
      ...running({ isOnline: false }),
      server: serverOf({ list: listOf([workerOf()], listedMs), answeringSinceMs: nowMs - long, ...over }),
    });

    test("ends an agent that a list asked for after it shows offline", () => {
      const seen = atTime(offline(nowMs + 300_000), nowMs + 300_000);
      const reason = "the agent did not reach the server within start_timeout (300 s)";
      expect(reasonOf(seen)).toEqual({ reason, untold: reason });
    });

    test("proves nothing by a list from before it", () => {
      expect(stepsOf(atTime(offline(nowMs + 299_999), nowMs + 302_000))).toEqual([]);
    });

    test("counts only while the server answers, from zero when it is back", () => {
      const silent = offline(nowMs + 400_000, { answeringSinceMs: null });
      expect(stepsOf(atTime(silent, nowMs + 400_000))).toEqual([]);
      const back = (atMs: number): Observation =>
        atTime(offline(atMs, { answeringSinceMs: nowMs + 200_000 }), atMs);
      expect(stepsOf(back(nowMs + 499_999))).toEqual([]);
      expect(kinds(stepsOf(back(nowMs + 500_000)))).toEqual(["end"]);
    });

    test("does not concern an agent that has been online, even if that is not recorded yet", () => {
      const seen = atTime(offline(nowMs + 400_000), nowMs + 400_000);
      const recorded = seen.instances.map((each) => ({ ...each, isOnline: true }));
      expect(stepsOf({ ...seen, instances: recorded })).toEqual([]);
      const listed = serverOf({
        answeringSinceMs: nowMs - long,
        list: listOf([workerOf({ online: true })], nowMs + 400_000),
      });
      expect(stepsOf({ ...seen, server: listed })).toEqual([]);
    });
  });

  test("applies no limit to an agent that is not known to be alive", () => {
    for (const view of ["absent", "cannot tell", "armed"] as const) {
      const seen = running({ jobTimeoutMs: 1, silenceTimeoutMs: 1, startTimeoutMs: 1 });
      const looks = new Map([["a/7", lookOf(view, { atMs: nowMs + long })]]);
      expect(stepsOf(atTime({ ...seen, looks }, nowMs + long))).toEqual([]);
    }
  });

  test("prefers what the server says to a limit: a cancelled job is not the lab's failure", () => {
    const seen = running({ jobTimeoutMs: 1 }, [workerOf({ recycle: true, online: true })]);
    expect(reasonOf(atTime(seen, nowMs + 1000))).toEqual({
      reason: "the server recycles the worker",
      untold: null,
    });
  });

  test("applies no limit to an instance of the Rust factory, which did not record when it went", () => {
    const seen = running({ wentAt: null, isOnline: false, startTimeoutMs: 1, jobTimeoutMs: 1 });
    expect(stepsOf(atTime(seen, nowMs + long))).toEqual([]);
  });
});

describe("plan() for looks and lists", () => {
  const running = (over: Partial<Observation> = {}): Observation =>
    sceneOf({
      instances: [instanceOf({ isOnline: true, isFlushed: true })],
      looks: new Map([["a/7", lookOf("alive")]]),
      server: serverOf({
        list: listOf([workerOf({ online: true })], nowMs + long),
        lastPingMs: nowMs + long,
      }),
      ...over,
    });

  test("looks at every instance that may have a minder with one command", () => {
    const instances = openPhases.map((phase, index) => instanceOf({ phase, testbed: `t${index}` }));
    const [look] = actionsOf(sceneOf({ instances })).filter(({ kind }) => kind === "look");
    const looked = look?.kind === "look" ? look.instances.map(({ phase }) => phase) : [];
    expect(looked).toEqual(["created", "starting", "running", "destroying"]);
  });

  test("looks again after 5 s, or at once when something may have changed", () => {
    expectFirstAt(running(), nowMs + limits.lookMs, "look");
    const looks = new Map([["a/7", lookOf("alive", { isStale: true })]]);
    expect(kindsOf(running({ looks }))).toContain("look");
  });

  test("does not look at what an action is changing", () => {
    expect(kindsOf(running({ looks: new Map(), busy: new Set(["testbed a"]) }))).not.toContain("look");
  });

  test("lists workers every 3 s while an instance is open, every 60 s while none is", () => {
    const server = serverOf({ list: listOf([workerOf({ online: true })]), lastPingMs: nowMs + long });
    const looks = new Map([["a/7", lookOf("alive", { atMs: nowMs + long })]]);
    expectFirstAt(running({ server, looks }), nowMs + 3000, "list workers");
    const idle = sceneOf({ server: serverOf({ lastPingMs: nowMs + long }), locksSeenMs: nowMs + long });
    expectFirstAt(idle, nowMs + 60_000, "list workers");
  });

  test("lists workers at once when it never did, or when a list is wanted", () => {
    expect(kindsOf(sceneOf({ server: serverOf({ list: null }) }))).toContain("list workers");
    expect(kindsOf(sceneOf({ server: serverOf({ isListWanted: true }) }))).toContain("list workers");
  });

  test("calls nothing of the server's while it does not answer, and looks all the same", () => {
    const server = serverOf({ list: null, retryAtMs: nowMs + 4000 });
    const seen = running({ server, looks: new Map() });
    expect(kindsOf(seen)).toEqual(["look"]);
    expectFirstAt({ ...seen, busy: new Set(["look"]) }, nowMs + 4000, "list workers");
  });

  test("removes old directories at the first pass and every hour", () => {
    expect(kindsOf(atTime(sceneOf({ sweptMs: null }), 1000))).toContain("sweep");
    const idle = sceneOf({
      server: serverOf({ list: listOf([], nowMs + 2 * long), leaseDueMs: nowMs + 2 * long }),
    });
    const seen = { ...idle, locksSeenMs: nowMs + 2 * long };
    expectFirstAt(seen, nowMs + long, "sweep");
  });
});

describe("plan() for workers of no instance of ours", () => {
  const stranger = workerOf({ id: "stranger", private: null });
  const scene = (over: Parameters<typeof serverOf>[0], worker = stranger): Observation =>
    sceneOf({ server: serverOf({ list: listOf([worker]), ...over }) });
  const listedFor = (ms: number): ReadonlyMap<string, number> & Map<string, number> =>
    new Map([["stranger", nowMs - ms]]);

  test("deletes an unassociated one that two lists 10 s apart have", () => {
    expect(kindsOf(scene({ firstListedMs: listedFor(10_000) }))).toContain("delete stranger");
    expect(kindsOf(scene({ firstListedMs: listedFor(9_999) }))).not.toContain("delete stranger");
    expect(kindsOf(scene({}))).not.toContain("delete stranger");
  });

  test("counts only lists that were asked for after the last request for a worker was settled", () => {
    const firstListedMs = listedFor(20_000);
    expect(kindsOf(scene({ firstListedMs, lastSettledMs: nowMs - 20_001 }))).toContain("delete stranger");
    // The first of the two lists is from before: one alone proves nothing, however late it is.
    expect(kindsOf(scene({ firstListedMs, lastSettledMs: nowMs - 20_000 }))).not.toContain("delete stranger");
    expect(kindsOf(scene({ firstListedMs, lastSettledMs: nowMs }))).not.toContain("delete stranger");
  });

  test("deletes none while it is open what became of a request for a worker", () => {
    const seen = scene({ firstListedMs: listedFor(900_000) });
    const creating = instanceOf({ phase: "creating" });
    expect(kindsOf({ ...seen, instances: [creating] })).not.toContain("delete stranger");
  });

  test.each<[string, Partial<Observation>, Instance["createSentAt"], boolean]>([
    ["5 minutes", {}, at(nowMs - 300_000), true],
    ["less than that", {}, at(nowMs - 299_999), false],
    ["less than that in this run", { startedMs: nowMs - 299_999 }, at(nowMs - 900_000), false],
    ["since another boot, 5 minutes in this run", { startedMs: nowMs - 300_000 }, at(1, "boot-0"), true],
    ["since another boot, less in this run", { startedMs: nowMs - 299_999 }, at(1, "boot-0"), false],
  ])(
    "deletes one beside a request that cannot be settled: open for %s",
    (_, over, createSentAt, isDeleted) => {
      const seen = { ...scene({ firstListedMs: listedFor(900_000) }), ...over };
      const creating = instanceOf({ phase: "creating", createSentAt });
      expect(kindsOf({ ...seen, instances: [creating] }).includes("delete stranger")).toBe(isDeleted);
      const server = { ...seen.server, answeringSinceMs: nowMs - 299_999 };
      expect(kindsOf({ ...seen, server, instances: [creating] })).not.toContain("delete stranger");
    },
  );

  test("never touches a held one", () => {
    const held = { hold: true, recycle: true };
    for (const worker of [{ ...stranger, ...held }, workerOf({ id: "stranger", private: "a/3", ...held })]) {
      expect(kindsOf(scene({ firstListedMs: listedFor(900_000) }, worker))).not.toContain("delete stranger");
    }
  });

  test("leaves one that names an unknown instance until it is recycled or was offline for ten minutes", () => {
    const lost = workerOf({ id: "stranger", private: "a/3" });
    const listed = { firstListedMs: listedFor(599_999) };
    expect(kindsOf(scene(listed, lost))).not.toContain("delete stranger");
    expect(kindsOf(scene(listed, { ...lost, recycle: true }))).toContain("delete stranger");
    const forgotten = { firstListedMs: listedFor(600_000) };
    expect(kindsOf(scene(forgotten, lost))).toContain("delete stranger");
    expect(kindsOf(scene(forgotten, { ...lost, online: true }))).not.toContain("delete stranger");
  });

  test("does not take an instance's own worker for a stranger", () => {
    const seen = scene({ firstListedMs: listedFor(900_000) });
    const instances = [instanceOf({ phase: "created", worker: "stranger" })];
    expect(kindsOf({ ...seen, instances })).not.toContain("delete stranger");
  });

  test("asks for the second list 10 s after the first, not a minute after it", () => {
    const seen = scene({ firstListedMs: listedFor(0), lastPingMs: nowMs + long });
    expectFirstAt({ ...seen, locksSeenMs: nowMs + long }, nowMs + 10_000, "list workers");
  });
});

describe("plan() for free testbeds", () => {
  /** Everything says that a job may be asked for now. */
  const ready = (over: Partial<Observation> = {}): Observation =>
    sceneOf({ server: serverOf({ leaseDueMs: past }), ...over });
  const busyBed = { instances: [instanceOf({ phase: "running" })] };

  test("asks for a job for the targets of a free testbed", () => {
    expect(targetsOf(ready())).toEqual([gimlet]);
  });

  test("asks once for each target, by its id, and leaves out targets without one", () => {
    const testbeds = [
      testbedOf({ name: "a", targets: ["sp-gimlet", "nameless"] }),
      testbedOf({ name: "b", targets: ["sp-gimlet", "sp-sidecar"] }),
      testbedOf({ name: "c", targets: ["nameless"] }),
    ];
    expect(targetsOf(ready({ config: configOf(testbeds) })).toSorted()).toEqual([gimlet, sidecar]);
  });

  for (const phase of openPhases) {
    test(`never leases for a testbed whose instance is ${phase}`, () => {
      expect(kindsOf(ready({ instances: [instanceOf({ phase })] }))).not.toContain("lease");
    });
  }

  test("never leases for a testbed that is being cleaned", () => {
    const seen = ready({ instances: [instanceOf({ phase: "stopped" })], busy: new Set(["testbed a"]) });
    expect(kindsOf(seen)).not.toContain("lease");
  });

  test("leases again as soon as the instance has ended", () => {
    expect(kindsOf(ready({ instances: [instanceOf({ phase: "destroyed" })] }))).toContain("lease");
    expect(kindsOf(ready({ instances: [instanceOf({ phase: "dropped" })] }))).toContain("lease");
  });

  test("never leases for a disabled, remote, struck, locked, unchecked or unserved testbed", () => {
    const later = { strikes: 1, retryAt: at(nowMs + 1), reason: "it fell" };
    const scenes: Record<string, Observation> = {
      disabled: ready({ config: configOf([testbedOf({ enabled: false })]) }),
      remote: ready({ config: configOf([testbedOf({ host: "lab-3" })]) }),
      "sp-runner": ready({ config: configOf([testbedOf({ spRunnerUrl: "http://localhost:1" })]) }),
      struck: ready({ health: new Map([["a", later]]) }),
      elsewhere: ready({ elsewhere: new Map([["a", "a/1 in /other"]]) }),
      unchecked: ready({ config: configOf([testbedOf({ check: "true" })]) }),
      "under way": ready({ busy: new Set(["testbed a"]) }),
      unserved: ready({ config: configOf([testbedOf({ targets: ["nameless"] })]) }),
      none: ready({ config: configOf([]) }),
    };
    for (const [why, seen] of Object.entries(scenes)) {
      expect([why, ...kindsOf(seen).filter((kind) => kind === "lease")]).toEqual([why]);
    }
  });

  test("never leases while draining, while the token is refused, or before the first list and look at the locks", () => {
    const server = serverOf({ leaseDueMs: past });
    for (const over of [
      { mode: "drain" as const },
      { mode: "hand over" as const },
      { server: { ...server, isTokenRefused: true } },
      { server: { ...server, list: null } },
      { locksSeenMs: null },
    ]) {
      expect(kindsOf(ready(over))).not.toContain("lease");
    }
    expect(kindsOf(atTime(ready({ locksSeenMs: null }), 1000))).toContain("look at locks");
  });

  test("leases when a poll is due, not before", () => {
    const seen = ready({ server: serverOf({ leaseDueMs: nowMs + 400 }) });
    expectFirstAt(seen, nowMs + 400, "lease");
  });

  test("takes a struck testbed again when its time has come, or after a restart of the machine", () => {
    const struck = (retryAt: ReturnType<typeof at>): Observation =>
      ready({ health: new Map([["a", { strikes: 3, retryAt, reason: "it fell" }]]) });
    expectFirstAt(struck(at(nowMs + 800)), nowMs + 800, "lease");
    expect(kindsOf(struck(at(nowMs + long, "boot-0")))).toContain("lease");
  });

  test("pings every 10 s where no job can be asked for, whatever the reason", () => {
    const remote = { list: listOf([workerOf({ online: true })], nowMs + long), leaseDueMs: past };
    const looks = new Map([["a/7", lookOf("alive", { atMs: nowMs + long })]]);
    const online = { instances: [instanceOf({ isOnline: true, isFlushed: true })], looks };
    const far = { locksSeenMs: nowMs + long };
    for (const seen of [
      ready({ ...online, server: serverOf(remote) }),
      ready({ mode: "drain", ...far }),
      ready({ server: serverOf({ leaseDueMs: past, isTokenRefused: true }), ...far }),
      ready({ config: configOf([testbedOf({ targets: ["nameless"] })]), ...far }),
    ]) {
      expectFirstAt(seen, nowMs + 10_000, "ping");
    }
  });

  test("does not ping while it asks for jobs: that says as much", () => {
    const seen = ready({ server: serverOf({ lastPingMs: nowMs - long }) });
    expect(kindsOf(seen)).not.toContain("ping");
  });

  test("looks at the locks every 5 s, also while every testbed is in use elsewhere", () => {
    expectFirstAt(ready({ busy: new Set(["lease"]) }), nowMs + 5000, "look at locks");
    const seen = ready({ elsewhere: new Map([["a", "a/1 in /other"]]) });
    expectFirstAt(seen, nowMs + 5000, "look at locks");
  });

  test("does not look at the locks where nothing could be taken anyway", () => {
    for (const over of [
      busyBed,
      { mode: "drain" as const },
      { server: serverOf({ isTokenRefused: true }) },
      { ...busyBed, elsewhere: new Map([["another factory's", "x/1 in /other"]]) },
    ]) {
      expect(kindsOf(ready({ locksSeenMs: nowMs - long, ...over }))).not.toContain("look at locks");
    }
  });

  test.each([
    ["is switched off", "off", null],
    ["is refused", "auto", "unshare failed"],
  ] as const)("runs one instance at a time on this host where isolation %s", (_, isolate, refusal) => {
    const testbeds = [testbedOf({ name: "a" }), testbedOf({ name: "b" })];
    const config = configOf(testbeds, isolate);
    const instances = [instanceOf({ testbed: "a" })];
    expect(kindsOf(ready({ config, refusal, instances }))).not.toContain("lease");
    expect(kindsOf(ready({ config: configOf(testbeds), instances }))).toContain("lease");
    const ssh = { host: "h", user: "", port: null, key: null, hostKey: null, elevation: null, uid: 0 };
    const place = { way: "ssh", directory: "/work/a_7", agent: "external", ssh } as const;
    for (const elsewhere of [
      instanceOf({ testbed: "a", place }),
      instanceOf({ testbed: "a", phase: "dropped" }),
    ]) {
      expect(kindsOf(ready({ config, refusal, instances: [elsewhere] }))).toContain("lease");
    }
    const leases = [leaseOf({ job: "job-1" }), leaseOf({ job: "job-2" })];
    const found = kindsOf(ready({ config, refusal, leases }));
    expect(found.filter((kind) => kind === "begin")).toHaveLength(1);
    expect(found).not.toContain("lease");
    // Another factory's, on a testbed of its own: that it is gone shows only when looked for.
    const held = { config, refusal, elsewhere: new Map([[".host", "c/1 in /other"]]) };
    const looked = kindsOf(ready({ ...held, locksSeenMs: nowMs - long }));
    expect(looked).toContain("look at locks");
    expect(looked).not.toContain("lease");
  });

  test("runs one instance at a time on another host that refuses isolation, and is not held up by this one", () => {
    const testbeds = ["a", "b", "c"].map((name) =>
      testbedOf({ name, host: name === "c" ? "lab-4" : "lab-3" }),
    );
    const [, testbed = testbedOf()] = testbeds;
    const address = { user: "", port: null, key: null, hostKey: null, elevation: null, uid: 0 };
    const at = (host: string): Instance["place"] => ({
      way: "ssh",
      directory: "/w/a_7",
      agent: "external",
      ssh: { ...address, host },
    });
    const reached = new Map(testbeds.map(({ name }) => [name, { ok: true as const, atMs: nowMs }]));
    const why = (place: Instance["place"] | null, seen: Partial<Observation> = {}): string | null => {
      const instances = place === null ? [] : [instanceOf({ testbed: "a", place })];
      return (
        whyNotFree(testbed, ready({ config: configOf(testbeds), reached, instances, ...seen }))?.reason ??
        null
      );
    };
    const alone = new Set(["a", "b"]);
    expect(why(at("lab-3"))).toBeNull();
    expect(why(at("lab-3"), { alone })).toBe("without isolation one instance at a time runs on its host");
    expect(why(at("lab-4"), { alone })).toBeNull();
    expect(why(null, { alone, refusal: "refused here" })).toBeNull();
    const here = { way: "local", directory: "/w/a_7", agent: "external" } as const;
    expect(why(here, { alone, refusal: "refused here" })).toBeNull();
  });

  test("starts the agent of a hardware test again where it is gone, three times at most, and no other job's", () => {
    const place = {
      way: "sp-runner",
      directory: "/w/a_7",
      agent: "built-in",
      spRunnerUrl: "http://h",
    } as const;
    const instance = instanceOf({ testbed: "a", phase: "running", place });
    const name = instanceName(instance);
    const stepOf = (
      view: AgentView,
      seen: Partial<Observation> = {},
      each: Instance = instance,
    ): string[] => {
      const looks = new Map([[name, { ...lookOf(view), atMs: nowMs }]]);
      return kindsOf(ready({ instances: [each], looks, ...seen }));
    };
    for (const view of ["exited", "dead", "absent"] as const) expect(stepOf(view)).toContain("resume");
    for (const view of ["alive", "done", "armed", "cannot tell"] as const) {
      expect(stepOf(view)).not.toContain("resume");
    }
    expect(stepOf("done")).toContain("end");
    expect(stepOf("dead", { resumed: new Map([[name, 2]]) })).toContain("resume");
    expect(stepOf("dead", { resumed: new Map([[name, 3]]) })).toContain("end");
    expect(stepOf("absent", { resumed: new Map([[name, 3]]) })).toContain("end");
    const local = instanceOf({ testbed: "a", phase: "running" });
    expect(stepOf("dead", {}, local)).toContain("end");
    expect(stepOf("dead", {}, rustInstanceOf())).toContain("end");
  });

  test("an sp-runner service's testbed needs nothing of a host that refuses isolation", () => {
    const service = testbedOf({ name: "b", spRunnerUrl: "http://h" });
    const config = configOf([testbedOf({ name: "a" }), service], "off");
    const reached = new Map([["b", { ok: true as const, atMs: nowMs }]]);
    expect(kindsOf(ready({ config, reached, instances: [instanceOf({ testbed: "a" })] }))).toContain("lease");
  });

  describe("check", () => {
    const config = configOf([testbedOf({ check: "true" })]);
    const checkOf = (fault: string | null, instance: string | null = null): Partial<Observation> => ({
      config,
      checks: new Map([["a", { atMs: nowMs, fault, instance }]]),
    });

    test("must have succeeded once before a job is asked for", () => {
      expect(kindsOf(ready({ config }))).toContain("check");
      expect(kindsOf(ready({ config }))).not.toContain("lease");
      expect(kindsOf(ready(checkOf(null)))).toContain("lease");
    });

    test("that failed is run again each 10 s, and no job is asked for until it succeeds", () => {
      expect(kindsOf(ready(checkOf("it fails")))).not.toContain("lease");
      expect(kindsOf(ready({ ...checkOf("it fails"), leases: [leaseOf()] }))).toContain("let lapse");
      const seen = ready({ ...checkOf("it fails"), server: serverOf({ lastPingMs: nowMs + long }) });
      expectFirstAt(seen, nowMs + 10_000, "check");
    });

    test("that succeeded is not run again for a free testbed: it may disturb the board", () => {
      expect(kindsOf(atTime(ready(checkOf(null)), nowMs + long))).not.toContain("check");
    });

    test("is run again between the lease and the worker, once for each instance, also while the server is away", () => {
      const armed = {
        instances: [instanceOf({ phase: "preparing" })],
        looks: new Map([["a/7", lookOf("armed")]]),
        server: serverOf({ list: listOf([], nowMs + 1), retryAtMs: nowMs + 1 }),
      };
      const stepOf = (over: Partial<Observation>): string[] => kinds(stepsOf(sceneOf({ ...armed, ...over })));
      const server = serverOf();
      expect(stepOf({ ...checkOf(null), server })).toEqual(["check again"]);
      expect(stepOf(checkOf(null))).toEqual(["check again"]);
      expect(stepOf({ ...checkOf(null, "a/6"), server })).toEqual(["check again"]);
      expect(stepOf({ ...checkOf("it fails", "a/7"), server })).toEqual(["check again"]);
      expect(stepOf({ ...checkOf(null, "a/7"), server })).toEqual(["create"]);
      expect(stepOf({ server })).toEqual(["create"]);
    });

    test("is not run while the testbed is in use or nothing new is taken", () => {
      expect(kindsOf(ready({ config, ...busyBed }))).not.toContain("check");
      expect(kindsOf(ready({ config, mode: "drain" }))).not.toContain("check");
    });
  });

  describe("this host", () => {
    const hostOf = (fault: string | null, atMs = nowMs): Partial<Observation> => ({
      host: { atMs, fault, faults: new Map(fault === null ? [] : [["a", fault]]) },
    });
    const quiet = { busy: new Set(["lease", "look at locks", "list workers"]), sweptMs: nowMs + long };

    test("is looked at before the first job is asked for", () => {
      expect(kindsOf(ready({ host: null }))).toContain("look at host");
      expect(kindsOf(ready({ host: null }))).not.toContain("lease");
      expect(whyNotFree(testbedOf(), sceneOf({ host: null }))).toEqual({
        is: "unavailable",
        reason: "this host has not been checked yet",
      });
    });

    test("is looked at again each minute, and each 8 s while something is wrong: no job is asked for then", () => {
      expectFirstAt(ready({ ...hostOf(null), ...quiet }), nowMs + 60_000, "look at host");
      const server = serverOf({ leaseDueMs: past, lastPingMs: nowMs + long });
      expectFirstAt(ready({ ...hostOf("no agent"), ...quiet, server }), nowMs + 8_000, "look at host");
      const wrong = ready({ ...hostOf("no agent"), leases: [leaseOf()] });
      expect(kindsOf(wrong)).not.toContain("lease");
      expect(kindsOf(wrong)).toContain("let lapse");
      expect(whyNotFree(testbedOf(), wrong)).toEqual({ is: "unavailable", reason: "no agent" });
    });

    test("is looked at once for all its testbeds, and keeps those of another host from nothing", () => {
      const names = Array.from({ length: 1000 }, (_, index) => `bed-${index}`);
      const config = configOf(names.map((name) => testbedOf({ name })));
      const looks = kindsOf(ready({ config, ...hostOf("no agent", nowMs - 8_000) }));
      expect(looks.filter((kind) => kind === "look at host")).toHaveLength(1);
      const far = configOf([testbedOf({ host: "lab-3" })]);
      const reached = new Map([["a", { ok: true as const, atMs: nowMs }]]);
      expect(kindsOf(ready({ config: far, reached, ...hostOf("no agent") }))).toContain("lease");
      expect(kindsOf(ready({ config: far, reached, host: null }))).not.toContain("look at host");
    });

    test("is not looked at while draining, nor for disabled testbeds", () => {
      expect(kindsOf(ready({ host: null, mode: "drain" }))).not.toContain("look at host");
      const config = configOf([testbedOf({ enabled: false })]);
      expect(kindsOf(ready({ host: null, config }))).not.toContain("look at host");
    });
  });
});

describe("plan() for a lease", () => {
  const beginOf = (seen: Observation): string[] =>
    actionsOf(seen).flatMap((action) =>
      action.kind === "begin" ? [`${action.lease.job} on ${action.testbed.name}`] : [],
    );

  test("begins it on a free testbed that serves its target and that it was not tried on", () => {
    const testbeds = [
      testbedOf({ name: "a", targets: ["sp-sidecar"] }),
      testbedOf({ name: "b" }),
      testbedOf({ name: "c" }),
    ];
    const config = configOf(testbeds);
    expect(beginOf(sceneOf({ config, leases: [leaseOf()] }))).toEqual(["job-1 on b"]);
    expect(beginOf(sceneOf({ config, leases: [leaseOf({ tried: ["b"] })] }))).toEqual(["job-1 on c"]);
    const two = [leaseOf(), leaseOf({ job: "job-2" }), leaseOf({ job: "job-3", target: sidecar })];
    expect(beginOf(sceneOf({ config, leases: two }))).toEqual(["job-1 on b", "job-2 on c", "job-3 on a"]);
  });

  test("lets it lapse where no testbed is left for it", () => {
    const seen = sceneOf({ leases: [leaseOf({ tried: ["a"] })] });
    expect(kindsOf(seen)).toEqual(["let lapse"]);
    expect(kindsOf(sceneOf({ leases: [leaseOf({ target: sidecar })] }))).toEqual(["let lapse"]);
  });

  test("lets it lapse when a drain came after it was asked for", () => {
    expect(kindsOf(sceneOf({ mode: "drain", leases: [leaseOf()] }))).toEqual(["let lapse"]);
  });

  test("begins it when a hand-over came after it was asked for: the next version would not know of it", () => {
    expect(kindsOf(sceneOf({ mode: "hand over", leases: [leaseOf()] }))).toContain("begin");
  });

  test("begins a job once, however often it was leased", () => {
    const config = configOf([testbedOf({ name: "a" }), testbedOf({ name: "b" })]);
    const leases = [leaseOf(), leaseOf({ askedAt: at(nowMs - 1) })];
    expect(beginOf(sceneOf({ config, leases }))).toHaveLength(1);
  });

  test("asks for another job only when a testbed is left", () => {
    const server = serverOf({ leaseDueMs: past });
    expect(kindsOf(sceneOf({ leases: [leaseOf()], server }))).toEqual(["begin"]);
    const config = configOf([testbedOf({ name: "a" }), testbedOf({ name: "b", targets: ["sp-sidecar"] })]);
    expect(targetsOf(sceneOf({ config, leases: [leaseOf()], server }))).toEqual([sidecar]);
  });
});

describe("workerView()", () => {
  const viewOf = (phase: Parameters<typeof cellOf>[0], over: Parameters<typeof workerOf>[0]): string =>
    workerView(instanceOf({ phase }), serverOf({ list: listOf([workerOf(over)]) }));

  test("is unseen where no worker was recorded, or no list was got", () => {
    expect(viewOf("preparing", {})).toBe("unseen");
    expect(workerView(instanceOf(), serverOf({ list: null }))).toBe("unseen");
  });

  test("knows a worker without private as ours until it is associated, and as an older list's after that", () => {
    expect(viewOf("created", { private: null })).toBe("offline");
    expect(viewOf("created", { private: null, online: true })).toBe("online");
    for (const phase of openPhases.filter((each) => hasWorker(each) && each !== "created")) {
      expect(viewOf(phase, { private: null, online: true })).toBe("unseen");
      expect(viewOf(phase, { private: null, hold: true })).toBe("held");
      expect(viewOf(phase, { private: null, recycle: true })).toBe("recycle");
      expect(viewOf(phase, { online: true })).toBe("online");
    }
  });

  test("puts foreign before held, and held before recycle", () => {
    expect(viewOf("running", { private: "a/6", hold: true, recycle: true })).toBe("foreign");
    expect(viewOf("running", { hold: true, recycle: true })).toBe("held");
  });
});

describe("a testbed on another host", () => {
  const config = configOf([testbedOf({ host: "lab-3" })]);
  const reached = new Map([["a", { ok: true as const, atMs: nowMs }]]);
  const due = new Map([["a", { ok: true as const, atMs: nowMs - 60_000 }]]);
  const away = new Map([["a", { ok: false as const, reason: "away", atMs: nowMs }]]);

  test("is reached before a job is taken for it, again each minute, and when a try that failed is due again", () => {
    expect(kindsOf(sceneOf({ config }))).toContain("reach");
    expect(kindsOf(sceneOf({ config, reached }))).not.toContain("reach");
    expect(kindsOf(sceneOf({ config, reached: due }))).toContain("reach");
    expect(kindsOf(sceneOf({ config, reached: away }))).toContain("reach");
    const retryAtMs = new Map([["reach a", nowMs + 1]]);
    expect(kindsOf(sceneOf({ config, reached: away, retryAtMs }))).not.toContain("reach");
  });

  test("is not reached while it is in use, disabled, or nothing is taken any more", () => {
    expect(kindsOf(sceneOf({ config, instances: [instanceOf()] }))).not.toContain("reach");
    expect(kindsOf(sceneOf({ config, mode: "drain" }))).not.toContain("reach");
    const disabled = configOf([testbedOf({ host: "lab-3", enabled: false })]);
    expect(kindsOf(sceneOf({ config: disabled }))).not.toContain("reach");
  });

  test("is looked at with all others of its host, apart from other hosts, each 30 s, and at once after a hint", () => {
    const sshTo = (host: string): SshHost => ({
      host,
      user: "",
      port: null,
      key: null,
      hostKey: null,
      elevation: null,
      uid: 0,
    });
    const placeOf = (testbed: string, host: string): Instance["place"] => ({
      way: "ssh",
      directory: `/w/${testbed}_7`,
      agent: "external",
      ssh: sshTo(host),
    });
    const instances = [
      instanceOf({ testbed: "a", place: placeOf("a", "lab-3") }),
      instanceOf({ testbed: "b", place: placeOf("b", "lab-3") }),
      instanceOf({ testbed: "e", place: placeOf("e", "lab-4") }),
      instanceOf({ testbed: "c" }),
      instanceOf({ testbed: "d" }),
    ];
    const looksOf = (seen: Observation): string[][] =>
      plan(seen).actions.flatMap((action) =>
        action.kind === "look" ? [action.instances.map(({ testbed }) => testbed)] : [],
      );
    expect(looksOf(sceneOf({ instances }))).toEqual([["c", "d"], ["a", "b"], ["e"]]);
    const seenAt = (atMs: number, isStale = false): Observation["looks"] =>
      new Map(
        instances.map((each) => [
          instanceName(each),
          lookOf("alive", { atMs, isStale: isStale && each.testbed === "b" }),
        ]),
      );
    expect(looksOf(sceneOf({ instances, looks: seenAt(nowMs - 29_999) }))).toEqual([]);
    expect(looksOf(sceneOf({ instances, looks: seenAt(nowMs - 29_999, true) }))).toEqual([["b"]]);
    expect(looksOf(sceneOf({ instances, looks: seenAt(nowMs - 30_000) }))).toEqual([
      ["c", "d"],
      ["a", "b"],
      ["e"],
    ]);
  });
});

test("an instance with a silence_timeout is looked at four times within it, each 30 s at most and each second at least", () => {
  const isLookedAt = (silenceTimeoutMs: number | null, agoMs: number): boolean => {
    const instance = instanceOf({ silenceTimeoutMs });
    const looks = new Map([[instanceName(instance), lookOf("alive", { atMs: nowMs - agoMs })]]);
    return plan(sceneOf({ instances: [instance], looks })).actions.some(({ kind }) => kind === "look");
  };
  expect([isLookedAt(8_000, 1_999), isLookedAt(8_000, 2_000)]).toEqual([false, true]);
  expect([isLookedAt(600_000, 29_999), isLookedAt(600_000, 30_000)]).toEqual([false, true]);
  expect([isLookedAt(100, 999), isLookedAt(100, 1_000)]).toEqual([false, true]);
  expect([isLookedAt(null, 29_999), isLookedAt(null, 30_000)]).toEqual([false, true]);
});

describe("whyNotFree()", () => {
  const why = (over: Partial<Observation>, bed = testbedOf()): string | null => {
    const obstacle = whyNotFree(bed, sceneOf(over));
    return obstacle === null ? null : `${obstacle.is}: ${obstacle.reason}`;
  };

  test("says why in a word and a reason for people, and null for a free testbed", () => {
    const testbed = testbedOf();
    expect(why({})).toBeNull();
    expect(why({ instances: [instanceOf()] })).toBe("in use: a job has it");
    expect(why({}, testbedOf({ enabled: false }))).toBe("disabled: enabled = false");
    expect(why({}, testbedOf({ targets: ["sp-psc"] }))).toBe(
      "not served: no `id` in the section of its target sp-psc",
    );
    const failed = (strikes: number): Partial<Observation> => ({
      health: new Map([["a", { strikes, retryAt: at(nowMs + 1), reason: "it fell" }]]),
    });
    expect(why(failed(2))).toBe("backing off: it fell");
    expect(why(failed(3))).toBe("quarantined: it fell");
    expect(why({ elsewhere: new Map([["a", "a/1 in /other"]]) })).toBe(
      "in use: in use elsewhere: a/1 in /other",
    );
    const config = configOf([testbed, testbedOf({ name: "b" })], "off");
    expect(why({ config, instances: [instanceOf({ testbed: "b" })] })).toMatch(/one instance at a time/);
    const far = testbedOf({ host: "lab-3" });
    expect(why({}, far)).toBe("unreachable: lab-3 has not been reached yet");
    // A testbed of this host that has the same name is another one.
    expect(why({ elsewhere: new Map([["a", "a/1 in /other"]]) }, far)).toBe(
      "unreachable: lab-3 has not been reached yet",
    );
    const reached = (over: { ok: true } | { ok: false; reason: string }): Partial<Observation> => ({
      reached: new Map([["a", { ...over, atMs: nowMs }]]),
    });
    expect(why(reached({ ok: false, reason: "lab-3 is away" }), far)).toBe("unreachable: lab-3 is away");
    expect(why(reached({ ok: true }), far)).toBeNull();
    expect(why({}, testbedOf({ spRunnerUrl: "http://localhost:1" }))).toBe(
      "unreachable: http://localhost:1 has not been reached yet",
    );
  });

  test("says what an operator wants of it, until that is over, and after the job that it waits for", () => {
    const wants = (over: Partial<Intent>): Partial<Observation> => ({
      intents: new Map([["a", { ...intentOf(), ...over }]]),
    });
    const until = (ms: number): Partial<Intent> => ({ until: { wallMs: 0, at: at(ms) } });
    expect(why(wants({}))).toBe("paused: paused by ann");
    expect(why(wants({ kind: "reserved", note: "new cable" }))).toBe("reserved: reserved by ann: new cable");
    expect(why(wants({ kind: "quarantined" }))).toBe("quarantined: quarantined by ann");
    expect(why(wants(until(nowMs + 1)))).toBe("paused: paused by ann");
    expect(why(wants(until(nowMs)))).toBeNull();
    expect(why(wants({ isAfterJob: true }))).toBeNull();
  });

  test("a job is withdrawn before anything is got ready for it where an operator wants the testbed", () => {
    const intents = new Map([["a", intentOf()]]);
    for (const view of ["absent", "armed"] as const) {
      const instances = [instanceOf({ phase: "preparing", worker: null })];
      const kinds = kindsOf(sceneOf({ intents, instances, looks: new Map([["a/7", lookOf(view)]]) }));
      expect(kinds).toContain("withdraw");
      expect(kinds).not.toContain("arm");
    }
  });

  test("no job is asked for while an operator wants the testbed, and the plan is made again when that is over", () => {
    const intents = new Map([["a", { ...intentOf(), until: { wallMs: 0, at: at(nowMs + 5) } }]]);
    const server = serverOf({ leaseDueMs: past });
    const asked = sceneOf({ intents, server });
    expect(kindsOf(asked)).not.toContain("lease");
    expect(plan(asked).wakeAtMs).toBeLessThanOrEqual(nowMs + 5);
    // A lease that was granted meanwhile is not used here.
    expect(kindsOf({ ...asked, leases: [leaseOf()] })).toContain("let lapse");
    expect(kindsOf(sceneOf({ server }))).toContain("lease");
  });
});

describe("whyNoLease()", () => {
  test("says what keeps all jobs away", () => {
    const why = (over: Partial<Observation>): string | undefined => whyNoLease(sceneOf(over))?.reason;
    expect(why({})).toBeUndefined();
    expect(why({ mode: "drain" })).toBe("the factory drains: it takes nothing new");
    expect(why({ mode: "hand over" })).toMatch(/another version/);
    expect(why({ server: serverOf({ isTokenRefused: true }) })).toMatch(/refuses the factory's token/);
    expect(why({ server: serverOf({ list: null }) })).toBe("the server has not answered yet");
    expect(why({ locksSeenMs: null })).toMatch(/locks/);
  });
});

describe("plan() over 10,000 random scenes", () => {
  const scenes = Array.from({ length: 10_000 }, (_, seed) => ({ seed, seen: randomScene(seed) }));

  /** Runs `isBroken` on every scene and names the first seeds for which it is. */
  function expectAlways(isBroken: (seen: Observation, actions: Action[], wakeAtMs: number) => boolean): void {
    const broken: number[] = [];
    for (const { seed, seen } of scenes) {
      const { actions, wakeAtMs } = plan(seen);
      if (isBroken(seen, actions, wakeAtMs)) broken.push(seed);
    }
    expect(broken.slice(0, 5)).toEqual([]);
  }

  const serverBound = new Set<Action["kind"]>([
    "list workers",
    "ping",
    "lease",
    "delete stranger",
    "end",
    "announce",
    "create",
    "settle",
    "associate",
    "go",
    "flush",
    "stop",
    "delete",
  ]);

  const isFree = (seen: Observation, name: string): boolean => {
    const testbed = seen.config.testbeds.find((each) => each.name === name);
    if (testbed === undefined || whyNotFree(testbed, seen) !== null || seen.busy.has(`testbed ${name}`))
      return false;
    return testbed.check === null || seen.checks.get(name)?.fault === null;
  };

  test("they hold every kind of action", () => {
    const found = new Set(scenes.flatMap(({ seen }) => kindsOf(seen)));
    expect([...found].toSorted()).toEqual(
      [
        ...serverBound,
        "alarm",
        "arm",
        "begin",
        "check",
        "check again",
        "let lapse",
        "look",
        "look at host",
        "look at locks",
        "reach",
        "record went",
        "sweep",
        "withdraw",
      ].toSorted(),
    );
  });

  test("never two actions with one key, and none that is under way or not to be tried yet", () => {
    expectAlways((seen, actions) => {
      const keys = actions.map(actionKey);
      const isWrong = (key: string): boolean =>
        seen.busy.has(key) || (seen.retryAtMs.get(key) ?? past) > nowMs;
      return new Set(keys).size < keys.length || keys.some(isWrong);
    });
  });

  test("no lease without a free testbed, while draining, with a refused token, before the first list and locks", () => {
    expectAlways((seen, actions) => {
      if (!kinds(actions).includes("lease")) return false;
      const { isTokenRefused, list, leaseDueMs } = seen.server;
      if (seen.mode === "drain" || isTokenRefused || list === null || seen.locksSeenMs === null) return true;
      return leaseDueMs > nowMs || !seen.config.testbeds.some(({ name }) => isFree(seen, name));
    });
  });

  test("targets only of free testbeds that no waiting lease takes, each once and with an id", () => {
    expectAlways((seen, actions) => {
      const taken = new Set(
        actions.flatMap((action) => (action.kind === "begin" ? [action.testbed.name] : [])),
      );
      const left = seen.config.testbeds.filter(({ name }) => isFree(seen, name) && !taken.has(name));
      const names = new Set(left.flatMap(({ targets }) => targets));
      const ids = new Set(seen.config.targets.filter(({ name }) => names.has(name)).map(({ id }) => id));
      return actions.some(
        (action) =>
          action.kind === "lease" &&
          (action.targets.length === 0 ||
            new Set(action.targets).size < action.targets.length ||
            action.targets.some((target) => !ids.has(target))),
      );
    });
  });

  test("leases wanted and begun are never more than the free testbeds", () => {
    expectAlways((seen, actions) => {
      const free = seen.config.testbeds.filter(({ name }) => isFree(seen, name)).length;
      const room = seen.config.general.isolate === "off" ? Math.min(free, 1) : free;
      return actions.filter(({ kind }) => kind === "begin" || kind === "lease").length > room;
    });
  });

  test("a job is begun only on a free testbed, and never while draining", () => {
    expectAlways((seen, actions) =>
      actions.some(
        (action) => action.kind === "begin" && (seen.mode === "drain" || !isFree(seen, action.testbed.name)),
      ),
    );
  });

  test("nothing that needs the server before it may be asked again", () => {
    expectAlways(
      (seen, actions) => seen.server.retryAtMs > nowMs && actions.some(({ kind }) => serverBound.has(kind)),
    );
  });

  test("held or foreign workers: no start, stop, end, flush or delete", () => {
    expectAlways((seen, actions) =>
      actions.some((action) => {
        if (!("instance" in action) || action.kind === "alarm" || action.instance.worker === null)
          return false;
        const { list, recordedMs } = seen.server;
        const { worker, testbed, seq } = action.instance;
        if (list === null || list.askedAtMs <= (recordedMs.get(`${testbed}/${seq}`) ?? past)) return false;
        const listed = list.workers.get(worker);
        return listed?.hold === true || listed?.private === "x/1";
      }),
    );
  });

  test("strangers: none held, none of an open instance, none while a request is open, none before two lists", () => {
    expectAlways((seen, actions) =>
      actions.some((action) => {
        if (action.kind !== "delete stranger") return false;
        const { worker } = action;
        const open = seen.instances.filter(({ phase }) => isOpen(phase));
        if (worker.hold || open.some((each) => each.worker === worker.id || each.phase === "creating"))
          return true;
        const listedMs = seen.server.firstListedMs.get(worker.id) ?? never;
        if ((seen.server.list?.askedAtMs ?? past) - listedMs < 10_000) return true;
        return worker.private === null && listedMs <= seen.server.lastSettledMs;
      }),
    );
  });

  test("one step an instance, and only in its own phase", () => {
    const phases: Partial<Record<Action["kind"], string[]>> = {
      create: ["preparing"],
      "check again": ["preparing"],
      settle: ["creating"],
      associate: ["created"],
      go: ["starting"],
      arm: ["preparing", "created", "starting"],
      "record went": ["created", "starting"],
      flush: ["running"],
      end: ["created", "starting", "running"],
      stop: ["destroying"],
      delete: ["stopped"],
    };
    expectAlways((_, actions) =>
      actions.some(
        (action) => "instance" in action && phases[action.kind]?.includes(action.instance.phase) === false,
      ),
    );
  });

  test("with everything under way there is nothing more to do, and the wake-up is ahead", () => {
    expectAlways((seen, actions, wakeAtMs) => {
      if (wakeAtMs <= nowMs) return true;
      const next = plan(begun(seen, actions));
      return next.actions.length > 0 || next.wakeAtMs <= nowMs;
    });
  });

  test("nothing becomes due before the wake-up", () => {
    expectAlways((seen, actions) => {
      const started = begun(seen, actions);
      const { wakeAtMs } = plan(started);
      const last = wakeAtMs === never ? nowMs + 100 * long : wakeAtMs - 1;
      const moments = [nowMs, (nowMs + last) / 2, last].map(Math.floor);
      return moments.some((moment) => plan(atTime(started, moment)).actions.length > 0);
    });
  });

  test("the same scene gives the same plan, and is left as it was", () => {
    for (const seed of Array.from({ length: 300 }, (_, index) => index)) {
      const seen = randomScene(seed);
      const before = Bun.inspect(seen, { depth: 10 });
      expect(plan(seen)).toEqual(plan(randomScene(seed)));
      expect(Bun.inspect(seen, { depth: 10 })).toBe(before);
    }
  });
});

describe("policy/", () => {
  test("F20 reads no clock: no decision depends on wall-clock time", async () => {
    const policy = [...new Bun.Glob("policy/*.ts").scanSync(join(import.meta.dir, "../../lib"))];
    expect(policy.length).toBeGreaterThan(5);
    for (const name of [...policy, "words/domain.ts"]) {
      const source = await Bun.file(join(import.meta.dir, "../../lib", name)).text();
      expect(source).not.toMatch(
        /Date\b|wallMs|performance\.|process\.|doors\/|setTimeout|Math\.random|await /,
      );
    }
    type WallClock = Extract<keyof Observation, `${string}wall${string}` | `${string}Wall${string}`>;
    const none: WallClock[] = [];
    expect(none).toEqual([]);
  });

  test("no decision uses when an instance began or ended for people", () => {
    for (let seed = 0; seed < 500; seed += 1) {
      const seen = randomScene(seed);
      const jumped = seen.instances.map((each) => ({ ...each, begunMs: each.begunMs - 1e12, endedMs: 5 }));
      const { actions, wakeAtMs } = plan({ ...seen, instances: jumped });
      expect(actions.map(actionKey)).toEqual(actionsOf(seen).map(actionKey));
      expect(kinds(actions)).toEqual(kindsOf(seen));
      expect(wakeAtMs).toBe(plan(seen).wakeAtMs);
    }
  });
});
