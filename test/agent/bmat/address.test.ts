import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Control, listenControl } from "../../../lib/agent/bmat/control.ts";
import type { Address, ControlReply, ControlRequest } from "../../../lib/agent/bmat/frames.ts";
import { until } from "../../lab/until.ts";

let base: string;
let control: Control;
let asked: ControlRequest[];
let answer: (request: ControlRequest) => ControlReply;

const address = (name: string, cidr: string, first: string, count: number, more = {}): Address => ({
  name,
  cidr,
  first,
  count,
  routed: false,
  gateway: null,
  ...more,
});
const addresses = [
  address("extra", "192.0.2.0/24", "192.0.2.16", 4),
  address("boot", "10.1.2.3/8", "10.0.0.9", 12, { routed: true, gateway: "10.0.0.1" }),
  address("boot", "10.0.0.0/30", "10.0.0.0", 2, { gateway: "a\tb" }),
  address("six", "2001:db8::/64", "2001:db8::1", 4),
  address("mixed", "192.0.2.0/24", "2001:db8::1", 4),
  address("none", "192.0.2.0/24", "192.0.2.16", 0),
  address("outside", "192.0.2.0/24", "192.0.3.1", 1),
  address("too many", "192.0.2.0/24", "192.0.2.250", 7),
  address("to the broadcast address", "192.0.2.0/24", "192.0.2.250", 6),
  address("the network's own", "192.0.2.0/24", "192.0.2.0", 1),
  address("single", "192.0.2.1/32", "192.0.2.1", 1),
  address("past all", "0.0.0.0/0", "255.255.255.250", 4_000_000_000),
  address("no mask", "192.0.2.0", "192.0.2.1", 1),
  address("long mask", "192.0.2.0/33", "192.0.2.1", 1),
  address("zeros", "192.0.2.0/24", "192.0.2.01", 1),
];

beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), "bmat-"));
  mkdirSync(join(base, "run"));
  control = listenControl({
    path: join(base, "run/buildomat.sock"),
    answer: async (request) => {
      asked.push(request);
      return answer(request);
    },
    log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
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
  beforeAll(() => {
    answer = () => ({ MetadataAddressesResult: addresses });
  });

  test.each([
    [
      "list",
      "NAME             CIDR               FIRST           LAST            COUNT\n" +
        "extra            192.0.2.0/24       192.0.2.16      192.0.2.19      4\n" +
        "boot             10.1.2.3/8         10.0.0.9        10.0.0.20       12\n" +
        "boot             10.0.0.0/30        10.0.0.0        10.0.0.1        2\n",
    ],
    ["ls -H -o name,last -s name", "boot\t10.0.0.20\nboot\t10.0.0.1\nextra\t192.0.2.19\n"],
    ["ls -Hpo COUNT -S count", "12\n4\n2\n"],
    [
      "ls -f extra -o network,mask,routed,gateway,family",
      "NETWORK         MASK            ROUTED GATEWAY         FAMILY\n" +
        "192.0.2.0       255.255.255.0   no     -               inet\n",
    ],
    [
      "ls -H -o network,mask,routed,gateway -s family,count",
      "10.0.0.0\t255.255.255.252\tno\ta b\n" +
        "192.0.2.0\t255.255.255.0\tno\t-\n" +
        "10.0.0.0\t255.0.0.0\tyes\t10.0.0.1\n",
    ],
  ])("%s", async (words, out) => {
    expect(await bmat(`address ${words}`)).toEqual({ out, err: "", code: 0 });
  });

  test.each([
    ["list -f none", 'Error: IP address range "none" not found\n'],
    ["list -f boot", 'Error: 2 IP address ranges matched name "boot"\n'],
    ["list -o name,sise,x -s name", "ERROR: invalid column names: sise, x\n"],
    ["list -s sise", "ERROR: invalid column names: sise\n"],
    ["list -f", "ERROR: Argument to option 'f' missing\n"],
    ["list -Hp -H", "ERROR: Option 'H' given more than once\n"],
    ["list x", "ERROR: unexpected arguments\n"],
    ["", "ERROR: choose a command\n"],
    ["show", 'ERROR: command "show" not understood\n'],
  ])("%s ends with 1", async (words, message) => {
    const { out, err, code } = await bmat(`address ${words}`);
    expect({ out, code }).toEqual({ out: "", code: 1 });
    expect(err).toEndWith(message);
  });

  test("bmat eng metadata shows all of it", async () => {
    answer = () => ({ MetadataAddressesResult: addresses.slice(0, 2) });
    const shown = (await bmat("eng metadata")).out;
    answer = () => ({ MetadataAddressesResult: [] });
    expect((await bmat("eng metadata")).out).toBe("addrs = []\n");
    expect(shown).toBe(`addrs = [
    FactoryAddresses {
        name: "extra",
        cidr: "192.0.2.0/24",
        first: "192.0.2.16",
        count: 4,
        routed: false,
        gateway: None,
    },
    FactoryAddresses {
        name: "boot",
        cidr: "10.1.2.3/8",
        first: "10.0.0.9",
        count: 12,
        routed: true,
        gateway: Some(
            "10.0.0.1",
        ),
    },
]
`);
  });
});

