/** The verb `status` at terminals of several widths, piped, live, and beside a factory of another version. */
import { Database } from "bun:sqlite";
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { frameOf } from "../../lib/commands/status.ts";
import { openControlSocket } from "../../lib/doors/control-socket.ts";
import { openClock } from "../../lib/doors/clock.ts";
import { snapshotJsonSchema, testbedStates } from "../../lib/status/snapshot.ts";
import { lockStore } from "../../lib/store/store.ts";
import { type FactoryProcess, type Lab, openLab } from "../lab/lab.ts";
import { openSession, type Session } from "../lab/pty.ts";
import { until } from "../lab/until.ts";

setDefaultTimeout(60_000);

const program = [process.execPath, join(import.meta.dir, "../../factory.ts")];

function atTerminal(it: Lab, columns: number, words: string[], env: Record<string, string> = {}): Session {
  const place = { cwd: it.directory, env: { HOME: it.directory, PATH: process.env["PATH"] ?? "", ...env } };
  return openSession([...program, "status", "--base-dir", it.base, ...words], { ...place, columns });
}

async function said(it: Lab, args: string[] = []): Promise<string> {
  const asked = it.start({ command: ["status"], args });
  expect(await asked.exited).toBe(0);
  return await asked.stdout();
}

async function startedIn(it: Lab): Promise<FactoryProcess> {
  const factory = it.start();
  await until("it is started", () => factory.log().some(({ message }) => message.includes("started on")));
  await until("it says that a testbed is free", async () => / free +2/.test(await said(it)));
  return factory;
}

/** Checks what JSON Schema demands, as far as this one goes. */
function breaches(schema: Record<string, unknown>, value: unknown, at = "$"): string[] {
  const {
    type,
    anyOf,
    enum: words,
    const: only,
    properties,
    required,
    items,
  } = schema as {
    type?: string | string[];
    anyOf?: Record<string, unknown>[];
    enum?: unknown[];
    const?: unknown;
    properties?: Record<string, Record<string, unknown>>;
    required?: string[];
    items?: Record<string, unknown>;
  };
  if (anyOf !== undefined) {
    const tried = anyOf.map((each) => breaches(each, value, at));
    return tried.some((each) => each.length === 0) ? [] : tried.flat();
  }
  const is = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
  if (type !== undefined && ![type].flat().includes(is))
    return [`${at} is ${is}, not ${[type].flat().join(" or ")}`];
  if (words !== undefined && !words.includes(value)) return [`${at} is ${String(value)}`];
  if (only !== undefined && only !== value) return [`${at} is ${String(value)}`];
  if (Array.isArray(value))
    return value.flatMap((each, index) => breaches(items ?? {}, each, `${at}[${index}]`));
  if (is !== "object" || properties === undefined) return [];
  const fields = value as Record<string, unknown>;
  const unknown = Object.keys(fields).filter((name) => properties[name] === undefined);
  const missing = (required ?? []).filter((name) => !(name in fields));
  return [
    ...[...unknown, ...missing].map((name) => `${at}.${name}`),
    ...Object.entries(fields).flatMap(([name, each]) =>
      breaches(properties[name] ?? {}, each, `${at}.${name}`),
    ),
  ];
}

test.concurrent("status fits terminals of 80 and 200 columns, is coloured there unless NO_COLOR is set, and plain when piped", async () => {
  const long = "x".repeat(30);
  await using it = await openLab({
    testbeds: {
      "bed-1": [
        'note = "the left one, with the yellow cable that nobody may pull, ever, under no circumstances"',
      ],
      [long]: [],
    },
  });
  const factory = await startedIn(it);
  const id = await it.submit(`echo started; while [ ! -e '${it.directory}/end' ]; do sleep 0.05; done`);
  await until("it runs", async () => (await it.said(id, "stdout")).includes("started"));
  for (const columns of [80, 200]) {
    for (const words of [[], ["bed-1"], [long]]) {
      const session = atTerminal(it, columns, words);
      expect(await session.exited).toBe(0);
      const lines = session.shown().split("\n");
      expect(lines.filter((line) => Bun.stringWidth(line) > columns)).toEqual([]);
      expect(lines.join("\n")).toContain("The factory is running on");
      expect(session.raw()).toContain(words[0] === long ? "\x1b[32mfree\x1b[0m" : "\x1b[36mrunning\x1b[0m");
    }
    const plain = atTerminal(it, columns, [], { NO_COLOR: "1" });
    expect(await plain.exited).toBe(0);
    expect(plain.raw()).not.toContain("\x1b[3");
  }
  const piped = await said(it);
  expect(piped).not.toContain("\x1b");
  expect(piped).toContain(id);
  await Bun.write(join(it.directory, "end"), "");
  factory.kill("SIGUSR1");
  await factory.exited;
});

