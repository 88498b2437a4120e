/** What a verb shows of an answer: a service or a job wrote some of it. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openClock } from "../../../lib/doors/clock.ts";
import { openControlSocket } from "../../../lib/doors/control-socket.ts";
import { openSession } from "../../lab/pty.ts";

const program = [process.execPath, join(import.meta.dir, "../../../factory.ts")];

test("a terminal gets no signs that it would act on", async () => {
  const directory = mkdtempSync(join(tmpdir(), "shown-"));
  writeFileSync(
    join(directory, "config.toml"),
    '[general]\nbaseurl = "http://localhost:1"\n[factory]\ntoken = "a-token-that-nobody-may-see"\n',
    { mode: 0o600 },
  );
  const lines = ["psc-1: sp-runner says: \u001b]0;gone\u0007\u009b2J\bwell"];
  const socket = await openControlSocket({
    path: join(directory, "control/control.sock"),
    gid: null,
    clock: openClock(),
    answer: () => Promise.resolve({ status: 200, body: JSON.stringify({ isDone: true, lines }) }),
    onFault: () => undefined,
  });
  try {
    const env = { PATH: process.env["PATH"] ?? "", HOME: directory };
    const argv = [...program, "recover", "psc-1", "--base-dir", directory];
    const session = openSession(argv, { cwd: "/", env });
    expect(await session.exited).toBe(0);
    expect(session.raw()).toContain("psc-1: sp-runner says: \\x1b]0;gone\\x07\\x9b2J\\x08well");
  } finally {
    await socket.close();
    rmSync(directory, { recursive: true });
  }
});
