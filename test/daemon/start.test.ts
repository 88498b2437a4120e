/** From a worker to a running agent, and how that is watched: each start is once, and with one token. */
import { describe, expect, test } from "bun:test";
import { armRequest } from "../../lib/daemon/arm-request.ts";
import { goRequest } from "../../lib/daemon/start.ts";
import type { Instance } from "../../lib/words/domain.ts";
import type { GoSpec } from "../../lib/hosts/minder/specification.ts";
import { Secret } from "../../lib/words/secret.ts";
import { openStage, refusal, type Stage, type StageOptions } from "./stage.ts";
import { at, configOf, instanceOf, testbedOf, workerOf, type Said } from "../policy/scenes.ts";

const ssh = {
  host: "h",
  user: "",
  port: null,
  key: null,
  hostKey: null,
  elevation: null,
  uid: 0,
};

function openOne(over: Said, options: StageOptions = {}): Stage {
  const it = openStage({ ...options, rows: [instanceOf({ wentAt: at(1_000_000), ...over })] });
  it.workers.set("worker-a", workerOf());
  return it;
}

/** What the minder gets when an agent is to start. */
function notingGo(it: Stage): GoSpec[] {
  const specs: GoSpec[] = [];
  const minder = it.factory.hosts.here.minder;
  const { go } = minder;
  minder.go = (spec) => {
    specs.push(spec);
    return go(spec);
  };
  return specs;
}

describe("an agent", () => {
  test("whose minder gave up waiting is armed again and starts once", async () => {
    await using it = openStage();
    it.queue.push("job-1");
    it.fate = (call) => {
      if (!call.startsWith("go") || it.count(/^go/) > 1) return undefined;
      it.agents.delete("a_1");
      return { kind: "expired" };
    };
    await it.runUntil(() => it.instance()?.phase === "running");
    expect(it.calls.filter((call) => /^(arm|go)/.test(call))).toEqual([
      "arm a_1",
      "go a_1",
      "arm a_1",
      "go a_1",
    ]);
  });

  test("gets the same token each time, and no other instance's", () => {
    const config = configOf([testbedOf()]);
    const spec = (over: Omit<Said, "phase"> & { phase?: "starting" } = {}, bootstrap = "secret"): string =>
      goRequest(config, instanceOf(over), new Secret(bootstrap)).agentJson;
    expect(spec()).toBe(spec({ phase: "starting", isOnline: true }));
    expect(JSON.parse(spec())).toMatchObject({ baseurl: config.general.baseurl, bootstrap: "secret" });
    const tokens = [spec(), spec({ cookie: "f".repeat(32) }), spec({}, "another")].map(
      (text) => (JSON.parse(text) as { token: string }).token,
    );
    expect(new Set(tokens).size).toBe(3);
    expect(tokens.join()).not.toContain("secret");
  });

  test("of an instance without a bootstrap gets the one of its worker on the server", async () => {
    await using it = openOne({ phase: "starting", bootstrap: null, wentAt: null });
    const specs = notingGo(it);
    it.agents.set("a_7", "armed");
    it.workers.set("worker-a", workerOf({ bootstrap: "from the server" }));
    await it.runUntil(() => it.instance()?.phase === "running");
    expect(specs).toHaveLength(1);
    expect(specs[0]?.worker).toBe("worker-a");
    expect(specs[0]?.agentJson).toContain('"from the server"');
  });

  test("of an instance without a bootstrap is not started if its worker was deleted", async () => {
    await using it = openOne({ phase: "starting", bootstrap: null, wentAt: null });
    it.agents.set("a_7", "armed");
    it.fate = (call) => (call.startsWith("read") ? { ok: true, value: null } : undefined);
    await it.runUntil(() => it.instance() === undefined);
    expect(it.count(/^go/)).toBe(0);
  });

  test("gets its job when it is online, by one flush, which is tried again if it fails", async () => {
    await using it = openOne({});
    it.agents.set("a_7", "alive");
    await it.run(20_000);
    expect(it.count(/^flush/)).toBe(0);
    it.workers.set("worker-a", workerOf({ online: true }));
    it.fate = (call) => (call.startsWith("flush") && it.count(/^flush/) === 1 ? refusal(500) : undefined);
    await it.run(60_000);
    expect(it.count(/^flush/)).toBe(2);
    expect(it.store.open()[0]?.isFlushed).toBe(true);
  });

  test("that may have started without a record of it is recorded, and not started again", async () => {
    await using it = openOne({ phase: "starting", wentAt: null });
    it.agents.set("a_7", "alive");
    await it.run(30_000);
    expect(it.count(/^(arm|go)/)).toBe(0);
    expect(it.store.open()[0]).toMatchObject({ phase: "running", wentAt: { bootId: "boot-1" } });
  });
});

