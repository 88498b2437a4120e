/** A part of a file of a host behind ssh; by this host's shell instead of an sshd. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { openClock } from "../../../lib/doors/clock.ts";
import { openProcesses } from "../../../lib/doors/processes.ts";
import { openRandom } from "../../../lib/doors/random.ts";
import type { Connection } from "../../../lib/hosts/ssh/connection.ts";
import { readFarPiece } from "../../../lib/hosts/ssh/far-file.ts";

const processes = openProcesses({ clock: openClock() });
const here: Connection = {
  run: async (argv, stdin, timeoutMs) =>
    await processes.run({ argv, stdin, env: { PATH: "/usr/bin:/bin" }, timeoutMs, maxBytes: 65_536 }),
  watch: () => ({ close: () => undefined }),
  close: () => Promise.resolve(),
};

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(`${tmpdir()}/far file-`);
});
afterEach(() => rmSync(directory, { recursive: true }));

const read = async (name: string, offset: number, maxBytes: number): Promise<unknown> => {
  const path = `${directory}/${name}`;
  const piece = await readFarPiece(here, { path, offset, maxBytes, random: openRandom() });
  return piece === null ? null : [piece.size, Buffer.from(piece.bytes).toString("latin1")];
};

test("begins at the byte that was asked for, and has no more than was asked for", async () => {
  writeFileSync(`${directory}/a 'log'`, "\0\xff23456789", "latin1");
  expect(await read("a 'log'", 0, 3)).toEqual([10, "\0\xff2"]);
  expect(await read("a 'log'", 3, 4)).toEqual([10, "3456"]);
  expect(await read("a 'log'", 8, 100)).toEqual([10, "89"]);
  expect(await read("a 'log'", 10, 100)).toEqual([10, ""]);
  expect(await read("none", 0, 100)).toBeNull();
});
