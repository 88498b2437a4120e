/** What systemd would hear: a datagram socket, which the test reads through the C library, too. */
import { dlopen, ptr } from "bun:ffi";
import { afterAll, expect, test } from "bun:test";
import { closeSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSupervisor } from "../../lib/doors/supervisor.ts";
import { createSettableClock } from "../lab/settable-clock.ts";

const directory = mkdtempSync(join(tmpdir(), "notify-"));
afterAll(() => rmSync(directory, { recursive: true }));

const { symbols } = dlopen(process.platform === "darwin" ? "libSystem.B.dylib" : "libc.so.6", {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  recv: { args: ["i32", "ptr", "u64", "i32"], returns: "i64" },
});

/** `read` returns the next message, or null. */
function listen(name: string): { read(): string | null; close(): void } {
  const bytes = Buffer.concat([Buffer.from([1, 0]), Buffer.from(name)]);
  if (bytes[2] === 0x40) bytes[2] = 0;
  const descriptor = symbols.socket(1, 2, 0);
  expect(symbols.bind(descriptor, ptr(bytes), bytes.byteLength)).toBe(0);
  const room = Buffer.alloc(4096);
  return {
    read: () => {
      const size = Number(symbols.recv(descriptor, ptr(room), room.byteLength, 0x40));
      return size < 0 ? null : room.subarray(0, size).toString();
    },
    close: () => closeSync(descriptor),
  };
}

test.each([
  ["in a file", join(directory, "notify")],
  ["without a file", `@notify-${process.pid}`],
])(
  "the supervisor's socket %s hears that the loop turns, and no more often than it needs",
  async (_, name) => {
    const socket = listen(name);
    const clock = createSettableClock();
    const warnings: string[] = [];
    const supervisor = openSupervisor({
      env: { NOTIFY_SOCKET: name },
      clock,
      warn: (line) => warnings.push(line),
    });
    expect(socket.read()).toBeNull();
    supervisor.alive();
    supervisor.alive();
    expect([socket.read(), socket.read()]).toEqual(["READY=1\nWATCHDOG=1", null]);
    await clock.advance(600);
    supervisor.alive();
    supervisor.stopping();
    expect([socket.read(), socket.read()]).toEqual(["READY=1\nWATCHDOG=1", "STOPPING=1"]);
    expect(warnings).toEqual([]);
    socket.close();
  },
);

test("a supervisor that does not read or is gone does not block the program, and gets the first message when it reads again", async () => {
  const name = join(directory, "deaf");
  const socket = listen(name);
  const clock = createSettableClock();
  const supervisor = openSupervisor({ env: { NOTIFY_SOCKET: name }, clock, warn: () => undefined });
  for (let i = 0; i < 2000; i += 1) supervisor.stopping();
  supervisor.alive();
  while (socket.read() !== null);
  supervisor.alive();
  expect(socket.read()).toBe("READY=1\nWATCHDOG=1");
  socket.close();
  await clock.advance(600);
  supervisor.alive();
});

test("a socket that cannot be used is reported once, and nothing is reported without a supervisor", () => {
  const warnings: string[] = [];
  const clock = createSettableClock();
  const env = { NOTIFY_SOCKET: `/${"x".repeat(200)}` };
  const supervisor = openSupervisor({ env, clock, warn: (line) => warnings.push(line) });
  supervisor.alive();
  expect(warnings).toEqual([expect.stringContaining("too long")]);
  openSupervisor({ env: {}, clock, warn: (line) => warnings.push(line) }).alive();
  expect(warnings).toHaveLength(1);
});
