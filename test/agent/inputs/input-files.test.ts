import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openInput, splitInputName } from "../../../lib/agent/inputs/input-files.ts";

let root: string;
let inside: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "inputs-"));
  inside = join(root, "in");
  mkdirSync(inside);
  mkdirSync(join(root, "out"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

async function write(name: string, text = "new"): Promise<void> {
  const file = await openInput(inside, name);
  await file.write(text);
  await file.close();
}

/** All files under the test's directory, to see that none came to be elsewhere. */
const tree = (): string[] => (readdirSync(root, { recursive: true }) as string[]).toSorted();

describe("splitInputName()", () => {
  test.each([
    ["../x", 'its name holds ".."'],
    ["a/../../b", 'its name holds ".."'],
    ["a/..", 'its name holds ".."'],
    ["..", 'its name holds ".."'],
    ["/etc/x", "its name is an absolute path"],
    ["//x", "its name is an absolute path"],
    ["a\0b", "its name holds a NUL"],
    ["x".repeat(5000), "its name is longer than 4000 bytes"],
    ["x".repeat(256), "its name has a part longer than 255 bytes"],
    ["é".repeat(128), "its name has a part longer than 255 bytes"],
    ["", "its name ends without a file"],
    [".", "its name ends without a file"],
    ["a/", "its name ends without a file"],
  ])("refuses %j: %s", (name, why) => {
    expect(() => splitInputName(name)).toThrow(why);
  });

  test.each<[string, string[]]>([
    ["f", ["f"]],
    ["pre/work/f", ["pre", "work", "f"]],
    ["./a//b", ["a", "b"]],
    ["..x/...", ["..x", "..."]],
    [" a\n", [" a\n"]],
  ])("takes %j", (name, components) => {
    expect(splitInputName(name)).toEqual(components);
  });

  test("F66 none of 20,000 hostile names leaves the input directory", () => {
    const parts = ["..", ".", "", "a", "\0", "/", "../", "b".repeat(300), "~", "..\\", "%2e%2e", "a/.."];
    let state = 1;
    const next = (below: number): number => {
      state = (state * 48_271) % 2_147_483_647;
      return state % below;
    };
    for (let count = 0; count < 20_000; count += 1) {
      const name = Array.from({ length: 1 + next(6) }, () => parts[next(parts.length)]).join(
        next(2) === 0 ? "/" : "",
      );
      try {
        const path = join(inside, ...splitInputName(name));
        expect(path.startsWith(`${inside}/`)).toBe(true);
      } catch (error) {
        expect(error).toMatchObject({ name: "InputError" });
      }
    }
  });
});

describe("openInput()", () => {
  test("makes the directories of a name", async () => {
    await write("pre/work/f");
    expect(readFileSync(join(inside, "pre/work/f"), "utf8")).toBe("new");
  });

  test("makes the input directory itself", async () => {
    rmSync(inside, { recursive: true });
    await write("f");
    expect(readFileSync(join(inside, "f"), "utf8")).toBe("new");
  });

  test("replaces a file, and does not write through its other names", async () => {
    writeFileSync(join(root, "out/precious"), "old");
    linkSync(join(root, "out/precious"), join(inside, "f"));
    await write("f");
    expect(readFileSync(join(inside, "f"), "utf8")).toBe("new");
    expect(readFileSync(join(root, "out/precious"), "utf8")).toBe("old");
  });

  test.each([
    ["a directory on its way is a link", "link/f", "a part of its name is a symbolic link"],
    ["a link further down", "d/link/f", "a part of its name is a symbolic link"],
    ["its name is a link", "file-link", "its name is a symbolic link"],
    ["its name is a dangling link", "dangling", "its name is a symbolic link"],
    ["its name is a directory", "d", "its name is taken by something that is not a file"],
    ["a file is in its way", "file/f", "a part of its name is not a directory"],
  ])("refuses if %s, and writes nothing", async (_, name, why) => {
    mkdirSync(join(inside, "d"));
    writeFileSync(join(root, "out/precious"), "old");
    writeFileSync(join(inside, "file"), "old");
    symlinkSync("../out", join(inside, "link"));
    symlinkSync("../../out", join(inside, "d/link"));
    symlinkSync("../out/precious", join(inside, "file-link"));
    symlinkSync("../out/new", join(inside, "dangling"));
    const before = tree();
    expect(write(name)).rejects.toThrow(why);
    await write("other");
    expect(tree()).toEqual([...before, "in/other"].toSorted());
    expect(readFileSync(join(root, "out/precious"), "utf8")).toBe("old");
  });

  test("follows a link that is the input directory itself", async () => {
    symlinkSync("out", join(root, "alias"));
    const file = await openInput(join(root, "alias"), "f");
    await file.close();
    expect(tree()).toContain("out/f");
  });
});
