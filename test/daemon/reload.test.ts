/** A configuration that is read anew while the daemon runs: what changes, what does not, and what runs on. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { type Config, parseConfig, type Testbed } from "../../lib/config/config.ts";
import { testbedMemory } from "../../lib/daemon/testbed-memory.ts";
import { limits } from "../../lib/policy/times-and-limits.ts";
import { FactoryError } from "../../lib/words/failure.ts";
import { Secret } from "../../lib/words/secret.ts";
import { configOf, randomOf, testbedOf } from "../policy/scenes.ts";
import { openDesk } from "./desk.ts";
import { openStage, type Stage } from "./stage.ts";

setDefaultTimeout(60_000);

const a = testbedOf();
const b = testbedOf({ name: "b" });
const mistake = new FactoryError("Cannot use config.toml: 1 problem", { hint: "Correct it" });

async function runJob(it: Stage, job = "job-1"): Promise<void> {
  it.queue.push(job);
  await it.runUntil(() => it.instance()?.phase === "running");
  for (const worker of it.workers.values()) worker.online = true;
}

/** The agent says that its job is done, as a file event would. */
async function endJob(it: Stage): Promise<void> {
  const [name] = it.agents.keys();
  it.agents.set(name ?? "", "done");
  await it.runUntil(() => it.instance() === undefined);
}

test("a file that was saved is read when it has been the same for a moment, and what changed is logged and journaled", async () => {
  await using it = openStage({ config: configOf([a]) });
  const desk = openDesk(it, it.factory.config);
  await it.run(2_000);
  const after = configOf([{ ...a, jobTimeoutMs: 7_200_000 }, b]);
  desk.save(after);
  await it.run(limits.configSettleMs / 2);
  desk.save(after);
  await it.run(limits.configSettleMs / 2);
  expect(desk.reads).toBe(0);
  await it.run(2 * limits.configSettleMs);
  expect(desk.reads).toBe(1);
  const lines = ["a: job_timeout none -> 2h", "b: added"];
  for (const line of lines) expect(it.said).toContain(line);
  const [entry] = it.store.journal({ what: ["config"], most: 9 });
  expect(entry?.entry).toMatchObject({ what: "config", is: "read anew", lines });
  expect(it.store.configSummary()?.testbeds.map(({ name }) => name)).toEqual(["a", "b"]);
  await desk.close();
});

test("without a file event a saved file is noticed within ten seconds, and an idle factory looks no more often", async () => {
  await using it = openStage({ config: configOf([a]) });
  const desk = openDesk(it, it.factory.config);
  // The first look reads it once: it may have been saved during the start.
  await it.run(limits.configMs + 1_000);
  expect(desk.reads).toBe(1);
  const before = desk.looks;
  await it.run(60_000);
  expect(desk.looks - before).toBe(6);
  expect(desk.reads).toBe(1);
  desk.save(configOf([b]), { hint: undefined });
  await it.run(limits.configMs + 2 * limits.configSettleMs);
  expect(desk.used).toHaveLength(1);
  await desk.close();
});

test("a file with a mistake changes nothing, is logged and journaled once, shows until it is right, and is then read again", async () => {
  await using it = openStage({ config: configOf([a]) });
  const desk = openDesk(it, it.factory.config);
  await it.run(1_000);
  desk.save(mistake);
  await it.run(3_000);
  await desk.reload("SIGHUP");
  const { isDone, lines } = await desk.reload("asked by kim", { who: "kim", note: "new board" });
  expect(isDone).toBe(false);
  expect(lines).toEqual([
    "config.toml has a mistake now: the factory goes on with what it had read before",
    "Cannot use config.toml: 1 problem",
    "  Correct it",
  ]);
  expect(it.factory.known.remarks).toEqual(lines);
  expect(it.said.filter((line) => line.includes("has a mistake"))).toHaveLength(1);
  expect(it.store.journal({ what: ["config"], most: 9 })).toHaveLength(1);
  expect(it.store.journal({ what: ["act"], most: 9 })[0]?.entry).toMatchObject({
    verb: "reload",
    who: "kim",
    note: "new board",
  });
  expect(desk.used).toEqual([]);
  desk.save(configOf([{ ...a, note: "x" }]));
  await it.run(3_000);
  expect(it.factory.known.remarks).toEqual([]);
  expect(desk.used).toHaveLength(1);
  await desk.close();
});

