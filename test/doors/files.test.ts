import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openFiles } from "../../lib/doors/files.ts";

const directory = mkdtempSync(join(tmpdir(), "files-"));
afterAll(() => rmSync(directory, { recursive: true }));

test("readPiece() reads a file, and nothing through a link that a job may have left in its place", async () => {
  const files = openFiles();
  const path = join(directory, "config.toml");
  writeFileSync(path, "a token");
  symlinkSync(path, join(directory, "agent.log"));
  const piece = await files.readPiece(path, 2, 100);
  expect([Buffer.from(piece?.bytes ?? []).toString(), piece?.size]).toEqual(["token", 7]);
  expect(await files.readPiece(join(directory, "agent.log"), 0, 100)).toBeNull();
  expect(await files.readPiece(join(directory, "none"), 0, 100)).toBeNull();
});