describe("bmat process start", () => {
  test("hands over the program with its flags, its environment, directory and user, and says nothing", async () => {
    answer = () => "Ack";
    const env = { PATH: "/bin", A: "ü=" };
    expect(await bmat("process start web ls -l --all -- x", base, env)).toEqual({
      out: "",
      err: "",
      code: 0,
    });
    const bytes = (text: string) => ({ Unix: [...Buffer.from(text)] });
    const [request] = asked as { ProcessStart: { env: unknown[] } }[];
    expect(request?.ProcessStart).toMatchObject({
      name: "web",
      cmd: "ls",
      args: ["-l", "--all", "--", "x"],
      pwd: base,
      uid: process.getuid?.(),
      gid: process.getgid?.(),
    });
    expect(request?.ProcessStart.env.slice(0, 2)).toEqual(
      Object.entries(env).map(([key, value]) => [bytes(key), bytes(value)]),
    );
  });

  test("with an environment of a megabyte too", async () => {
    const value = "x".repeat(100_000);
    const env = Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`V${index}`, value]));
    expect(await bmat("process start web true", "/", env)).toMatchObject({ err: "", code: 0 });
    const [request] = asked as { ProcessStart: { env: { Unix: number[] }[][] } }[];
    expect(request?.ProcessStart.env[9]?.[1]?.Unix).toHaveLength(100_000);
  });

  test("says what the agent says, and what it lacks", async () => {
    answer = () => ({ Error: 'background process "web" is already running' });
    const refused = 'Error: could not start process: background process "web" is already running\n';
    expect(await bmat("process start web true")).toEqual({ out: "", err: refused, code: 1 });
    expect((await bmat("process start web")).err).toEndWith(
      "ERROR: specify at least a process name and a command to run\n",
    );
  });
});

test("the control socket is open to 200 at a time", async () => {
  answer = () => ({ MetadataAddressesResult: [] });
  let closed = 0;
  const connect = () =>
    Bun.connect({
      unix: join(base, "run/buildomat.sock"),
      socket: { data: () => {}, close: () => void (closed += 1) },
    });
  const sockets = await Promise.all(Array.from({ length: 205 }, connect));
  // One of the test before may not have ended yet, and takes a place.
  await until("the last are closed", () => closed >= 5);
  expect(closed).toBeLessThan(10);
  for (const socket of sockets) socket.end();
  await until("all are closed", () => closed === 205);
  expect((await bmat("eng metadata")).code).toBe(0);
});

test("bmat --help shows all that is for jobs, and a group's or a command's alone", async () => {
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