test("what waits for the next start is said once, and shows for as long as it waits", async () => {
  await using it = openStage({ config: configOf([a]) });
  const desk = openDesk(it, it.factory.config);
  const { config } = it.factory;
  desk.file = { ...config, general: { ...config.general, workDir: "/srv/work" } };
  await desk.reload("SIGHUP");
  await desk.reload("SIGHUP");
  const line = "general.work_dir changes with the next start";
  expect(it.factory.known.remarks).toEqual([line]);
  expect(it.said.filter((each) => each === line)).toHaveLength(1);
  expect(desk.used).toEqual([]);
  desk.file = config;
  await desk.reload("SIGHUP");
  expect(it.factory.known.remarks).toEqual([]);
  await desk.close();
});

test("two reloads at once read one after the other, and the second finds nothing new", async () => {
  await using it = openStage({ config: configOf([a]) });
  const desk = openDesk(it, it.factory.config);
  desk.file = configOf([a, b]);
  const both = await Promise.all([desk.reload("one"), desk.reload("two")]);
  expect(both.map(({ lines }) => lines)).toEqual([["b: added"], ["nothing has changed in config.toml"]]);
  expect(desk.used).toHaveLength(1);
  await desk.close();
});

test("a token in a mistake's text is not shown", async () => {
  await using it = openStage({ config: configOf([a]) });
  const desk = openDesk(it, { ...it.factory.config, token: new Secret("hush-hush") });
  desk.file = new FactoryError("it has hush-hush in it");
  expect((await desk.reload("SIGHUP")).lines.join()).not.toContain("hush-hush");
  expect(it.said.join()).not.toContain("hush-hush");
  await desk.close();
});

test.each<[string, Testbed[]]>([
  ["removed", [b]],
  ["disabled", [{ ...a, enabled: false }, b]],
  ["moved to another host", [{ ...a, host: "elsewhere" }, b]],
  ["given to a service", [{ ...a, spRunnerUrl: "http://127.0.0.1:1" }, b]],
])("a busy testbed that is %s drains: its job runs on to its own end", async (how, testbeds) => {
  await using it = openStage({ config: configOf([a]) });
  const desk = openDesk(it, it.factory.config);
  await runJob(it);
  const away = { ok: false, reason: "it is away" };
  it.fate = (call) => (call === "reach a" ? away : undefined);
  it.factory.openRunner = () =>
    ({ health: () => Promise.resolve({ ...away, refusal: "no answer" }) }) as never;
  desk.file = configOf(testbeds);
  const { lines } = await desk.reload("SIGHUP");
  expect(lines.join()).toContain("its job runs on");
  await it.run(120_000);
  expect(it.instance()?.phase).toBe("running");
  expect(it.count(/^(stop|delete) /)).toBe(0);
  await endJob(it);
  expect(it.store.latest()[0]).toMatchObject({
    phase: "destroyed",
    endCause: "job done",
    place: { way: "local" },
  });
  // It takes no other one, and what is there does.
  it.queue.push("job-2");
  await it.runUntil(() => it.instance("b")?.phase === "running");
  expect(it.instance("a")).toBeUndefined();
  expect(how).not.toBe("");
  await desk.close();
});

test.each([
  ["was moved is no strike against it where it is now", { spRunnerConfig: "/etc/sp.toml" }, 0],
  ["got another note is a strike", { note: "loud fan" }, 1],
])("an end that comes after its testbed %s", async (_, change, strikes) => {
  await using it = openStage({ config: configOf([a]) });
  const desk = openDesk(it, it.factory.config);
  await runJob(it);
  desk.file = configOf([{ ...a, ...change }]);
  await desk.reload("SIGHUP");
  it.agents.set("a_1", "dead");
  await it.runUntil(() => it.instance() === undefined);
  expect(it.store.latest()[0]?.endCause).toBe("agent killed");
  expect(testbedMemory(it.factory.known, "a").health?.strikes ?? 0).toBe(strikes);
  await desk.close();
});

test("a job whose testbed was removed before its minder was armed is passed on as no longer configured", async () => {
  await using it = openStage({ config: configOf([a]) });
  const desk = openDesk(it, it.factory.config);
  it.fate = (call) => (call === "arm a_1" ? { kind: "cannot tell", reason: "no answer" } : undefined);
  it.queue.push("job-1");
  await it.runUntil(() => it.count(/^arm a_1/) === 1);
  desk.file = configOf([b]);
  await desk.reload("SIGHUP");
  await it.runUntil(() => it.instance("b")?.phase === "running");
  const dropped = it.store.latest().find(({ testbed }) => testbed === "a");
  expect(dropped).toMatchObject({ phase: "dropped", endCause: "not configured" });
  await desk.close();
});