test.concurrent("status --json is what its schema says, with a factory and without one", async () => {
  await using it = await openLab({ testbeds: { "bed-1": [], "bed-2": ["enabled = false"] } });
  const factory = await startedIn(it);
  const schema = JSON.parse(await said(it, ["--schema"])) as Record<string, unknown>;
  expect(schema).toEqual(snapshotJsonSchema() as Record<string, unknown>);
  expect(JSON.stringify(schema)).toContain(JSON.stringify(testbedStates));
  const live = JSON.parse(await said(it, ["--json"])) as object;
  expect(breaches(schema, live)).toEqual([]);
  expect(live).toMatchObject({ source: "factory", testbeds: [{ state: "free" }, { state: "disabled" }] });
  expect(breaches(schema, { ...live, format: 2, other: 1 })).toHaveLength(2);
  const one = JSON.parse(await said(it, ["bed-2", "--json"])) as object;
  expect(one).toMatchObject({ testbeds: [{ testbed: "bed-2" }] });
  factory.kill("SIGTERM");
  await factory.exited;
  const stored = JSON.parse(await said(it, ["--json"])) as object;
  expect(breaches(schema, stored)).toEqual([]);
  expect(stored).toMatchObject({
    source: "files",
    testbeds: [{ state: "no factory" }, { state: "disabled" }],
  });
});

test.concurrent("status --watch asks once a second while somebody watches, redraws in place, and Ctrl+C ends it", async () => {
  await using it = await openLab();
  const factory = await startedIn(it);
  const session = atTerminal(it, 80, ["--watch"]);
  await until("three frames are shown", () => session.raw().split("\x1b[H").length > 3);
  const frames = session.raw().split("\x1b[H").slice(1);
  // The screen is cleared once; after that nothing is blank before it is written anew, and the cursor stays.
  expect(session.raw().split("\x1b[2J")).toHaveLength(2);
  for (const hidden of ["[?25l", "[?1049h"]) expect(session.raw()).not.toContain(hidden);
  for (const frame of frames.slice(0, 2)) {
    expect(frame).toContain("The factory is running on");
    expect(frame).toEndWith("\x1b[J");
  }
  const times = frames.slice(0, 3).map((frame) => /:(\d\d) {2}The factory/.exec(frame)?.[1]);
  expect(new Set(times).size).toBe(3);
  session.type("\x03");
  expect(await session.exited).toBe(0);
  factory.kill("SIGTERM");
  await factory.exited;
});

test.concurrent("status --watch asks for each frame once, and nobody asks when it has ended", async () => {
  await using it = await openLab();
  const factory = await startedIn(it);
  const live = JSON.parse(await said(it, ["--json"])) as object;
  factory.kill("SIGTERM");
  await factory.exited;
  mkdirSync(join(it.base, "control"), { recursive: true, mode: 0o700 });
  await using other = await openOther(join(it.base, "control/control.sock"), live);
  const session = atTerminal(it, 80, ["--watch"]);
  await until("three frames are shown", () => session.raw().split("\x1b[H").length > 3);
  session.type("\x03");
  expect(await session.exited).toBe(0);
  expect(other.asked()).toBe(session.raw().split("\x1b[H").length - 1);
});

test.concurrent("status --watch --json is a document a line, and ends when nobody reads any more", async () => {
  await using it = await openLab();
  const factory = await startedIn(it);
  const words = ["status", "--base-dir", it.base, "--watch", "--json"];
  const piped = Bun.spawn(["sh", "-c", '"$@" | head -2', "sh", ...program, ...words], {
    stdout: "pipe",
    stderr: "pipe",
  });
  const lines = (await piped.stdout.text()).trim().split("\n");
  expect(lines.map((line) => (JSON.parse(line) as { format: number }).format)).toEqual([1, 1]);
  // The shell waits for both.
  expect(await piped.exited).toBe(0);
  expect(await piped.stderr.text()).toBe("");
  factory.kill("SIGTERM");
  await factory.exited;
});

test.concurrent("status --watch goes on while the factory stops and starts", async () => {
  await using it = await openLab();
  const factory = await startedIn(it);
  const session = atTerminal(it, 80, ["--watch"]);
  await until("it is shown", () => session.shown().includes("The factory is running"));
  factory.kill("SIGTERM");
  await factory.exited;
  await until("its end is shown", () => session.shown().includes("No factory is running"));
  session.kill("SIGTERM");
  expect(await session.exited).toBe(0);
});

