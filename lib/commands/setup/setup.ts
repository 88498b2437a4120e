/**
 * `setup`: asks for what the flags do not give and writes the configuration of a new factory, completely or not at all. It asks the
 * server only whether the token is good: the rest is left to `check`.
 */
import { findBase, readConfigText, type Surroundings } from "../../config/locations.ts";
import { isToml } from "../../config/edit.ts";
import { expandHome } from "../../config/home-paths.ts";
import { readHttpUrl, type Parsed } from "../../config/values.ts";
import { parseConfig, parseToml } from "../../config/config.ts";
import type { Terminal } from "../../doors/terminal.ts";
import { alignColumns } from "../../words/columns.ts";
import { errorText, FactoryError, fullDiskHint, isDiskFull } from "../../words/failure.ts";
import { writeSchema } from "../schema.ts";
import { lookAround, type ThisProcess } from "../this-process.ts";
import { addTestbed, askAddedTestbed, readAddedTestbed, tryAndWrite } from "./added-testbed.ts";
import { composeConfig, type NewConfig, type NewTarget } from "./config-text.ts";
import { type Discovery, findTestbeds } from "./discovered.ts";
import { absolutePath, type Given, readGiven, readPath, readProgram, readTarget } from "./flag-values.ts";
import { openQuestions, type Questions } from "./questions.ts";
import { askTestbeds, likelyTestbeds } from "./testbeds.ts";
import { chooseToken } from "./token-trial.ts";

interface SetupDoors extends Omit<ThisProcess, "around"> {
  around: Surroundings;
  /** Null: there is no terminal to ask at. */
  terminal: Terminal | null;
  /** What comes next, install.sh says. */
  isInstalling: boolean;
}

/** sp-runner's own default. */
const usualSpConfig = "~/Oxide/ci/config.toml";

export async function runSetup(
  here: ThisProcess,
  args: Record<string, unknown>,
  words: string[],
): Promise<number> {
  const around = await lookAround(here);
  const given = { ...readGiven(args, words, around), added: readAddedTestbed(args) };
  const terminal = here.openTerminal();
  try {
    return await setUp(given, { ...here, around, terminal, isInstalling: args["installing"] === true });
  } finally {
    terminal?.close();
  }
}

async function setUp(given: Given, doors: SetupDoors): Promise<number> {
  const { around, files, terminal, print } = doors;
  if (terminal === null && given.added === null) refuseGaps(given);
  const questions = terminal === null ? null : openQuestions(terminal, print);
  if (questions !== null)
    print("Sets up a factory. Nothing is written before the end; Ctrl+C changes nothing.\n");
  const base = given.baseDirectory ?? (await askBase(questions, doors));
  const path = `${base}/config.toml`;
  const replace = await files.isThere(path);
  if (replace) {
    const grown = await grow(given, questions, base, doors);
    if (grown !== null) return grown;
    if (questions === null) throw refuseOverwriting(path);
    if (!(await questions.isWanted(`${path} exists. Overwrite it?`, false))) {
      print("Nothing was changed");
      return 0;
    }
  }
  if (terminal === null) refuseGaps(given);

  const config = await gather(given, questions, doors);
  if (config === null) {
    print("Nothing was changed");
    return 1;
  }
  const { added } = given;
  const text = added === null ? composeConfig(config) : addTestbed(composeConfig(config), added, []);
  // The whole must also be a configuration that the daemon accepts.
  parseConfig({ ...around, env: {}, text, path, readTokenFile: around.readText });
  if (!(await write(path, text, replace, files))) throw refuseOverwriting(path);
  await writeSchema(files, path, "always").catch((error: unknown) => {
    print(`Warning: editors will not know the keys of ${path}: ${errorText(error)}`);
  });
  tellNext(path, base, config, doors);
  return 0;
}

/** Adds a testbed to the configuration that is there. Null: it is not wanted, or the file is not TOML. */
async function grow(
  given: Given,
  questions: Questions | null,
  directory: string,
  doors: SetupDoors,
): Promise<number | null> {
  const base = findBase({ "base-dir": directory }, doors.around);
  const before = readConfigText(base, doors.around);
  let { added } = given;
  if (added === null) {
    if (questions === null || !isToml(before)) return null;
    if (!(await questions.isWanted(`${base.config} exists. Add a testbed to it?`, true))) return null;
    added = await askAddedTestbed(questions, before);
  }
  parseToml({ text: before, path: base.config });
  const after = addTestbed(before, added, given.targets);
  return await tryAndWrite(doors, { name: added.name, before, after, base }, { ...doors, questions });
}

function refuseGaps(given: Given): void {
  const missing = [
    given.baseurl === null ? "--server-url URL" : null,
    given.token === null ? "--token-file FILE (or FACTORY_TOKEN in the environment)" : null,
  ].filter((flag) => flag !== null);
  if (missing.length === 0) return;
  throw new FactoryError(`Cannot ask without a terminal. Missing: ${missing.join(", ")}`, {
    hint: "Give these, and --target NAME=ULID for each target; or run setup in a terminal",
  });
}