test("a look at this host that began before a testbed was added says nothing of that testbed", async () => {
  await using it = openStage({ config: configOf([]) });
  const desk = openDesk(it, it.factory.config);
  const usual = {
    ok: true,
    uid: 0,
    isolation: { kind: "possible" },
    unshared: null,
    unusable: null,
    freeBytes: 1e12,
  };
  let answer = (): void => undefined;
  let probes = 0;
  it.fate = async (call) => {
    if (!call.startsWith("probe")) return undefined;
    probes += 1;
    if (probes === 1) await new Promise<void>((resolve) => (answer = resolve));
    return { ...usual, agentFaults: [probes === 1 ? null : "the agent is not there"] };
  };
  desk.file = configOf([b]);
  await desk.reload("SIGHUP");
  await it.run(500);
  expect(probes).toBe(1);
  desk.file = configOf([a, b]);
  await desk.reload("SIGHUP");
  it.queue.push("job-1");
  answer();
  await it.run(3_000);
  expect(probes).toBeGreaterThan(1);
  expect(it.factory.known.host?.faults.get("a")).toBe("the agent is not there");
  expect(it.queue).toEqual(["job-1"]);
  await desk.close();
});

test("an added testbed of this host takes no job before the host was looked at anew", async () => {
  await using it = openStage({ config: configOf([b]) });
  const desk = openDesk(it, it.factory.config);
  await it.run(2_000);
  it.fate = (call) => (call.startsWith("probe") ? { ok: false, reason: "it is on fire" } : undefined);
  desk.file = configOf([a]);
  await desk.reload("SIGHUP");
  it.queue.push("job-1");
  await it.run(3_000);
  expect(it.queue).toEqual(["job-1"]);
  await desk.close();
});

test("what the old check of a testbed said does not count for the new one", async () => {
  await using it = openStage({ config: configOf([{ ...a, check: "old" }]) });
  const desk = openDesk(it, it.factory.config);
  let answer = (): void => undefined;
  const commands: string[] = [];
  it.factory.processes = {
    run: async ({ argv }: { argv: string[] }) => {
      commands.push(argv.at(-1) ?? "");
      if (argv.at(-1) === "old") await new Promise<void>((resolve) => (answer = resolve));
      return { ok: true, exitCode: argv.at(-1) === "old" ? 0 : 1, stdout: "", stderr: "" };
    },
  } as never;
  await it.run(500);
  expect(commands).toEqual(["old"]);
  desk.file = configOf([{ ...a, check: "new" }]);
  await desk.reload("SIGHUP");
  it.queue.push("job-1");
  answer();
  await it.run(3_000);
  expect(commands).toContain("new");
  expect(it.queue).toEqual(["job-1"]);
  await desk.close();
});

test("a new token is tried at once, not when the refused one's time has come", async () => {
  await using it = openStage({ config: configOf([a]) });
  const desk = openDesk(it, it.factory.config);
  let isGood = false;
  it.fate = (call) =>
    isGood || !["ping", "list", "lease"].includes(call)
      ? undefined
      : { ok: false, refusal: "unauthorised", status: 401, message: "no" };
  await it.run(5_000);
  expect(it.factory.known.server.isTokenRefused).toBe(true);
  isGood = true;
  desk.file = { ...it.factory.config, token: new Secret("another") };
  await desk.reload("SIGHUP");
  await it.run(100);
  expect(it.factory.known.server.isTokenRefused).toBe(false);
  expect(it.said).toContain("the server takes the factory's token again");
  await desk.close();
});

test("a new token is tried, and what the old one was answered does not count for it", async () => {
  await using it = openStage({ config: configOf([a]) });
  const desk = openDesk(it, it.factory.config);
  const refused = { ok: false, refusal: "unauthorised", status: 401, message: "no" };
  let answer: (() => void) | null = null;
  let isGood = false;
  it.fate = async (call) => {
    if (isGood || !["ping", "list", "lease"].includes(call)) return undefined;
    // The last one of the old token is answered when the new one is in use.
    if (call === "ping" && it.factory.known.server.isTokenRefused)
      await new Promise<void>((resolve) => (answer = resolve));
    return refused;
  };
  await it.runUntil(() => answer !== null);
  isGood = true;
  desk.file = { ...it.factory.config, token: new Secret("another") };
  await desk.reload("SIGHUP");
  await it.run(100);
  it.factory.known.server.isTokenRefused = false;
  answer!();
  await it.run(100);
  expect(it.said.filter((line) => line.includes("refuses the factory's token"))).toHaveLength(1);
  it.queue.push("job-1");
  await it.run(3_000);
  expect(it.instance()?.phase).toBe("running");
  await desk.close();
});

