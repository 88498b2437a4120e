/** What is taken for an answer, and how the minder's script gets to where it runs: whatever is cut on the way. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openClock } from "../../../lib/doors/clock.ts";
import { openProcesses } from "../../../lib/doors/processes.ts";
import { openRandom } from "../../../lib/doors/random.ts";
import { between } from "../../../lib/hosts/minder/marks.ts";
import { minderScript } from "../../../lib/hosts/minder/script-text.ts";
import { openScript } from "../../../lib/hosts/minder/script-call.ts";
import { localTransport, type Transport } from "../../../lib/hosts/minder/transport.ts";
import { needOfShell, testWith } from "../../lab/needs.ts";

describe("between()", () => {
  const said = (stdout: string, stderr = "", exitCode = 0) =>
    between({ ok: true, stdout, stderr, exitCode }, "m1");

  test("F54 returns only the lines between the marks", () => {
    expect(said("hello there\nm1 begin\none\n\ntwo\nm1 end\nbye\n")).toEqual({
      ok: true,
      lines: ["one", "", "two"],
    });
    expect(said("m1 begin\nm1 end\n")).toEqual({ ok: true, lines: [] });
  });

  test("refuses an incomplete answer", () => {
    expect(said("m1 begin\none\n", "noise\nit broke\n", 1)).toEqual({ ok: false, reason: "it broke" });
    expect(said("one\nm1 end\n", "", 3)).toEqual({ ok: false, reason: "no answer, exit code 3" });
    expect(said("m1 begin\none\n", "", 1)).toEqual({ ok: false, reason: "no answer, exit code 1" });
    expect(between({ ok: false, reason: "gone" }, "m1")).toEqual({ ok: false, reason: "gone" });
  });
});

test("between() shows what was printed instead of an answer", () => {
  const result = {
    ok: true,
    stdout: "Welcome\nThis account is closed.\r\n\n",
    stderr: "",
    exitCode: 3,
  } as const;
  expect(between(result, "m1")).toEqual({
    ok: false,
    reason: "no answer, exit code 3: This account is closed.",
  });
  const long = between({ ...result, stdout: "x".repeat(10_000) }, "m1");
  expect(long).toEqual({ ok: false, reason: `no answer, exit code 3: ${"x".repeat(500)}` });
});

describe("the minder's script", () => {
  let directory = "";
  afterEach(() => rmSync(directory, { recursive: true, force: true }));
  const local = localTransport({ processes: openProcesses({ clock: openClock() }) });

  function open(transport: Transport, shell: string) {
    directory = mkdtempSync(join(tmpdir(), "script-"));
    return openScript({ transport, random: openRandom(), directory, shell });
  }

  describe.each(["/bin/sh", "/bin/bash", "/bin/ksh93"])("by %s", (shell) => {
    const test = testWith(...needOfShell(shell));

    test("that was cut short is not put in place, and is sent again", async () => {
      const length = Buffer.byteLength(minderScript);
      const cuts = [0, 1, 12_000, 32_768, length - 1];
      const script = open(async (argv, stdin, timeoutMs) => {
        const cut = stdin === minderScript ? cuts.shift() : undefined;
        return await local(argv, cut === undefined ? stdin : stdin.slice(0, cut), timeoutMs);
      }, shell);
      while (cuts.length > 0) {
        expect(await script.call("recall", [directory], "", 10_000)).toEqual({
          ok: false,
          reason: "the minder's script was cut short",
        });
        expect(readdirSync(directory)).toEqual([]);
      }
      expect(await script.call("recall", [directory], "", 10_000)).toEqual({ ok: true, lines: [] });
      expect(readdirSync(directory)).toEqual([expect.stringMatching(/^\.minder-[0-9a-f]{16}\.sh$/)]);
    });

    test("that was damaged on the host is replaced", async () => {
      const script = open(local, shell);
      expect((await script.call("recall", [directory], "", 10_000)).ok).toBe(true);
      const [name = ""] = readdirSync(directory);
      for (const text of ["", minderScript.slice(0, 20_000), "( ", "exit 3\n"]) {
        writeFileSync(join(directory, name), text);
        expect(await script.call("recall", [directory], "", 10_000)).toEqual({ ok: true, lines: [] });
      }
    });
  });
});
