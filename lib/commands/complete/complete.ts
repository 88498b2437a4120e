/** The verb `complete`: what a shell offers when somebody presses Tab, made of the same tree of verbs as `--help`. */
import tab from "@bomb.sh/tab/citty";
import { parse } from "smol-toml";
import { findBase, type Surroundings } from "../../config/locations.ts";
import { sectionKeys } from "../../config/schema.ts";
import { isTable } from "../../config/section-reader.ts";
import { version } from "../../words/version.ts";
import { commandTree, usageError } from "../command-line.ts";
import { verbs } from "../verbs.ts";
import bash from "./bash.sh" with { type: "text" };
import fish from "./fish.sh" with { type: "text" };
import zsh from "./zsh.sh" with { type: "text" };

/** They hand the words over as they are: those of the library evaluate what was typed. */
const scripts: Record<string, string> = { bash, zsh, fish };

interface Asked {
  around: Pick<Surroundings, "env" | "home" | "readText">;
  print(line: string): void;
}

/** `bash`, `zsh` or `fish`: its script. `-- WORD...`: the offers for the last word, which the script asks for. */
export async function complete(words: string[], { around, print }: Asked): Promise<number> {
  const [first = ""] = words;
  const script = Object.hasOwn(scripts, first) ? scripts[first] : undefined;
  if (script !== undefined) {
    print(script.trimEnd());
    return 0;
  }
  if (first !== "--") throw usageError(`complete needs a shell: ${Object.keys(scripts).join(", ")}`);
  const tree = commandTree({ name: version.product, description: "", commands: verbs });
  const names = (offer: (value: string, description: string) => void): void => {
    for (const name of testbedNames(words, around)) offer(name, "");
  };
  const offerEach = (values: string[]) => (offer: (value: string, description: string) => void) => {
    for (const value of values) offer(value, "");
  };
  const offers: Record<string, typeof names> = {
    testbed: names,
    instance: names,
    act: offerEach(["get", "set", "unset", "test"]),
    what: offerEach(["install", "uninstall", "status"]),
    key: (offer) => {
      const testbeds = testbedNames(words, around).map((name) => `testbed.${name}`);
      const { testbed = [], target: _, ...sections } = sectionKeys;
      for (const [section, keys] of Object.entries(sections))
        for (const key of keys) offer(`${section}.${key}`, "");
      for (const section of testbeds) for (const key of testbed) offer(`${section}.${key}`, "");
    },
  };
  const subCommands = Object.fromEntries(
    Object.keys(tree.subCommands ?? {}).map((verb) => [verb, { args: offers, options: { testbed: names } }]),
  );
  await tab(tree, { subCommands });
  const { complete: generated } = tree.subCommands as Record<string, { run(context: object): Promise<void> }>;
  await generated?.run({ rawArgs: words });
  return 0;
}

/** Those of the file that the words name, or of the usual one. Tab shows no errors. */
function testbedNames(words: string[], { env, home, readText }: Asked["around"]): string[] {
  const after = (...flags: string[]): string | undefined =>
    words[words.findLastIndex((word) => flags.includes(word)) + 1 || words.length];
  const config = after("-f", "--config");
  const directory = after("--base-dir");
  const args = {
    ...(config === undefined ? {} : { config }),
    ...(directory === undefined ? {} : { "base-dir": directory }),
  };
  try {
    const { testbed } = parse(readText(findBase(args, { env, home }).config));
    return isTable(testbed) ? Object.keys(testbed) : [];
  } catch {
    return [];
  }
}
