/** Files that are whole or not there. */
import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDurableFiles } from "../../lib/doors/durable-files.ts";

test("a refused write leaves nothing beside the file, even after many attempts", async () => {
  const directory = mkdtempSync(join(tmpdir(), "durable-"));
  try {
    // A file cannot be renamed over a directory.
    mkdirSync(join(directory, "name"));
    const refused = await openDurableFiles()
      .write(join(directory, "name"), "text", 0o644)
      .catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(Error);
    expect(readdirSync(directory)).toEqual(["name"]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
