import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Control, listenControl } from "../../../lib/agent/bmat/control-server.ts";
import { createJobCalls } from "../../../lib/agent/job-calls.ts";
import { answerControl, createPuts, type JobAccess } from "../../../lib/agent/bmat/answers.ts";
import type { Answer } from "../../../lib/server/call.ts";
import { openClock } from "../../../lib/doors/clock.ts";
import type { Log } from "../../../lib/words/logger.ts";
import type { Ping, StoreValue, WorkerApi } from "../../../lib/server/worker-side.ts";
import { until } from "../../lab/until.ts";

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

let base: string;
let socketPath: string;
let control: Control;
let store: Map<string, { value: string; secret: boolean }>;
let refusal: Answer<never> | null;
/** Values, as they were tried. */
let puts: string[];
let ping: Ping;
let access: JobAccess | null;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "bmat-"));
  mkdirSync(join(base, "run"));
  socketPath = join(base, "run/buildomat.sock");
  store = new Map();
  puts = [];
  refusal = null;
  ping = {
    poweroff: false,
    job: null,
    factory_info: { id: "01FACTORY", name: "lab", private: "bed-1/7" },
  };
  const api = {
    storeGet: async (_: string, name: string): Promise<Answer<StoreValue>> =>
      refusal ?? { ok: true, value: store.get(name) ?? null },
    storePut: async (_: string, name: string, value: string, secret: boolean): Promise<Answer<void>> => {
      puts.push(value);
      if (refusal !== null) return refusal;
      store.set(name, { value, secret });
      return { ok: true, value: undefined };
    },
  } as unknown as WorkerApi;
  const calls = createJobCalls({ clock: openClock(), log: silent, doubt: () => undefined });
  access = { jobId: "J", api, calls, background: null, puts: createPuts() };
  control = listenControl({
    path: socketPath,
    answer: (request, caller) => answerControl(request, caller, { ping, job: access }),
  });
});
afterEach(() => {
  control.close();
  rmSync(base, { recursive: true, force: true });
});

function start(args: string[], stdin: string | Uint8Array = "", env: Record<string, string> = {}) {
  return Bun.spawn([process.execPath, join(import.meta.dir, "../../lab/agent-main.ts"), "bmat", ...args], {
    env: { BUILDOMAT_NONROOT: "1", BUILDOMAT_OPT: base, ...env },
    stdin: new Blob([stdin as string]),
    stdout: "pipe",
    stderr: "pipe",
  });
}

async function bmat(...[args, stdin, env]: Parameters<typeof start>) {
  const child = start(args, stdin, env);
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { out, err, code };
}

const away: Answer<never> = { ok: false, refusal: "no answer", status: 502, message: "away" };
const retryLine = "WARNING: control request failure (retrying): away\n";

describe("bmat store", () => {
  test("puts and gets values, and prints a newline after one that has none", async () => {
    expect(await bmat(["store", "put", "a", "one"])).toEqual({ out: "", err: "", code: 0 });
    expect(await bmat(["store", "get", "a"])).toEqual({ out: "one\n", err: "", code: 0 });
    store.set("b", { value: "two\nlines\n", secret: false });
    expect((await bmat(["store", "get", "-W", "b"])).out).toBe("two\nlines\n");
  });

  test.each([
    ["one\n", "one"],
    ["one", "one"],
    ["one\ntwo\n", "one\ntwo\n"],
    ["one\n\n", "one\n\n"],
    ["\n", ""],
    ["", ""],
  ])("puts %j from stdin as %j", async (stdin, value) => {
    expect(await bmat(["store", "put", "-s", "a"], stdin)).toMatchObject({ code: 0 });
    expect(store.get("a")).toEqual({ value, secret: true });
  });

  test.each([
    [["-s", "a", "x"], "x", true],
    [["a", "-5"], "-5", false],
    [["a", "-s"], "-s", false],
    [["--", "a", "--"], "--", false],
    [["-s", "--", "a", "-"], "-", true],
  ])("reads %j as flags first, then as values that may look like flags", async (args, value, secret) => {
    expect(await bmat(["store", "put", ...args])).toMatchObject({ code: 0 });
    expect(store.get("a")).toEqual({ value, secret });
  });

  test("get waits for a value that is absent, or fails with -W", async () => {
    const absent = { out: "", err: 'Error: the store has no value for "a"\n', code: 1 };
    expect(await bmat(["store", "get", "-W", "a"])).toEqual(absent);
    const child = start(["store", "get", "a"]);
    const reader = child.stderr.getReader();
    const warning = new TextDecoder().decode((await reader.read()).value);
    expect(warning).toBe('WARNING: job store has no value for "a"; waiting for a value...\n');
    store.set("a", { value: "late", secret: false });
    expect(await new Response(child.stdout).text()).toBe("late\n");
    expect((await reader.read()).done).toBe(true);
    expect(await child.exited).toBe(0);
  });

  test("fails with the server's reason if the server refuses for good", async () => {
    refusal = { ok: false, refusal: "conflict", status: 409, message: "maximum value size is 10KiB" };
    const failed = { out: "", err: "Error: maximum value size is 10KiB\n", code: 1 };
    expect(await bmat(["store", "put", "a"], "x".repeat(20_000))).toEqual(failed);
    refusal = { ok: false, refusal: "rejected", status: 400, message: "no" };
    expect(await bmat(["store", "get", "a"])).toEqual({ out: "", err: "Error: no\n", code: 1 });
  });

  test("warns once and waits while the server is away", async () => {
    refusal = away;
    const child = start(["store", "put", "a", "b"]);
    await until("it has been refused", () => puts.length > 0);
    refusal = null;
    expect(await child.exited).toBe(0);
    expect(store.get("a")?.value).toBe("b");
    expect(await new Response(child.stderr).text()).toBe(retryLine);
  });

  test("puts values in the order in which they were given, also after an outage", async () => {
    refusal = away;
    const first = start(["store", "put", "a", "old"]);
    await until("the first has been refused", () => puts.length > 0);
    const second = start(["store", "put", "a", "new"]);
    // It waits for its turn, and knows why.
    expect(new TextDecoder().decode((await second.stderr.getReader().read()).value)).toBe(retryLine);
    refusal = null;
    expect([await first.exited, await second.exited]).toEqual([0, 0]);
    expect(store.get("a")?.value).toBe("new");
    expect(puts.indexOf("new")).toBe(puts.lastIndexOf("old") + 1);
  });

  test("F83 a put that was given up is not sent later", async () => {
    refusal = away;
    const first = start(["store", "put", "a", "old"]);
    await until("it has been refused", () => puts.length > 0);
    const waiting = start(["store", "put", "a", "older"]);
    expect((await waiting.stderr.getReader().read()).done).toBe(false);
    waiting.kill("SIGKILL");
    await waiting.exited;
    // By the next answer its end has been seen.
    await bmat(["factory", "id"]);
    first.kill("SIGKILL");
    await first.exited;
    const last = start(["store", "put", "a", "new"]);
    // An attempt is made each second.
    await until("it has been refused", () => puts.includes("new"));
    const before = puts.length;
    await until("it is refused again", () => puts.length > before + 1);
    expect(puts.slice(before)).not.toContain("old");
    expect(puts).not.toContain("older");
    refusal = null;
    expect(await last.exited).toBe(0);
    expect(store.get("a")?.value).toBe("new");
  });

  test("stops reading input that is far over the limit", async () => {
    const { err, code } = await bmat(["store", "put", "a"], "x".repeat(1_000_000));
    expect({ err, code }).toEqual({ err: "Error: maximum value size is 10KiB\n", code: 1 });
  });

  test("refuses a value that is not UTF-8", async () => {
    const { err, code } = await bmat(["store", "put", "a"], Buffer.from([0xff]));
    expect({ err, code }).toEqual({ err: "Error: stream did not contain valid UTF-8\n", code: 1 });
  });

  test("says that no job runs, or that the job is over", async () => {
    access?.calls.end("test");
    expect((await bmat(["store", "get", "a"])).err).toBe("Error: the job is over\n");
    access = null;
    expect((await bmat(["store", "get", "a"])).err).toBe("Error: no job is running\n");
  });
});

