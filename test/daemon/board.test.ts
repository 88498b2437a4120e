/** A board that a service works on, as the factory asks for it: when it is idle for certain, and how it is recovered. */
import { noCover } from "../../lib/hosts/covered-paths.ts";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Answer } from "../../lib/server/call.ts";
import { armRequest } from "../../lib/daemon/arm-request.ts";
import { proveBoardIdle, reachBoard } from "../../lib/daemon/board.ts";
import type { OwnInstance } from "../../lib/words/domain.ts";
import type { Place } from "../../lib/words/place.ts";
import { done, type Outcome, waiting } from "../../lib/daemon/outcome.ts";
import { openFiles } from "../../lib/doors/files.ts";
import type { Log } from "../../lib/words/logger.ts";
import type { Board, RunnerResult, RunnerStatus, SpRunnerApi } from "../../lib/runner/sp-runner.ts";
import { openStore, type Store } from "../../lib/store/store.ts";
import { configOf, instanceOf, testbedOf, type Said } from "../policy/scenes.ts";
import { createSettableClock } from "../lab/settable-clock.ts";
import { remember } from "../../lib/daemon/instance-memory.ts";

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const url = "http://h";
const lost: Answer<never> = { ok: false, refusal: "no answer", status: null, message: "it broke off" };
const boardOf = (over: Partial<Board> = {}): Board => ({ name: "a", status: "available", ...over });

let directory: string;
let store: Store;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "board-"));
  mkdirSync(join(directory, "opt/etc"), { recursive: true });
  store = openStore({ path: join(directory, "data.sqlite3"), nowMs: 0, directoryOf: () => directory });
});
afterEach(() => {
  store.close();
  rmSync(directory, { recursive: true, force: true });
});

function stage() {
  const clock = createSettableClock();
  const said: {
    board: Board | null;
    status: Answer<RunnerStatus>;
    result: Answer<RunnerResult>;
    recoveries: number;
  } = {
    board: boardOf(),
    result: lost,
    status: { ok: false, refusal: "rejected", status: 404, message: "no such job" },
    recoveries: 0,
  };
  const runner: SpRunnerApi = {
    health: () => Promise.resolve({ ok: true, value: { status: "healthy" } }),
    boards: () => Promise.resolve(said.board === null ? lost : { ok: true, value: [said.board] }),
    submit: () => Promise.resolve(lost),
    status: () => Promise.resolve(said.status),
    result: () => Promise.resolve(said.result),
    recover: () => {
      said.recoveries += 1;
      return Promise.resolve({ ok: true, value: { status: "started", message: "" } });
    },
  };
  const parts = { openRunner: () => runner, files: openFiles(), log: silent, store, clock };
  const memory = remember({ instances: new Map() }, ended());
  const prove = (instance = ended()): Promise<Outcome> => proveBoardIdle(parts, instance, memory);
  const known = { testbeds: new Map() };
  const reach = async (): Promise<string> => {
    const reached = await reachBoard({ ...parts, known }, testbedOf(), url);
    return reached.ok ? "reached" : reached.reason;
  };
  return { prove, reach, clock, said };
}

const place = (): Place => ({ way: "sp-runner", directory, agent: "built-in", spRunnerUrl: url });
const ended = (over: Said = {}): OwnInstance => instanceOf({ phase: "destroying", place: place(), ...over });

function leave(name: string, text: string): void {
  writeFileSync(join(directory, "opt/etc", name), text);
}

const looksAgain = waiting(2000);

