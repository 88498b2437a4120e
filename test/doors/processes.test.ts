/** The door to other programs. */
import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openClock } from "../../lib/doors/clock.ts";
import { openProcesses } from "../../lib/doors/processes.ts";
import { until } from "../lab/until.ts";

const processes = openProcesses({ clock: openClock() });
const env = { PATH: process.env["PATH"] ?? "" };

test("run() passes input to a program, and returns its output and exit code", async () => {
  const result = await processes.run({
    argv: ["sh", "-c", "cat; echo wrong >&2; exit 3"],
    stdin: "right",
    env,
    timeoutMs: 10_000,
    maxBytes: 1000,
  });
  expect(result).toEqual({ ok: true, exitCode: 3, stdout: "right", stderr: "wrong\n" });
});

test("run() keeps at most maxBytes of a program's output", async () => {
  const result = await processes.run({
    argv: ["sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x"],
    env,
    timeoutMs: 10_000,
    maxBytes: 10,
  });
  expect(result).toEqual({ ok: true, exitCode: 0, stdout: "xxxxxxxxxx", stderr: "" });
});

test("run() says why a program cannot be started", async () => {
  const result = await processes.run({ argv: ["/nonexistent"], env, timeoutMs: 10_000, maxBytes: 10 });
  expect(result.ok).toBe(false);
});

test.each([
  ["ends", false],
  ["that is detached ends", true],
])("run() %s at its deadline, also when a grandchild holds the output open", async (_, isDetached) => {
  // The grandchild lives longer than this test may: waiting for it would fail the test.
  const result = await processes.run({
    argv: ["sh", "-c", "sleep 15; true"],
    env,
    timeoutMs: 200,
    maxBytes: 10,
    isDetached,
  });
  expect(result).toEqual({ ok: false, reason: "sh did not end within 0.2 s" });
});

test("run() of a detached program gives it its own session, and can still kill it", async () => {
  const directory = mkdtempSync(join(tmpdir(), "processes-"));
  const file = join(directory, "session");
  const stop = new AbortController();
  const ended = processes.run({
    argv: ["sh", "-c", 'echo $$ $(cut -d " " -f 6 /proc/$$/stat) >"$1"; exec sleep 40', "sh", file],
    env,
    timeoutMs: 30_000,
    maxBytes: 1000,
    isDetached: true,
    signal: stop.signal,
  });
  const said = await until("it runs", () => existsSync(file) && readFileSync(file, "utf8"));
  stop.abort();
  expect(await ended).toEqual({ ok: false, reason: "cancelled" });
  const [pid, session] = said.trim().split(" ");
  expect(session).toBe(pid);
  expect(existsSync(`/proc/${pid}`)).toBe(false);
  rmSync(directory, { recursive: true });
});

test("run() of a detached program ends the program's children with it, at its deadline", async () => {
  const directory = mkdtempSync(join(tmpdir(), "processes-"));
  const file = join(directory, "pid");
  const result = await processes.run({
    argv: ["sh", "-c", 'sh -c \'echo $$ >"$1"; exec sleep 600\' sh "$1"; true', "sh", file],
    env,
    timeoutMs: 500,
    maxBytes: 10,
    isDetached: true,
  });
  expect(result.ok).toBe(false);
  const pid = readFileSync(file, "utf8").trim();
  await until(
    "it is gone",
    () => !existsSync(`/proc/${pid}`) || readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z"),
  );
  rmSync(directory, { recursive: true });
});

test("talk() ends with the program and returns its output, also when a grandchild holds the output open", async () => {
  const lines: string[] = [];
  const { ended } = processes.talk({
    // The grandchild lives longer than this test may.
    argv: ["sh", "-c", "sleep 15 & echo line; echo why >&2"],
    env,
    onLine: (line) => lines.push(line),
    maxLineBytes: 100,
  });
  expect(await ended).toEqual({ said: "why\n" });
  expect(lines).toEqual(["line"]);
});
