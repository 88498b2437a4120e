/** The door to other programs. */
import { expect, test } from "bun:test";
import { openClock } from "../lib/doors/clock.ts";
import { openProcesses } from "../lib/doors/processes.ts";

const processes = openProcesses({ clock: openClock() });
const env = { PATH: process.env["PATH"] ?? "" };

test("run() gives what a program says, its exit code, and takes its input", async () => {
  const result = await processes.run({
    argv: ["sh", "-c", "cat; echo wrong >&2; exit 3"],
    stdin: "right",
    env,
    timeoutMs: 10_000,
    maxBytes: 1000,
  });
  expect(result).toEqual({ ok: true, exitCode: 3, stdout: "right", stderr: "wrong\n" });
});

test("run() keeps no more than maxBytes of what a program says", async () => {
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

test("run() ends at its deadline, also when a grandchild holds the output open", async () => {
  // The grandchild lives longer than this test may: waiting for it would fail the test.
  const result = await processes.run({
    argv: ["sh", "-c", "sleep 15; true"],
    env,
    timeoutMs: 200,
    maxBytes: 10,
  });
  expect(result).toEqual({ ok: false, reason: "sh did not end within 0.2 s" });
});