describe("proveBoardIdle()", () => {
  beforeEach(() => leave("sp-runner.json", '{"phase":"submitted","job":"J"}'));

  test("wants a board that is idle twice, 10 s apart", async () => {
    const { prove, clock } = stage();
    expect(await prove()).toEqual(looksAgain);
    await clock.advance(9999);
    expect(await prove()).toEqual(looksAgain);
    await clock.advance(1);
    expect(await prove()).toEqual(done);
  });

  test.each<[string, Board | null]>([
    ["at work", boardOf({ status: "busy" })],
    ["available with a job on it", boardOf({ current_job: "K" })],
    ["in a state of another version", boardOf({ status: "dozing" })],
  ])("starts again after a look at which the board is %s", async (_, board) => {
    const { prove, clock, said } = stage();
    await prove();
    await clock.advance(9000);
    said.board = board;
    expect(await prove()).not.toEqual(done);
    await clock.advance(10_000);
    expect(await prove()).not.toEqual(done);
    said.board = boardOf({ status: "offline" });
    expect(await prove()).toEqual(looksAgain);
    await clock.advance(10_000);
    expect(await prove()).toEqual(done);
  });

  test.each<[string, Board | null]>([
    ["is not in the list", null],
    ["has another name", boardOf({ name: "b" })],
  ])("takes a look at which the board %s for none", async (_, board) => {
    const { prove, clock, said } = stage();
    await prove();
    await clock.advance(9_000);
    said.board = board;
    expect(await prove()).toMatchObject({ kind: "failed" });
    await clock.advance(1000);
    expect(await prove()).toMatchObject({ kind: "failed" });
    said.board = boardOf();
    expect(await prove()).toEqual(done);
  });

  test.each(["pending", "running"])("waits for a job that is %s, whatever the board says", async (status) => {
    const { prove, clock, said } = stage();
    said.status = { ok: true, value: { status, testbed: "a" } };
    expect(await prove()).toEqual(looksAgain);
    await clock.advance(60_000);
    expect(await prove()).toEqual(looksAgain);
    said.status = { ok: true, value: { status, testbed: "another" } };
    expect(await prove()).toEqual(looksAgain);
    await clock.advance(10_000);
    expect(await prove()).toEqual(done);
  });

  test.each<[string, Answer<RunnerStatus>]>([
    ["does not answer", lost],
    ["has a word of its own", { ok: true, value: { status: "queued" } }],
  ])("a service that %s of the job frees no board for an hour", async (_, status) => {
    const { prove, clock, said } = stage();
    said.status = status;
    for (let minutes = 0; minutes < 60; minutes += 1) {
      expect(await prove()).toMatchObject({ kind: "failed" });
      await clock.advance(60_000);
    }
    expect(await prove()).toEqual(done);
  });

  test("one answer that does not know the job, after none at all, frees no board", async () => {
    const { prove, clock, said } = stage();
    said.status = lost;
    await prove();
    await clock.advance(10_000);
    said.status = { ok: false, refusal: "rejected", status: 404, message: "starting" };
    expect(await prove()).toEqual(looksAgain);
    await clock.advance(10_000);
    expect(await prove()).toEqual(done);
  });

  test("a job that has a result is over, whatever the service's word for that", async () => {
    const { prove, clock, said } = stage();
    said.status = { ok: true, value: { status: "aborted" } };
    said.result = { ok: true, value: { outcome: "failed" } };
    await prove();
    await clock.advance(10_000);
    expect(await prove()).toEqual(done);
  });

  test("starts again after more than three minutes without an answer", async () => {
    const { prove, clock } = stage();
    await prove();
    await clock.advance(180_001);
    expect(await prove()).toEqual(looksAgain);
    await clock.advance(10_000);
    expect(await prove()).toEqual(done);
  });

  test.each(['{"phase":"submitting"}', '{"phase":"submitted","job":"J","isAdopted":true}', "{"])(
    "wants a minute where the record is %j",
    async (text) => {
      const { prove, clock } = stage();
      leave("sp-runner.json", text);
      for (const ms of [30_000, 29_999, 1]) {
        expect(await prove()).toEqual(looksAgain);
        await clock.advance(ms);
      }
      expect(await prove()).toEqual(done);
    },
  );

  test("does not ask where the agent saw the job's end", async () => {
    const { prove, said } = stage();
    said.board = null;
    leave("sp-runner.json", '{"phase":"ended","verdict":{"isGood":true,"files":[]}}');
    expect(await prove()).toEqual(done);
  });

  test.each(["", "{", '{"phase":7}', '{"phase":"submitting"}'])(
    "takes the record %j for no end",
    async (text) => {
      const { prove } = stage();
      leave("sp-runner.json", text);
      expect(await prove()).toEqual(looksAgain);
    },
  );

  test("cannot tell where the record cannot be read", async () => {
    const { prove } = stage();
    rmSync(join(directory, "opt/etc/sp-runner.json"));
    mkdirSync(join(directory, "opt/etc/sp-runner.json"));
    expect(await prove()).toMatchObject({
      kind: "failed",
      reason: expect.stringContaining(
        "cannot tell whether the board is idle: the agent's record cannot be read",
      ),
    });
  });

  test("believes that nothing was submitted only of an agent that is done, or never went", async () => {
    const { prove, said } = stage();
    rmSync(join(directory, "opt/etc/sp-runner.json"));
    said.board = boardOf({ status: "busy" });
    expect(await prove()).toEqual(looksAgain);
    expect(await prove(ended({ wentAt: null }))).toEqual(looksAgain);
    expect(await prove(ended({ worker: null }))).toEqual(done);
    leave("job-done.json", "{}");
    expect(await prove()).toEqual(done);
  });

  test("is done where no service works on the board", async () => {
    const { prove } = stage();
    expect(await prove(instanceOf({ phase: "destroying" }))).toEqual(done);
  });
});

