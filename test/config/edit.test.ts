import { describe, expect, test } from "bun:test";
import { parse } from "smol-toml";
import { readingsOf, readKey, valueAt, withSection, withValue } from "../../lib/config/edit.ts";

const text = `# The lab's own file
[general]
baseurl = "https://buildomat.example.com"   # the server

[factory]
# A secret
token = 'abc'

[testbed.gimlet-1]   # left of the door
sp_type = "gimlet"
targets = [
  "sp-gimlet", # main
]
enabled   =   true   # since May

[testbed."gimlet.2"]
sp_type = "gimlet"
targets = ["sp-gimlet"]
# the end of gimlet.2

[target.sp-gimlet]
id = "01M850P0K099E9F8GHWJ7VBZWM"
`;

/** The lines that are in one text and not in the other. */
function changes(before: string, after: string): string[] {
  const [old, now] = [before.split("\n"), after.split("\n")];
  return [
    ...old.filter((line) => !now.includes(line)).map((line) => `- ${line}`),
    ...now.filter((line) => !old.includes(line)).map((line) => `+ ${line}`),
  ];
}

describe("withValue()", () => {
  test("changes one line, and keeps its comment", () => {
    const after = withValue(text, ["testbed", "gimlet-1", "enabled"], false);
    expect(changes(text, after)).toEqual([
      "- enabled   =   true   # since May",
      "+ enabled   =   false   # since May",
    ]);
  });

  test("adds a key to its section, and a section that is not there", () => {
    const timed = withValue(text, ["testbed", "gimlet-1", "job_timeout"], "2h");
    expect(changes(text, timed)).toEqual([`+ job_timeout = "2h"`]);
    expect(timed.indexOf("job_timeout")).toBeGreaterThan(timed.indexOf("[testbed.gimlet-1]"));
    expect(timed.indexOf("job_timeout")).toBeLessThan(timed.indexOf("gimlet.2"));
    expect(changes(text, withValue(text, ["update", "mode"], "auto"))).toEqual([
      "+ [update]",
      `+ mode = "auto"`,
    ]);
  });

  test("removes a key", () => {
    expect(changes(text, withValue(text, ["testbed", "gimlet-1", "enabled"], undefined))).toEqual([
      "- enabled   =   true   # since May",
    ]);
  });

  test("keeps the line ends of Windows, and a last line without an end", () => {
    const windows = text.replaceAll("\n", "\r\n");
    expect(withValue(windows, ["testbed", "gimlet-1", "enabled"], false)).toBe(
      windows.replace("true", "false"),
    );
    const open = `[general]\nbaseurl = "http://a"`;
    expect(parse(withValue(open, ["general", "poll_interval"], "2s"))).toEqual({
      general: { baseurl: "http://a", poll_interval: "2s" },
    });
  });

  test("in 500 files, says what is wanted, and loses no comment, or refuses", () => {
    const keys = [
      ["testbed", "gimlet-1", "enabled"],
      ["testbed", "gimlet.2", "note"],
      ["general", "keep", "days"],
      ["update", "window"],
    ];
    const values = [true, "a # b", 'quote " and \\', 3, ["x", "y"], undefined];
    let refused = 0;
    for (let seed = 0; seed < 500; seed++) {
      const before = mutated(seed);
      let root: Record<string, unknown>;
      try {
        root = parse(before);
      } catch {
        continue;
      }
      const path = keys[seed % keys.length] ?? [];
      const value = values[(seed >> 2) % values.length];
      try {
        const after = withValue(before, path, value);
        expect(valueAt(parse(after), path)).toEqual(value);
        const comments = before.split("\n").filter((line) => line.trim().startsWith("#"));
        for (const comment of comments) expect(after).toContain(comment.trim());
        const others = Object.keys(root).filter((name) => name !== path[0]);
        for (const name of others) expect(parse(after)[name]).toEqual(root[name] as never);
      } catch (error) {
        if (!String(error).includes("Cannot change this key")) throw error;
        refused += 1;
      }
    }
    expect(refused).toBeLessThan(25);
  });
});

/** The text with lines swapped, doubled, cut or spaced, by a seed. */
function mutated(seed: number): string {
  let state = seed + 1;
  const next = (below: number): number => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
  const lines = text.split("\n");
  for (let count = next(4); count > 0; count--) {
    const at = next(lines.length);
    const line = lines[at] ?? "";
    const edits = [
      () => lines.splice(at, 1),
      () => lines.splice(at, 0, `# note ${seed}`),
      () => lines.splice(at, 1, `\t${line}  `),
      () => lines.splice(at, 1, line.replace(" = ", "=")),
      () => lines.splice(at, 0, ""),
      () => lines.splice(at, 1, line.replaceAll('"', "'")),
    ];
    edits[next(edits.length)]?.();
  }
  return lines.join("\n");
}

test("withSection() adds a section at the end, and changes nothing else", () => {
  const after = withSection(text, ["testbed", "psc-1"], { sp_type: "psc", targets: ["sp-psc"] });
  expect(after.startsWith(text)).toBe(true);
  expect(after.slice(text.length)).toBe(`\n[testbed.psc-1]\nsp_type = "psc"\ntargets = [ "sp-psc" ]\n`);
  expect(() => withSection(text, ["testbed", "gimlet-1"], { sp_type: "psc" })).toThrow("Cannot change");
});

test("readKey() knows that only the names of testbeds and targets have dots", () => {
  expect(readKey("testbed.gimlet.2.enabled")).toEqual(["testbed", "gimlet.2", "enabled"]);
  expect(readKey(`testbed."gimlet.2".enabled`)).toEqual(["testbed", "gimlet.2", "enabled"]);
  expect(readKey("general.keep.days")).toEqual(["general", "keep", "days"]);
  expect(["general", "testbed.a", "", ".", "testbed..enabled"].map(readKey)).toEqual([
    null,
    null,
    null,
    null,
    null,
  ]);
});

test("readingsOf() reads TOML, and takes all else for a text", () => {
  expect(readingsOf("false")).toEqual([false, "false"]);
  expect(readingsOf("2h")).toEqual(["2h"]);
  expect(readingsOf(`["a", "b"]`)).toEqual([["a", "b"], `["a", "b"]`]);
  expect(readingsOf(`"quoted"`)).toEqual(["quoted"]);
  expect(readingsOf("1\nbaseurl = 2")).toEqual(["1\nbaseurl = 2"]);
});
