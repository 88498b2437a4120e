/** What a run of the factory says when it begins and ends: what it took over, and what it leaves. */
import { createSettableClock } from "../lab/settable-clock.ts";
import { expect, setDefaultTimeout, test } from "bun:test";
import { Database } from "bun:sqlite";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeRest, describeTakenOver, standingOf } from "../../lib/daemon/hand-over.ts";
import { openMemory } from "../../lib/daemon/memory.ts";
import { readLook } from "../../lib/hosts/minder/answer-parser.ts";
import { type AgentView, instanceName } from "../../lib/words/domain.ts";
import { type FactoryProcess, must, openLab } from "../lab/lab.ts";
import { instanceOf, workerOf } from "../policy/scenes.ts";
import { openStage } from "./stage.ts";
import { until } from "../lab/until.ts";

setDefaultTimeout(60_000);

const messages = (factory: FactoryProcess): string[] => factory.log().map(({ message }) => message);
const isStarted = (factory: FactoryProcess) => () =>
  messages(factory).some((each) => each.includes("started on"));

test("describeTakenOver() and describeRest() name ten instances at most", () => {
  const some = Array.from({ length: 12 }, (_, index) => instanceOf({ testbed: `b${index}`, seq: 1 }));
  const named = some.slice(0, 10).map(({ testbed }) => `${testbed}/1 (running)`);
  expect(describeTakenOver([])).toBeNull();
  expect(describeTakenOver(some.slice(0, 1))).toBe("took over 1 instance: b0/1 (running)");
  expect(describeTakenOver(some.slice(0, 10))).toBe(`took over 10 instances: ${named.join(", ")}`);
  expect(describeTakenOver(some)).toBe(`took over 12 instances: ${named.join(", ")} and 2 more`);
  expect(describeRest(some.slice(0, 1), false)).toBe("1 instance left to the next start: b0/1 (running)");
});

test("standingOf() says what a new version is measured by", () => {
  const of = (
    instances: Parameters<typeof instanceOf>[0][],
    views: Record<string, AgentView> = {},
    busy: string[] = [],
  ) => {
    const none = {
      health: () => new Map(),
      troubles: () => new Map(),
      intents: () => new Map(),
      lastJobs: () => [],
    };
    const store = { ...none, open: () => instances.map(instanceOf) } as unknown as Parameters<
      typeof openMemory
    >[0];
    const known = openMemory(store, createSettableClock());
    for (const [name, view] of Object.entries(views))
      Object.assign(known.instances.get(name) ?? {}, { look: { view } });
    for (const key of busy) known.busy.add(key);
    return standingOf(known);
  };
  const [one, two] = [
    { testbed: "a", seq: 1 },
    { testbed: "b", seq: 1 },
  ];
  expect(of([])).toEqual({ unseen: [], away: [], isServerDown: true, isStarting: false, hasOlder: false });
  expect(of([one, two], { "a/1": "alive", "b/1": "cannot tell" })).toMatchObject({
    unseen: ["b/1"],
    hasOlder: true,
  });
  expect(of([two])).toMatchObject({ unseen: ["b/1"] });
  expect(of([{ ...two, phase: "created" }])).toMatchObject({ unseen: [], isStarting: true });
  // The answer may be a lease.
  expect(of([], {}, ["lease"])).toMatchObject({ isStarting: true });
});

test("an instance of an earlier run is older than this one, whatever the wall clock says", async () => {
  const wallMs = createSettableClock().wallMs();
  await using it = openStage({ rows: [instanceOf({ begunMs: wallMs + 3_600_000 })] });
  expect(standingOf(it.factory.known).hasOlder).toBe(true);
  await using fresh = openStage();
  fresh.queue.push("job-1");
  await fresh.runUntil(() => fresh.count(/^go /) > 0);
  expect(fresh.instance()).toMatchObject({ job: "job-1" });
  expect(standingOf(fresh.factory.known).hasOlder).toBe(false);
});