test("a job whose testbed is removed before it has a worker goes to another one; nobody is struck for it", async () => {
  await using it = openStage({ config: configOf([a]) });
  const desk = openDesk(it, it.factory.config);
  let isArming = false;
  it.fate = async (call) => {
    if (call !== "arm a_1") return undefined;
    isArming = true;
    await it.clock.sleep(1_000);
    return { kind: "failed", reason: "too late" };
  };
  it.queue.push("job-1");
  await it.runUntil(() => isArming);
  desk.file = configOf([b]);
  await desk.reload("SIGHUP");
  await it.runUntil(() => it.instance("b")?.phase === "running");
  expect(it.instance("b")?.job).toBe("job-1");
  expect(testbedMemory(it.factory.known, "a").health).toBeNull();
  await desk.close();
});

test("the agent of a removed testbed that has a worker already is started all the same", async () => {
  await using it = openStage({ config: configOf([a]) });
  const desk = openDesk(it, it.factory.config);
  // Its minder lets go once, so that it is armed again after its section has gone.
  let isGone = false;
  it.fate = async (call) => {
    if (call !== "go a_1" || isGone) return undefined;
    isGone = true;
    desk.file = configOf([b]);
    await desk.reload("SIGHUP");
    it.agents.delete("a_1");
    return { kind: "expired" };
  };
  await runJob(it);
  expect(it.count(/^arm a_1$/)).toBe(2);
  await desk.close();
});

test("what is learnt by the old section of a testbed does not count for the new one", async () => {
  const far = testbedOf({ host: "old" });
  await using it = openStage({ config: configOf([far]) });
  const desk = openDesk(it, it.factory.config);
  let answer: (() => void) | null = null;
  const old = new Promise<void>((resolve) => (answer = resolve));
  let count = 0;
  it.fate = async (call) => {
    if (call !== "reach a") return undefined;
    count += 1;
    if (count > 1) return { ok: false, reason: "the new one is away" };
    await old;
    return undefined;
  };
  await it.run(500);
  expect(count).toBe(1);
  desk.file = configOf([{ ...far, host: "new" }]);
  await desk.reload("SIGHUP");
  answer!();
  it.queue.push("job-1");
  await it.run(20_000);
  expect(count).toBeGreaterThan(1);
  expect(testbedMemory(it.factory.known, "a").reached).toMatchObject({
    ok: false,
    reason: "the new one is away",
  });
  expect(it.queue).toEqual(["job-1"]);
  await desk.close();
});

test("a testbed whose section has changed is reached anew before a job is asked for; one with another note is not", async () => {
  const far = testbedOf({ host: "there" });
  await using it = openStage({ config: configOf([far]) });
  const desk = openDesk(it, it.factory.config);
  await it.run(2_000);
  const reaches = it.count(/^reach a/);
  desk.file = configOf([{ ...far, note: "x" }]);
  await desk.reload("SIGHUP");
  await it.run(1_000);
  expect(it.count(/^reach a/)).toBe(reaches);
  desk.file = configOf([{ ...far, sshUser: "somebody" }]);
  const calls = it.calls.length;
  await desk.reload("SIGHUP");
  await it.run(3_000);
  const after = it.calls.slice(calls);
  expect(after).toContain("reach a");
  expect(after.indexOf("reach a")).toBeLessThan(after.indexOf("lease"));
  await desk.close();
});

test("a changed section is tried at once, and its strikes are kept; what an operator wants stays", async () => {
  await using it = openStage({ config: configOf([a]) });
  const desk = openDesk(it, it.factory.config);
  await it.run(100);
  const record = testbedMemory(it.factory.known, "a");
  const far = { bootId: it.clock.bootId, uptimeMs: it.clock.uptimeMs() + 3_600_000 };
  record.health = { strikes: 3, retryAt: far, reason: "no agent" };
  const intent = {
    kind: "paused",
    who: "kim",
    note: "",
    sinceMs: 0,
    until: null,
    isAfterJob: false,
  } as const;
  it.store.setIntent("a", intent, []);
  record.intent = intent;
  desk.file = configOf([{ ...a, spRunnerPath: "/opt/sp-runner" }]);
  await desk.reload("SIGHUP");
  expect(record.health.strikes).toBe(3);
  expect(record.health.retryAt.uptimeMs).toBeLessThanOrEqual(it.clock.uptimeMs());
  expect(it.store.health().get("a")).toEqual(record.health);
  it.queue.push("job-1");
  await it.run(10_000);
  expect(it.queue).toEqual(["job-1"]);
  await desk.close();
});

