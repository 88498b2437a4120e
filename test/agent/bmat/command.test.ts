import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Control, listenControl } from "../../../lib/agent/bmat/control-server.ts";
import type { ControlReply, ControlRequest } from "../../../lib/agent/bmat/messages.ts";
import { openClock } from "../../../lib/doors/clock.ts";
import { until } from "../../lab/until.ts";

let base: string;
let control: Control;
let asked: ControlRequest[];
let answer: (request: ControlRequest) => ControlReply;
let pending: () => Promise<void> = async () => {};

beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), "bmat-"));
  mkdirSync(join(base, "run"));
  control = listenControl({
    path: join(base, "run/buildomat.sock"),
    answer: async (request) => {
      asked.push(request);
      await pending();
      return answer(request);
    },
  });
});
afterAll(() => {
  control.close();
  rmSync(base, { recursive: true, force: true });
});

async function bmat(words: string, cwd = "/", env: Record<string, string> = {}) {
  asked = [];
  const argv = ["bmat", "--base", base, ...words.split(" ").filter((word) => word !== "")];
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "../../lab/agent-main.ts"), ...argv], {
    cwd,
    env,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { out, err, code };
}

describe("bmat address", () => {
  test.each([
    ["list", "NAME             CIDR               FIRST           LAST            COUNT\n"],
    ["ls -o network,mask,routed,gateway -s family", "NETWORK         MASK            ROUTED GATEWAY\n"],
    ["ls -Hpo COUNT -S count", ""],
  ])("%s lists no addresses", async (words, out) => {
    expect(await bmat(`address ${words}`)).toEqual({ out, err: "", code: 0 });
  });

  test.each([
    ["list -f none", 'Error: IP address range "none" not found\n'],
    ["list -o name,sise,x -s name", "ERROR: invalid column names: sise, x\n"],
    ["list -s sise", "ERROR: invalid column names: sise\n"],
    ["list -f", "ERROR: Argument to option 'f' missing\n"],
    ["list -Hp -H", "ERROR: Option 'H' given more than once\n"],
    ["list x", "ERROR: unexpected arguments\n"],
    ["", "ERROR: choose a command\n"],
    ["show", 'ERROR: command "show" not understood\n'],
  ])("%s exits 1", async (words, message) => {
    const { out, err, code } = await bmat(`address ${words}`);
    expect({ out, code }).toEqual({ out: "", code: 1 });
    expect(err).toEndWith(message);
  });

  test("bmat eng metadata lists no addresses either", async () => {
    expect(await bmat("eng metadata")).toEqual({ out: "addrs = []\n", err: "", code: 0 });
  });
});

const startRequest = () =>
  asked.flatMap((each) => (typeof each === "object" && "ProcessStart" in each ? [each.ProcessStart] : []))[0];

describe("bmat process start", () => {
  test("gives the agent the program, its flags, environment, directory and user, and prints nothing", async () => {
    answer = () => "Ack";
    const env = { PATH: "/bin", A: "ü=" };
    expect(await bmat("process start web ls -l --all -- x", base, env)).toEqual({
      out: "",
      err: "",
      code: 0,
    });
    expect(startRequest()).toMatchObject({
      name: "web",
      cmd: "ls",
      args: ["-l", "--all", "--", "x"],
      env,
      pwd: base,
      uid: process.getuid?.(),
      gid: process.getgid?.(),
    });
  });

  test("works with an environment of a megabyte", async () => {
    const value = "x".repeat(100_000);
    const env = Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`V${index}`, value]));
    expect(await bmat("process start web true", "/", env)).toMatchObject({ err: "", code: 0 });
    expect(startRequest()?.env).toMatchObject(env);
  });

  test("prints the agent's refusal, and what is missing in its arguments", async () => {
    answer = () => ({ Error: 'background process "web" is already running' });
    const refused = 'Error: could not start process: background process "web" is already running\n';
    expect(await bmat("process start web true")).toEqual({ out: "", err: refused, code: 1 });
    expect((await bmat("process start web")).err).toEndWith(
      "ERROR: specify at least a process name and a command to run\n",
    );
  });
});

test("200 requests may wait at a time; further ones are refused", async () => {
  let release = (): void => {};
  const released = new Promise<void>((resolve) => (release = resolve));
  pending = () => released;
  answer = () => "Ack";
  const ask = async (): Promise<number> => {
    const response = await fetch("http://agent/", {
      unix: join(base, "run/buildomat.sock"),
      method: "POST",
      body: '{"StoreGet":"a"}',
    });
    await response.text();
    return response.status;
  };
  asked = [];
  const asking = Array.from({ length: 205 }, ask);
  await until("they wait", () => asked.length >= 200);
  release();
  const statuses = await Promise.all(asking);
  expect(statuses.filter((status) => status === 503)).toHaveLength(5);
  pending = async () => {};
  expect((await bmat("store put a b")).code).toBe(0);
});

test("bmat waits for an answer for as long as it takes", async () => {
  answer = () => "Ack";
  // Longer than what Bun's server allows of itself, which is seen by nothing else.
  pending = () => openClock().sleep(12_000);
  expect(await bmat("store put a b")).toEqual({ out: "", err: "", code: 0 });
  pending = async () => {};
});

test("bmat reaches its agent past a job's proxy", async () => {
  answer = () => "Ack";
  const env = { HTTP_PROXY: "http://127.0.0.1:9", http_proxy: "http://127.0.0.1:9" };
  expect(await bmat("store put a b", "/", env)).toEqual({ out: "", err: "", code: 0 });
});

test("bmat --help shows all commands for jobs; of a group or command, only its own", async () => {
  const all = await bmat("--help");
  expect(all.code).toBe(0);
  expect(all.out.match(/(?<=bmat )\S+ \S+/g)).toEqual([
    "store get",
    "store put",
    "address list",
    "process start",
    "factory name",
    "factory id",
    "factory private",
  ]);
  expect((await bmat("store --help")).out.match(/(?<=bmat )\S+ \S+/g)).toEqual(["store get", "store put"]);
  expect((await bmat("eng metadata --help")).out).toBe("usage: bmat eng metadata\n");
});