test("bmat factory prints one line", async () => {
  expect(await bmat(["factory", "name"])).toEqual({ out: "lab\n", err: "", code: 0 });
  expect(await bmat(["factory", "id"])).toEqual({ out: "01FACTORY\n", err: "", code: 0 });
  expect(await bmat(["factory", "private"])).toEqual({ out: "bed-1/7\n", err: "", code: 0 });
  ping.factory_info.private = null;
  const unset = { out: "", err: "Error: factory private info not available\n", code: 1 };
  expect(await bmat(["factory", "private"])).toEqual(unset);
});

describe("bmat exits 1", () => {
  test.each([
    ["no command", [], "ERROR: choose a command"],
    ["an unknown command", ["nope"], 'ERROR: command "nope" not understood'],
    ["an unknown one of store", ["store", "list"], 'ERROR: command "list" not understood'],
    ["a command that every object has", ["constructor"], 'ERROR: command "constructor" not understood'],
    ["no name", ["store", "get"], "ERROR: specify name of value to fetch from store"],
    [
      "too many values",
      ["store", "put", "a", "b", "c"],
      "ERROR: specify name of value, and value, to put in store",
    ],
    ["an unknown flag", ["store", "get", "-x", "a"], "ERROR: Unrecognized option: 'x'"],
    ["arguments of factory", ["factory", "id", "x"], "ERROR: unexpected arguments"],
  ])("and shows its usage for %s", async (_, args, message) => {
    const { out, err, code } = await bmat(args);
    expect({ out, code }).toEqual({ out: "", code: 1 });
    expect(err).toStartWith("usage: bmat ");
    expect(err).toEndWith(`\n${message}\n`);
  });

  test("if there is no agent, whatever its arguments are", async () => {
    const { err, code } = await bmat(["store", "nonsense"], "", { BUILDOMAT_OPT: "/none" });
    expect({ err, code }).toEqual({ err: "Error: No such file or directory (os error 2)\n", code: 1 });
  });
});

describe("the control socket", () => {
  const post = (body: string): Promise<Response> =>
    fetch("http://agent/", { unix: socketPath, method: "POST", body });

  test("is open to every user of the host", () => {
    expect(statSync(socketPath).mode & 0o777).toBe(0o777);
  });

  test("answers that no task is running", async () => {
    const request = { name: "n", cmd: "c", args: [], env: {}, pwd: "/", uid: 0, gid: 0 };
    const response = await post(JSON.stringify({ ProcessStart: request }));
    expect(await response.text()).toBe('{"Error":"no task is running"}\n');
  });

  test.each(["nonsense", '{"Nope":1}', '"Ack"', '{"StorePut":["a","b"]}', ""])(
    "refuses %j, and still answers others",
    async (body) => {
      expect((await post(body)).status).toBe(400);
      expect(await bmat(["factory", "id"])).toMatchObject({ out: "01FACTORY\n", code: 0 });
    },
  );

  test("refuses a request of more than 16 MiB", async () => {
    expect((await post("x".repeat(17_000_000))).status).toBe(413);
  });
});