test("500 mutated files: each is in use or changes nothing and says why; the daemon and its job run on", async () => {
  await using it = openStage({ config: configOf([a]) });
  const whole = [
    "[general]",
    'baseurl = "http://localhost:8000"',
    'poll_interval = "2s"',
    'agent_environment = { HTTPS_PROXY = "http://kim:hush-hush@proxy:1" }',
    "[factory]",
    'token = "hush-hush"',
    "[testbed.a]",
    'sp_type = "gimlet"',
    'targets = ["sp-gimlet"]',
    'job_timeout = "2h"',
    "[testbed.b]",
    'sp_type = "psc"',
    'targets = ["sp-gimlet"]',
    'host = "lab-2"',
    "enabled = false",
    "[target.sp-gimlet]",
    'id = "01HGYSTRYRBS0DG7J6E22ZS3M5"',
  ].join("\n");
  const parse = (text: string): Config =>
    parseConfig({
      text,
      path: "config.toml",
      env: {},
      user: "lab",
      home: "/home/lab",
      platform: "linux",
      workingDirectory: "/",
      readTokenFile: () => "hush-hush",
    });
  const desk = openDesk(it, parse(whole));
  await runJob(it);
  const { below } = randomOf(16);
  const counts = { used: 0, same: 0, refused: 0 };
  for (let count = 0; count < 500; count += 1) {
    const text = mutate(whole, below);
    let read: Config | FactoryError;
    try {
      read = parse(text);
    } catch (error) {
      if (!(error instanceof FactoryError)) throw error;
      read = error;
    }
    desk.file = read;
    const before = desk.used.length;
    const { isDone, lines } = await desk.reload("SIGHUP");
    const isUsed = desk.used.length > before;
    expect(isDone).toBe(!(read instanceof FactoryError));
    expect(lines.length).toBeGreaterThan(0);
    if (!isDone) expect(isUsed).toBe(false);
    if (isUsed && !(read instanceof FactoryError)) expect(desk.used.at(-1)?.testbeds).toEqual(read.testbeds);
    counts[isDone ? (isUsed ? "used" : "same") : "refused"] += 1;
    expect(lines.join("\n")).not.toContain("hush-hush");
    await it.run(1_000);
    expect(it.store.latest().find(({ testbed }) => testbed === "a")).toMatchObject({
      seq: 1,
      phase: "running",
      endReason: null,
    });
  }
  expect(it.said.join("\n")).not.toContain("hush-hush");
  expect(it.count(/^stop a_1/)).toBe(0);
  expect(Object.values(counts).every((each) => each > 10)).toBe(true);
  desk.file = parse(whole);
  await desk.reload("SIGHUP");
  await endJob(it);
  expect(it.store.latest().find(({ testbed }) => testbed === "a")?.endCause).toBe("job done");
  await desk.close();
});

/** One to three mistakes as people and editors make them. */
function mutate(text: string, pick: (most: number) => number): string {
  let lines = text.split("\n");
  for (let count = pick(3); count >= 0; count -= 1) {
    const at = pick(lines.length);
    const line = lines[at] ?? "";
    const kinds: (() => void)[] = [
      () => void lines.splice(at, 1),
      () => void (lines = lines.slice(0, at)),
      () => void lines.splice(at, 0, lines[pick(lines.length)] ?? ""),
      () => void (lines[at] = line.slice(0, pick(line.length + 1))),
      () => void (lines[at] = line.replace(/\d/, `${pick(10)}`)),
      () => void (lines[at] = line.replace("a", "b")),
      () => void (lines[at] = line.replace(/"/, "")),
      () => void lines.push("[testbed.c]", 'sp_type = "sidecar"', 'targets = ["sp-gimlet"]'),
      () => void (lines[at] = line.replace("false", "true").replace("2h", "3h").replace("lab-2", "lab-3")),
      () => void lines.push("# only a remark"),
    ];
    kinds[pick(kinds.length)]?.();
  }
  return lines.join("\n");
}
