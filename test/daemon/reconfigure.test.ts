/** What a factory that runs forgets and keeps when a configuration was read anew, one thing after the other. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { actSchema } from "../../lib/control/act.ts";
import { reconfigure, sectionOf } from "../../lib/daemon/reconfigure.ts";
import { testbedMemory } from "../../lib/daemon/testbed-memory.ts";
import { limits } from "../../lib/policy/times-and-limits.ts";
import { FactoryError } from "../../lib/words/failure.ts";
import { Secret } from "../../lib/words/secret.ts";
import { configOf, instanceOf, testbedOf } from "../policy/scenes.ts";
import { openDesk } from "./desk.ts";
import { openStage, type Stage } from "./stage.ts";

const a = testbedOf();
const b = testbedOf({ name: "b" });
const moved = { ...a, sshUser: "somebody" };
const mistake = new FactoryError("Cannot use config.toml: 1 problem");

/** All that was learnt of the testbed `a`. */
function learn({ factory: { known, store } }: Stage): void {
  const trouble = { sinceMs: 1, reason: "its check fails", recoveries: 2 };
  store.setTrouble("a", trouble);
  Object.assign(testbedMemory(known, "a"), {
    trouble,
    reached: { ok: false, reason: "no route", atMs: 1 },
    check: { atMs: 1, fault: "it fails", instance: null },
    rest: { count: 2, untilMs: 9e9, reason: "no worker" },
    isAlone: true,
    isRecalled: true,
    recoveringSinceMs: 5,
  });
  for (const key of ["testbed a", "reach a", "check a", "reach b"]) known.retryAtMs.set(key, 9e9);
}

const learnt = ({ factory: { known, store } }: Stage): unknown => {
  const { reached, check, rest, isAlone, isRecalled, recoveringSinceMs } = testbedMemory(known, "a");
  return {
    reached,
    check,
    rest,
    isAlone,
    isRecalled,
    recoveringSinceMs,
    retries: [...known.retryAtMs.keys()],
    troubles: store.troubles().size,
  };
};
const nothing = {
  reached: null,
  check: null,
  rest: null,
  isAlone: false,
  isRecalled: false,
  recoveringSinceMs: Number.NEGATIVE_INFINITY,
  retries: ["reach b"],
  troubles: 0,
};

test.each([
  ["moved", [moved, b]],
  ["removed", [b]],
] as const)(
  "of a testbed that was %s all that was learnt is forgotten, and of no other",
  async (_, testbeds) => {
    await using it = openStage({ config: configOf([a, b]) });
    learn(it);
    reconfigure(it.factory, it.factory.config, configOf([...testbeds]));
    expect(learnt(it)).toEqual(nothing);
  },
);

test("of a testbed that got another limit nothing is forgotten", async () => {
  await using it = openStage({ config: configOf([a, b]) });
  learn(it);
  const before = learnt(it);
  reconfigure(it.factory, it.factory.config, configOf([{ ...a, jobTimeoutMs: 5_000 }, b]));
  expect(learnt(it)).toEqual(before);
});

test("a job goes on by the section that it was begun by, however often that changes, and not by another testbed's", async () => {
  const rows = [instanceOf(), instanceOf({ testbed: "b" })];
  await using it = openStage({ config: configOf([a, b]), rows });
  const next = configOf([moved, b]);
  const last = configOf([{ ...moved, host: "lab-3" }, b]);
  reconfigure(it.factory, it.factory.config, next);
  reconfigure(it.factory, next, last);
  const sections = rows.map((row) => sectionOf({ config: last, known: it.factory.known }, row));
  expect(sections).toEqual([a, b]);
});

test("with another token everything is asked of the server at once, and with the same one nothing", async () => {
  await using it = openStage({ config: configOf([a]) });
  const { known, config } = it.factory;
  const settle = (): void => {
    Object.assign(known.server, { isListWanted: false, lastPingMs: 7 });
    for (const key of ["ping", "list workers", "lease"]) known.retryAtMs.set(key, 9e9);
  };
  const asked = (): unknown => [known.server.isListWanted, known.server.lastPingMs, known.retryAtMs.size];
  settle();
  reconfigure(it.factory, config, { ...config });
  expect(asked()).toEqual([false, 7, 3]);
  reconfigure(it.factory, config, { ...config, token: new Secret("another") });
  expect(asked()).toEqual([true, Number.NEGATIVE_INFINITY, 0]);
});