describe("the agent of a hardware test that is gone", () => {
  const spRunnerUrl = "http://h";
  const place = { way: "sp-runner", directory: "/work/a_7", agent: "built-in", spRunnerUrl } as const;
  const config = configOf([testbedOf({ spRunnerUrl })]);
  const again = (it: Stage): string[] => it.calls.filter((call) => /^(stop|quiet|arm|go)/.test(call));

  function openTest(worker: Parameters<typeof workerOf>[0] = {}): Stage {
    const it = openOne({ place, isOnline: true, isFlushed: true }, { config });
    it.workers.set("worker-a", workerOf({ online: true, ...worker }));
    it.agents.set("a_7", "dead");
    return it;
  }

  test("is stopped, armed and started with the token that it had", async () => {
    await using it = openTest();
    const specs = notingGo(it);
    await it.runUntil(() => it.count(/^go/) > 0);
    await it.run(5_000);
    expect(again(it)).toEqual(["stop a_7", "arm a_7", "go a_7"]);
    expect(specs).toEqual([goRequest(config, instanceOf({ place }), new Secret("bootstrap"))]);
    expect(it.instance()?.phase).toBe("running");
  });

  test("is not started beside one that is not proved gone, nor without the testbed's lock", async () => {
    for (const [pattern, answer] of [
      [/^stop/, { kind: "cannot tell", reason: "no answer" }],
      [/^arm/, { kind: "elsewhere", owner: "x/1", isHost: false }],
    ] as const) {
      await using it = openTest();
      it.fate = (call) => (pattern.test(call) ? answer : undefined);
      await it.runUntil(() => it.count(pattern) > 2);
      expect(it.count(/^go/)).toBe(0);
    }
  });

  test.each([
    ["is held by now", { hold: true }, "running"],
    ["is recycled by now", { recycle: true }, "destroying"],
    ["is another instance's by now", { private: "x/1" }, "running"],
    ["is gone by now", null, "destroying"],
  ])("is not started if its worker %s", async (_, over, phase) => {
    await using it = openTest();
    it.fate = (call) => {
      if (!call.startsWith("read"))
        return /^(list|quiet)/.test(call) && it.count(/^read/) > 0 ? refusal(500) : undefined;
      return { ok: true, value: over === null ? null : workerOf({ online: true, ...over }) };
    };
    await it.runUntil(() => it.count(/^read/) > 0);
    await it.run(10_000);
    expect(it.count(/^(arm|go)/)).toBe(0);
    expect(it.instance()?.phase).toBe(phase as Instance["phase"]);
  });

  test("ends after three starts that came to nothing", async () => {
    await using it = openTest();
    it.fate = (call) => {
      if (!call.startsWith("go")) return undefined;
      it.agents.set("a_7", "dead");
      return { kind: "went" };
    };
    await it.runUntil(() => it.instance()?.phase === "destroying");
    expect(it.count(/^go/)).toBe(3);
  });

  test("ends after twenty tries in a row that failed", async () => {
    await using it = openTest();
    it.fate = (call) => (call.startsWith("arm") ? { kind: "failed", reason: "full" } : undefined);
    await it.runUntil(() => it.instance()?.phase === "destroying");
    expect(it.count(/^arm/)).toBe(20);
  });
});