test.concurrent("F116 beside a factory of another version status reads the files, and no testbed is free", async () => {
  await using it = await openLab();
  const factory = await startedIn(it);
  const real = join(it.base, "control");
  rmSync(real, { recursive: true });
  expect(await said(it)).toMatch(
    /A factory is running on .*[\s\S]*not known +the running factory does not say: it has no control socket/,
  );
  mkdirSync(real, { mode: 0o700 });
  await using other = await openOther(join(real, "control.sock"), { format: 2, testbeds: [] });
  expect(await said(it)).toContain("not known");
  expect(other.asked()).toBe(1);
  factory.kill("SIGTERM");
  await factory.exited;
});

test.concurrent("F116 a factory that hangs is not waited for: status reads the files and says so", async () => {
  await using it = await openLab();
  const factory = await startedIn(it);
  factory.kill("SIGSTOP");
  const out = await said(it);
  factory.kill("SIGCONT");
  expect(out).toMatch(/not known +the running factory does not say: no full reply within 5 s/);
  factory.kill("SIGTERM");
  await factory.exited;
});

test.concurrent("a token that a program echoes is shown to nobody who looks", async () => {
  await using it = await openLab();
  it.configure({ testbeds: { "bed-1": [`check = "echo ${it.factoryToken}; exit 1"`] } });
  const factory = it.start();
  await until("its check has failed", async () => (await said(it)).includes("exit code 1"));
  const shown = [await said(it), await said(it, ["--json"]), await said(it, ["bed-1"])];
  rmSync(join(it.base, "control"), { recursive: true });
  shown.push(await said(it), await said(it, ["--json"]));
  for (const text of shown) {
    expect(text).toContain("its check fails: echo ***; exit 1");
    expect(text).not.toContain(it.factoryToken);
  }
  factory.kill("SIGTERM");
  await factory.exited;
});

test("while a factory makes its database, status says that there is nothing yet, and no mistake", async () => {
  await using it = await openLab();
  const path = join(it.base, "data.sqlite3");
  new Database(path, { create: true }).run("CREATE TABLE other (a)");
  const status = it.start({ command: ["status"] });
  expect(await status.exited).toBe(2);
  const lock = lockStore(path);
  expect(await said(it)).toContain("bed-1");
  lock?.release();
});

test.concurrent("status --watch shows a mistake in config.toml and goes on", async () => {
  await using it = await openLab();
  const path = join(it.base, "config.toml");
  const whole = readFileSync(path, "utf8");
  const session = atTerminal(it, 80, ["--watch"]);
  const lastFrame = (): string => session.raw().split("\x1b[H").at(-1) ?? "";
  await until("it is shown", () => lastFrame().includes("No factory is running"));
  writeFileSync(path, "[general");
  await until("the mistake is shown", () => lastFrame().includes("Cannot read "));
  writeFileSync(path, whole);
  await until("it is shown again", () => lastFrame().includes("No factory is running"));
  session.type("\x03");
  expect(await session.exited).toBe(0);
  writeFileSync(path, "[general");
  expect(await atTerminal(it, 80, ["--watch"]).exited).toBe(2);
});

/** A control socket that answers everything with this. */
async function openOther(path: string, value: object): Promise<AsyncDisposable & { asked(): number }> {
  let asked = 0;
  const socket = await openControlSocket({
    path,
    gid: null,
    clock: openClock(),
    answer: () => {
      asked += 1;
      return Promise.resolve({ status: 200, type: "application/json", body: JSON.stringify(value) });
    },
    onFault: () => undefined,
  });
  return {
    asked: () => asked,
    [Symbol.asyncDispose]: () => socket.close(),
  };
}

test.concurrent("status of a testbed that is not there names the nearest one", async () => {
  await using it = await openLab({ testbeds: { "gimlet-1": [] } });
  const factory = await startedIn(it);
  const session = atTerminal(it, 80, ["gimlet1"]);
  expect(await session.exited).toBe(2);
  expect(session.shown()).toContain("did you mean gimlet-1?");
  factory.kill("SIGTERM");
  await factory.exited;
});

test("frameOf() shows no more lines than the window has, so that it does not scroll", () => {
  const lines = Array.from({ length: 50 }, (_, index) => `line ${index}`);
  const frame = frameOf(lines, 10, false);
  expect(frame.split("\n")).toHaveLength(10);
  expect(frame).toContain("... and 42 more lines");
  expect(frameOf(lines.slice(0, 9), 10, false)).not.toContain("more lines");
});