function refuseOverwriting(path: string): FactoryError {
  return new FactoryError(`Cannot write ${path}: it exists already`, {
    hint: "Move it away first, or run setup in a terminal, where it asks",
  });
}

async function askBase(questions: Questions | null, { around, print }: SetupDoors): Promise<string> {
  const usual = `${around.home}/Oxide/ci/factory`;
  if (questions === null) print(`Base directory: ${usual}`);
  const read = (answer: string): { value: string } => ({ value: absolutePath(answer, around) });
  return (await questions?.value("Base directory", read, { usual })) ?? usual;
}

/** A new configuration from flags, answers and discovered testbeds. Null: the user gave up. */
async function gather(
  given: Given,
  questions: Questions | null,
  doors: SetupDoors,
): Promise<NewConfig | null> {
  const { around, print } = doors;
  const baseurl = given.baseurl ?? (await questions?.value("URL of the buildomat server", readHttpUrl));
  if (baseurl === undefined) throw new Error("refuseGaps() let a gap through");
  const token = await chooseToken(given.token, baseurl, questions, doors);
  if (token === null) return null;

  let { spRunner, spConfig } = given;
  spRunner ??=
    (await questions?.value("sp-runner, as jobs call it", (text) => readProgram(text, around), {
      usual: "sp-runner",
    })) ?? null;
  spConfig ??=
    (await questions?.value("sp-runner's configuration", (text) => readPath(text, around), {
      usual: usualSpConfig,
    })) ?? null;
  await warnOfMissing([spRunner, spConfig], doors);

  const targets = given.targets.length > 0 ? given.targets : await askTargets(questions, print);
  const found = await findTestbeds(expandHome(spConfig ?? usualSpConfig, around.home), doors.files);
  tellFound(found, print);
  const testbeds =
    questions === null
      ? likelyTestbeds(
          found.testbeds.filter(({ name }) => name !== given.added?.name),
          targets,
        )
      : await askTestbeds(found.testbeds, targets, { questions, print });
  return { baseurl, token, spRunner, spConfig, targets, testbeds, updateUrl: given.updateUrl };
}

async function askTargets(questions: Questions | null, print: (line: string) => void): Promise<NewTarget[]> {
  const targets: NewTarget[] = [];
  if (questions === null) return targets;
  print(
    "\nThe server knows targets only by ULID. Its administrator finds them in the server's target list\n" +
      "(GET /0/admin/targets): each has a name and an id.",
  );
  for (;;) {
    const question = `${targets.length === 0 ? "Target" : "Next target"} as NAME=ULID, empty for no more`;
    const read = (text: string): Parsed<NewTarget | null> =>
      text === "" ? { value: null } : readTarget(text, targets);
    const target = await questions.value(question, read, { usual: "" });
    if (target === null) return targets;
    targets.push(target);
  }
}

/** Only paths are looked for: what a command line or a bare name means depends on the job's shell. */
async function warnOfMissing(paths: (string | null)[], { around, files, print }: SetupDoors): Promise<void> {
  for (const path of paths) {
    if (path === null || !/^[~/]/.test(path)) continue;
    if (!(await files.isThere(expandHome(path, around.home)).catch(() => false))) {
      print(`Warning: ${path} does not exist on this host; jobs get its name anyway`);
    }
  }
}

function tellFound({ directory, testbeds, skipped }: Discovery, print: (line: string) => void): void {
  if (testbeds.length > 0) print(`\nTestbeds found in ${directory}:`);
  for (const line of alignColumns(testbeds.map(({ name, spType }) => ["", name, spType]))) print(line);
  for (const line of skipped) print(`Skipped ${line}`);
}

async function write(
  path: string,
  text: string,
  replace: boolean,
  files: SetupDoors["files"],
): Promise<boolean> {
  try {
    return await files.writePrivate(path, text, { replace });
  } catch (error) {
    throw new FactoryError(`Cannot write ${path}: ${errorText(error)}`, {
      hint: isDiskFull(error) ? fullDiskHint : "Give --base-dir a directory that this user can write",
      cause: error,
    });
  }
}

function tellNext(path: string, base: string, { testbeds, targets }: NewConfig, doors: SetupDoors): void {
  const { around, print, self } = doors;
  print(`\nWritten: ${path}, readable only by ${around.user}`);
  const idle = testbeds.filter((testbed) => testbed.targets.length === 0).map(({ name }) => name);
  if (targets.length === 0)
    print("It has no target yet: add [target.NAME] with the id from the server's target list");
  if (idle.length > 0) print(`Written as comments, because they serve no target yet: ${idle.join(", ")}`);
  if (testbeds.length === 0)
    print("It has no testbed yet: fill in [testbed.NAME], then remove the comment marks");
  if (doors.isInstalling) return;
  const flag = base === `${around.home}/Oxide/ci/factory` ? "" : ` --base-dir ${shellWord(base)}`;
  const command = self.map(shellWord).join(" ");
  print(`\nNext:\n  ${command} check${flag}    # what is still missing, and how to fix it`);
  print(`  ${command} run${flag}      # leases jobs and runs them`);
}

/** Quoted for a shell if needed. */
function shellWord(text: string): string {
  return /^[\w./~:@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