describe("reachBoard()", () => {
  test("says why a board takes no job", async () => {
    const it = stage();
    expect(await it.reach()).toBe("reached");
    it.said.board = boardOf({ status: "offline" });
    expect(await it.reach()).toBe("sp-runner http://h says that its board is offline");
    it.said.board = boardOf({ status: "busy", current_job: "K" });
    expect(await it.reach()).toBe("sp-runner http://h says that its board is busy");
    it.said.board = boardOf({ current_job: "K" });
    expect(await it.reach()).toBe("sp-runner http://h says that its board is available, with a job on it");
  });

  test("has a failed board recovered, and only looks for 2 minutes; a person is needed after three times", async () => {
    const it = stage();
    const failure = "sp-runner http://h says that its board failed";
    it.said.board = boardOf({ status: "failed-needs-recovery" });
    for (const count of [1, 2, 3]) {
      expect(await it.reach()).toBe(`${failure}: it is recovering`);
      await it.clock.advance(119_999);
      expect(await it.reach()).toBe(`${failure}: it is recovering`);
      expect(it.said.recoveries).toBe(count);
      expect(store.troubles().get("a")?.recoveries).toBe(count);
      await it.clock.advance(1);
    }
    expect(await it.reach()).toBe(`${failure}, and recovering it did not help 3 times: it needs a person`);
    expect(it.said.recoveries).toBe(3);
  });

  test("a board that came back and fails again is recovered at once", async () => {
    const it = stage();
    it.said.board = boardOf({ status: "failed-needs-recovery" });
    await it.reach();
    it.said.board = boardOf();
    expect(await it.reach()).toBe("reached");
    it.said.board = boardOf({ status: "failed-needs-recovery" });
    await it.reach();
    expect(it.said.recoveries).toBe(2);
  });
});

test("armRequest() names an instance's own directories where a service shares them", () => {
  const host = {
    agent: { kind: "built-in" as const, argv: ["f"], bmat: ["f"] },
    user: { name: "u", home: "/home/u" },
    cover: noCover,
    path: "/bin",
    environment: {},
    ssh: null,
  };
  const jsonOf = (spRunnerUrl: string | null): unknown => {
    const testbed = testbedOf({ spRunnerUrl });
    const begun =
      spRunnerUrl === null ? ended({ place: { way: "local", directory, agent: "built-in" } }) : ended();
    const spec = armRequest(configOf([]), host, begun, testbed);
    return JSON.parse(spec.testbedJson);
  };
  const own = { input_dir: `${directory}/input`, output_dir: `${directory}/work`, sp_runner_url: url };
  expect(jsonOf(url)).toMatchObject(own);
  // What was begun at one service is asked for there, whatever the configuration says by now.
  expect(jsonOf("http://moved")).toMatchObject(own);
  expect(jsonOf(null)).not.toHaveProperty("output_dir");
});