test.each([true, false])(
  "a new version is not blamed for an agent that it cannot find because the host is away: %p",
  async (isHostSilent) => {
    const keys = { port: null, key: null, hostKey: null, elevation: null };
    const ssh = { host: "bench-1", user: "lab", uid: 1, ...keys };
    const place = { ...instanceOf().place, way: "ssh", ssh } as const;
    await using it = openStage({ rows: [instanceOf({ isOnline: true, isFlushed: true, place })] });
    it.workers.set("worker-a", workerOf({ online: true }));
    it.agents.set("a_7", "alive");
    await it.runUntil(() => it.count(/^look/) > 0);
    const [view] = readLook(
      ["/x"],
      isHostSilent ? { ok: false, reason: "no route" } : { ok: true, lines: [] },
    );
    it.fate = (call) => (call.startsWith("look") ? [view] : undefined);
    await it.run(60_000);
    const name = instanceName(instanceOf());
    const away = isHostSilent ? [name] : [];
    expect(standingOf(it.factory.known)).toMatchObject({ unseen: [name], away });
  },
);

test("a restart says in one line what it took over, and every run says goodbye and what it leaves", async () => {
  await using it = await openLab();
  const first = it.start();
  const id = await it.submit(`echo started; while [ ! -e '${it.directory}/end' ]; do sleep 0.05; done`);
  await until("it runs", async () => (await it.said(id, "stdout")).includes("started"));
  first.kill("SIGTERM");
  expect(await first.exited).toBe(0);
  expect(messages(first).filter((each) => each.includes("took over"))).toEqual([]);
  expect(messages(first).at(-1)).toBe(
    "stopped: 1 instance left to the next start: bed-1/1 (running); goodbye",
  );

  const second = it.start();
  await until("it is started", isStarted(second));
  const [worker] = must(await it.factoryApi.workers());
  must(await it.admin.holdWorker(worker?.id ?? "", "look at it"));
  await until("the hold is seen", () =>
    messages(second).some((each) => each.startsWith("held on the server")),
  );
  second.kill("SIGUSR1");
  expect(await second.exited).toBe(0);
  expect(messages(second).filter((each) => each.includes("took over"))).toEqual([
    "took over 1 instance: bed-1/1 (running)",
  ]);
  expect(messages(second).at(-1)).toBe("drained: 1 instance held on the server: bed-1/1 (running); goodbye");

  must(await it.admin.releaseWorker(worker?.id ?? ""));
  writeFileSync(join(it.directory, "end"), "");
  // As a service it says to systemd that it is to stay down, which no broken version says by chance.
  const third = it.start({ env: { FACTORY_BOOT: "/opt/prefix" } });
  await until("it is started", isStarted(third));
  third.kill("SIGUSR1");
  expect(await third.exited).toBe(90);
  expect(messages(third).at(-1)).toBe("drained: nothing is left running; goodbye");
});

test("a fault of the program's own ends it with its stack in the log, and without a secret in it", async () => {
  await using it = await openLab();
  const first = it.start();
  await until("it is started", isStarted(first));
  first.kill("SIGTERM");
  await first.exited;
  const database = new Database(join(it.base, "data.sqlite3"));
  database.run(
    `CREATE TRIGGER fault BEFORE INSERT ON factory_instance BEGIN SELECT RAISE(ABORT, 'with ${it.factoryToken} in it'); END`,
  );
  database.close();
  const factory = it.start();
  await it.submit("echo never");
  expect(await factory.exited).toBe(1);
  const last = factory.log().at(-1);
  expect(last).toMatchObject({ level: "error" });
  expect(last?.message).toMatch(/^ends on a fault of its own: [^]*with \*\*\* in it[^]*store\.ts/);
  expect(readFileSync(join(it.directory, "factory-1.log"), "utf8")).not.toContain(it.factoryToken);
});