test("what this host was last found to be stays known until it was looked at anew", async () => {
  await using it = openStage({ config: configOf([a]) });
  const { known, config } = it.factory;
  const host = { atMs: 1, fault: null, faults: new Map() };
  known.host = host;
  reconfigure(it.factory, config, { ...config });
  reconfigure(it.factory, config, { ...config });
  expect([known.host, known.formerHost]).toEqual([null, host]);
});

test("a token that was read anew is shown in no line from then on", async () => {
  await using it = openStage({ config: configOf([a]) });
  const desk = openDesk(it, it.factory.config);
  desk.file = { ...configOf([a]), token: new Secret("hush-2") };
  await desk.reload("SIGHUP");
  desk.file = { ...configOf([{ ...a, note: "with hush-2" }]), token: new Secret("hush-2") };
  const { lines } = await desk.reload("SIGHUP");
  expect(lines).toHaveLength(1);
  desk.file = new FactoryError("it has hush-2 in it");
  await desk.reload("SIGHUP");
  const journal = JSON.stringify(it.store.journal({ most: 99 }));
  expect([...lines, ...it.said, ...it.factory.known.remarks, journal].join("\n")).not.toContain("hush-2");
  await desk.close();
});

test("what waits for the next start is not in use, whatever else changes", async () => {
  await using it = openStage({ config: configOf([a]) });
  const desk = openDesk(it, it.factory.config);
  const { config } = it.factory;
  const general = { ...config.general, workDir: "/srv/work", operators: "lab", pollIntervalMs: 9_000 };
  const web = { listen: "127.0.0.1", port: 9_000 } as never;
  desk.file = { ...config, general, web };
  await desk.reload("SIGHUP");
  expect(desk.used).toMatchObject([{ general: { workDir: null, operators: null, pollIntervalMs: 9_000 } }]);
  expect(desk.used[0]?.web).toBeNull();
  expect(it.factory.known.remarks).toEqual([
    "general.work_dir changes with the next start",
    "general.operators changes with the next start",
    "[web] changes with the next start",
  ]);
  await desk.close();
});

test("a mistake is logged again when it comes again, and so is that the file is as it was", async () => {
  await using it = openStage({ config: configOf([a]) });
  const { config } = it.factory;
  const desk = openDesk(it, config);
  for (const file of [mistake, config, mistake, config]) {
    desk.file = file;
    await desk.reload("SIGHUP");
  }
  const entries = it.store
    .journal({ what: ["config"], most: 9 })
    .map(({ entry }) => "is" in entry && entry.is);
  expect(entries).toEqual(["refused", "read anew", "refused", "read anew"]);
  expect(it.said.filter((line) => line.includes("has a mistake"))).toHaveLength(2);
  await desk.close();
});

test("a configuration is in use also if the database cannot be written", async () => {
  await using it = openStage({ config: configOf([a]) });
  const desk = openDesk(it, it.factory.config);
  const other = new Database(join(it.directory, "data.sqlite3"));
  other.run("BEGIN IMMEDIATE");
  desk.file = configOf([a, b]);
  expect(await desk.reload("SIGHUP")).toEqual({ isDone: true, lines: ["b: added"] });
  expect(desk.used).toHaveLength(1);
  other.close();
  await desk.close();
});

test("a token file that is named anew is looked at again, and a file event without a name counts", async () => {
  await using it = openStage({ config: configOf([a]) });
  const desk = openDesk(it, it.factory.config);
  await it.run(limits.configMs + 2_000);
  desk.file = { ...configOf([a]), tokenFile: "/etc/token" };
  await desk.reload("SIGHUP");
  const { reads } = desk;
  await it.run(limits.configMs + 2_000);
  expect(desk.reads).toBe(reads + 1);
  desk.save({ ...configOf([a, b]), tokenFile: "/etc/token" }, { hint: null });
  await it.run(2_000);
  expect(desk.reads).toBe(reads + 2);
  await desk.close();
});

test("a factory that stops answers whoever waits, and one that drains is set to nothing else", async () => {
  const it = openStage({ config: configOf([a]) });
  await it.run(1_000);
  const key = "testbed a";
  it.factory.known.busy.add(key);
  const act = actSchema.parse({ verb: "clear", testbed: "a", because: "it burnt" });
  const asked = it.daemon.act(act, "ann", new AbortController().signal);
  await it.run(1_000);
  it.daemon.drain();
  it.daemon.setAsking(true);
  expect(it.daemon.observe().mode).toBe("drain");
  it.daemon.stop();
  await it.run(limits.stopMs + 1_000);
  expect(await asked).toEqual({ isDone: false, lines: ["the factory stops"] });
  await it[Symbol.asyncDispose]();
});