describe("armRequest()", () => {
  const request = (it: Stage, over: Said = {}, testbed = testbedOf()) =>
    armRequest(it.factory.config, it.factory.hosts.here, instanceOf(over), testbed);

  test("is again only for an agent that ran, and watches output only if silence counts", async () => {
    await using it = openStage();
    expect(request(it, { phase: "starting" })).toMatchObject({ isAgain: false, isOutputWatched: false });
    expect(request(it, { silenceTimeoutMs: 1 })).toMatchObject({ isAgain: true, isOutputWatched: true });
  });

  test("names the instance, its minute of expiry and how it is isolated", async () => {
    await using it = openStage({ config: configOf([testbedOf()], "off") });
    const at = { directory: "/w/a_7", agent: "built-in" } as const;
    const place = { ...at, way: "sp-runner", spRunnerUrl: "http://h" } as const;
    expect(request(it)).toMatchObject({
      instance: "a/7",
      testbed: "a",
      cookie: instanceOf().cookie,
      directory: "/work/a_7",
      agent: ["/agent", "run"],
      isolate: "off",
      usesHost: true,
      expirySeconds: 120,
    });
    expect(request(it, { place })).toMatchObject({ usesHost: false, directory: "/w/a_7" });
  });

  test("describes the testbed to the job, with the home of its user, and keeps what that names", async () => {
    await using it = openStage();
    const testbed = testbedOf({ spRunnerPath: "~/bin/sp-runner --fast", spRunnerConfig: "~/c.toml" });
    const { testbedJson, kept } = request(it, {}, testbed);
    expect(JSON.parse(testbedJson)).toEqual({
      testbed: "a",
      sp_type: "gimlet",
      target: "sp-gimlet",
      sp_runner: "/home/lab/bin/sp-runner --fast",
      sp_runner_config: "/home/lab/c.toml",
      baseline: "v16",
    });
    expect(kept).toEqual(expect.arrayContaining(["/home/lab/bin/sp-runner", "/home/lab/c.toml"]));
  });

  test("holds no secret", async () => {
    await using it = openStage();
    const text = JSON.stringify(request(it, { bootstrap: new Secret("hush-hush") }));
    expect(text).not.toContain("hush-hush");
    expect(text).not.toContain(`"${it.factory.config.token.reveal()}"`);
  });
});

describe("an instance's directory", () => {
  /** What is watched now. */
  function watching(it: Stage): string[] {
    const watched: string[] = [];
    const open = (name: string, onChange: () => void): { close(): void } => {
      watched.push(name);
      changes.set(name, onChange);
      return { close: () => void watched.splice(watched.indexOf(name), 1) };
    };
    it.factory.files.watch = open;
    it.factory.hosts.watch = (place, cookie, onChange) => open(`${place.ssh.host} ${cookie}`, onChange);
    return watched;
  }
  const changes = new Map<string, () => void>();

  test.each([
    ["this host", {}, ["/work/a_7/opt/etc", "/work/a_7/minder"]],
    [
      "another host",
      { place: { way: "ssh", directory: "/w/a_7", agent: "external", ssh } as const },
      [`h ${instanceOf().cookie}`],
    ],
  ])("on %s is watched while it runs, and a change is looked at at once", async (_, over, names) => {
    await using it = openOne({ isOnline: true, isFlushed: true, ...over });
    const watched = watching(it);
    it.workers.set("worker-a", workerOf({ online: true }));
    it.agents.set("a_7", "alive");
    await it.run(5_000);
    expect(watched).toEqual(names);
    const looks = it.count(/^look/);
    it.agents.set("a_7", "done");
    changes.get(names[0] ?? "")?.();
    await it.run(100);
    expect(it.count(/^look/)).toBeGreaterThan(looks);
    await it.runUntil(() => it.instance() === undefined);
    await it.run(10);
    expect(watched).toEqual([]);
  });

  test("is not watched before its agent runs, and no more once the daemon stops", async () => {
    await using it = openOne({ phase: "starting", wentAt: null });
    const watched = watching(it);
    it.agents.set("a_7", "armed");
    it.fate = (call) => (call.startsWith("go") ? { kind: "cannot tell", reason: "no answer" } : undefined);
    await it.run(5_000);
    expect(watched).toEqual([]);
    it.fate = () => undefined;
    await it.runUntil(() => watched.length > 0);
    it.daemon.stop();
    await it.run(3_000);
    expect(watched).toEqual([]);
  });
});
