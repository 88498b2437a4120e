/** What the words after the program's name are answered with where they cannot be understood. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { readArgs, runCommandLine } from "../../lib/commands/command-line.ts";
import { verbs } from "../../lib/commands/verbs.ts";
import { FactoryError } from "../../lib/words/failure.ts";
import { openSession } from "../lab/pty.ts";

async function refusalOf(words: string[]): Promise<FactoryError> {
  const started: unknown[] = [];
  const run = (_: null, args: unknown): Promise<number> => {
    started.push(args);
    return Promise.resolve(0);
  };
  const program = {
    name: "factory",
    description: "",
    usual: "run",
    version: "1",
    print: () => undefined,
    here: null,
    commands: {
      run: { description: "", args: { config: { type: "string", alias: "f" } } as const, run },
      logs: { description: "", args: { instance: { type: "positional", required: true } } as const, run },
      hidden: { description: "", isHidden: true, run },
    },
  };
  try {
    await runCommandLine(words, program);
  } catch (error) {
    if (error instanceof FactoryError) return error;
    throw error;
  }
  throw new Error(`${words.join(" ")} was understood: ${JSON.stringify(started)}`);
}

describe("runCommandLine() refuses, as usage,", () => {
  test.each([
    [["logz"], 'Unknown command "logz"; did you mean logs?'],
    [["frobnicate"], 'Unknown command "frobnicate"'],
    [["hiden"], 'Unknown command "hiden"'],
    [["--confg=x"], 'Unknown flag "--confg=x"; did you mean --config?'],
    [["run", "-z"], 'Unknown flag "-z"'],
    [["run", "extra"], 'Unknown argument "extra"'],
    [["-f", ""], "--config needs a value"],
    [["logs"], "Missing required positional argument: INSTANCE"],
  ])("%j", async (words, message) => {
    const refusal = await refusalOf(words);
    expect(refusal.message).toBe(message);
    expect(refusal.exitCode).toBe(2);
    const verb = ["run", "logs"].find((each) => each === words[0]);
    expect(refusal.hint).toBe(
      verb === undefined
        ? "buildomat-factory-sp-test --help lists commands and flags"
        : `factory ${verb} --help shows how it is used`,
    );
  });
});

test("the help of `run`, which the program's own help repeats, does not explain twice what runs without a command", () => {
  expect(verbs["run"]?.description).toBe("Lease jobs and run them until stopped");
});

test("no line of the help is filled up with blanks, which a narrow terminal would show as lines", async () => {
  for (const words of [["--help"], ["reserve", "--help"]]) {
    const printed: string[] = [];
    const print = (text: string): void => void printed.push(text);
    const program = { name: "factory", description: "", usual: "run", version: "1", here: null, print };
    await runCommandLine<null>(words, { ...program, commands: verbs as never });
    expect(
      printed
        .join("\n")
        .split("\n")
        .filter((line) => line.endsWith(" ")),
    ).toEqual([]);
  }
});

test.each([
  ["setup", "--installing"],
  ["service", "--release"],
])("the help of %s shows no %s, which is for install.sh alone", async (verb, flag) => {
  const lines: string[] = [];
  const print = (line: string): void => void lines.push(line);
  const program = { name: "factory", description: "", usual: "run", version: "1", print, commands: verbs };
  await runCommandLine([verb, "--help"], { ...program, here: null as never });
  expect(lines.join("\n")).toContain("--base-dir");
  expect(lines.join("\n")).not.toContain(flag);
});

describe("each verb's help has two examples, which the verb understands:", () => {
  const visible = Object.entries(verbs).filter(([, { isHidden }]) => isHidden !== true);
  test.each(visible)("%s", (verb, { args, takesRest, examples = [] }) => {
    expect(examples.length).toBeGreaterThanOrEqual(2);
    for (const [line, what] of examples) {
      const words = (line.replace(/ (?:\d?>|\|).*/, "").match(/"[^"]*"|\S+/g) ?? []).map((word) =>
        word.replaceAll('"', ""),
      );
      const rest = words[0] === verb ? words.slice(1) : words;
      if (takesRest !== true) expect(() => readArgs(args ?? {}, rest)).not.toThrow();
      expect(what).not.toBe("");
    }
  });
});

test("colours are for terminals, and NO_COLOR takes them away whatever it says", async () => {
  const shown = async (env: Record<string, string>): Promise<string> => {
    const session = openSession(
      [process.execPath, join(import.meta.dir, "../../factory.ts"), "status", "--help"],
      {
        cwd: "/",
        env: { PATH: process.env["PATH"] ?? "", TERM: "xterm", ...env },
      },
    );
    await session.exited;
    return session.raw();
  };
  expect(await shown({})).toContain("\x1b[");
  expect(await shown({ NO_COLOR: "yes" })).not.toContain("\x1b[");
});
