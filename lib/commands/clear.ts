/**
 * The verb `clear TESTBED`: shows what is known of the testbed's open instance, asks, and then hands the operator's word to the
 * running factory, or commits it if none runs. It ends nothing itself.
 */
import { mkdtempSync } from "node:fs";
import type { Config } from "../config/config.ts";
import {
  type BaseArgs,
  findBase,
  lockDirectoryOf,
  readConfig,
  workDirectoryOf,
} from "../config/locations.ts";
import { nearestWord } from "../config/problems.ts";
import { clearedBy, heldText, whatFollows } from "../daemon/operator-word.ts";
import type { Clock } from "../doors/clock.ts";
import type { Terminal } from "../doors/terminal.ts";
import { openLabHosts } from "../hosts/wiring.ts";
import { openSpRunnerApi } from "../runner/sp-runner.ts";
import { openFactoryApi } from "../server/factory-side.ts";
import { openWordWriter, type WordWriter } from "../store/operator-words.ts";
import { isFactoryRunning, lockStore, type Store, type StoreReader } from "../store/store.ts";
import { instanceName } from "../words/domain.ts";
import { FactoryError } from "../words/failure.ts";
import { usageError } from "./command-line.ts";
import { openForReading, openOwnStore } from "./database.ts";
import { type Asked, describe } from "./open-instance.ts";
import { openQuestions } from "./setup/questions.ts";
import { programOf, type ThisProcess } from "./this-process.ts";

export interface Clearing extends Asked {
  testbed: string;
  because: string | undefined;
  /** The operator is not asked. */
  isSure: boolean;
  config: Config;
  store: StoreReader | null;
  clock: Clock;
  isRunning(): Promise<boolean>;
  /** Null: there is no terminal to ask at. */
  terminal: Terminal | null;
  /** The database for writing; null while a factory runs. */
  takeStore(): { store: Store; close(): void } | null;
  openWriter(): WordWriter;
  print(line: string): void;
}

const answerWithinMs = 30_000;
const askAgainMs = 100;

/** The verb: in the base that `args` name. */
export async function clearTestbedByWord(
  here: ThisProcess,
  args: BaseArgs & { testbed?: string; because?: string; yes?: boolean },
): Promise<number> {
  if (args.testbed === undefined) throw usageError("clear needs a testbed");
  here.setUmask(0o077);
  const { clock, files, http } = here;
  const program = await programOf(here);
  const { surroundings } = program;
  const base = findBase(args, surroundings);
  const config = readConfig(base, surroundings);
  const { database } = base;
  const workDirectory = workDirectoryOf(config, base);
  const places = { base, workDirectory, lockDirectory: lockDirectoryOf(surroundings.env) };
  const directory = mkdtempSync(`${here.temporaryDirectory}/factory-clear-`);
  const hosts = openLabHosts(config, places, program, directory);
  let store: StoreReader | null = null;
  try {
    store = await openForReading(database, files);
    return await clearTestbed({
      ...here,
      testbed: args.testbed,
      because: args.because,
      isSure: args.yes === true,
      config,
      store,
      hosts,
      api: openFactoryApi({ http, baseurl: config.general.baseurl, token: config.token }),
      openRunner: (baseurl) => openSpRunnerApi({ http, baseurl }),
      isRunning: async () => await isFactoryRunning(database, files.isThere),
      terminal: here.openTerminal(),
      takeStore: () => {
        const lock = lockStore(database);
        if (lock === null) return null;
        const taken = openOwnStore(database, workDirectory, clock);
        return { store: taken, close: () => void [taken.close(), lock.release()] };
      },
      openWriter: () => openWordWriter(database),
    });
  } finally {
    store?.close();
    await hosts.close();
    await files.removeTree(directory);
  }
}

/** Resolves with the exit code: 1 if the operator's word was refused, or not given. */
export async function clearTestbed(clearing: Clearing): Promise<number> {
  const { testbed, because, isSure, config, store, terminal, print } = clearing;
  const open = store?.open().filter((each) => each.testbed === testbed) ?? [];
  const hasStrikes = store?.health().has(testbed) === true;
  if (open.length === 0 && !hasStrikes) {
    const names = config.testbeds.map(({ name }) => name);
    if (!names.includes(testbed)) {
      const near = nearestWord(testbed, names);
      throw new FactoryError(`Cannot clear "${testbed}": no testbed has this name`, {
        hint: near === null ? `Testbeds: ${names.join(", ")}` : `Did you mean ${near}?`,
      });
    }
    // A running factory may know of trouble that is not in the database.
    if (!(await clearing.isRunning())) {
      print(`${testbed} has nothing to clear`);
      return 0;
    }
  }
  if (open.length > 0) {
    if (because === undefined) {
      throw new FactoryError(`Cannot clear ${testbed}: --because TEXT is missing`, {
        hint: "The job's owner reads the text in the output of the job",
      });
    }
    const held: string[] = [];
    let canTell = true;
    for (const instance of open) {
      const found = await describe(clearing, instance);
      for (const line of found.lines) print(line);
      canTell &&= found.canTell;
      if (found.isHeld) held.push(heldText(instanceName(instance), instance.worker ?? ""));
    }
    for (const line of held) print(line);
    if (held.length > 0) return 1;
    if (!isSure && !(await isConfirmed(testbed, canTell, terminal, print))) {
      print("Nothing was changed");
      return 1;
    }
  }
  const words = open.map(({ seq }) => ({ testbed, seq, because: because ?? "" }));
  return await say(clearing, words.length > 0 ? words : [{ testbed, seq: 0, because: because ?? "" }]);
}

const vouching = "nothing of it is left running where this program cannot look";

async function isConfirmed(
  testbed: string,
  canTell: boolean,
  terminal: Terminal | null,
  print: (line: string) => void,
): Promise<boolean> {
  if (terminal === null) {
    throw new FactoryError(`Cannot clear ${testbed} without --yes: there is no terminal to ask at`, {
      hint: canTell ? "--yes ends what is shown above" : `--yes also vouches that ${vouching}`,
    });
  }
  try {
    const question = canTell ? "End this?" : `End this, and vouch that ${vouching}?`;
    return await openQuestions(terminal, print).isWanted(question, false);
  } finally {
    terminal.close();
  }
}

async function say(clearing: Clearing, words: Parameters<WordWriter["leave"]>[0]): Promise<number> {
  const { testbed, clock, print } = clearing;
  const taken = clearing.takeStore();
  if (taken !== null) {
    try {
      commit(taken.store, words, print);
    } finally {
      taken.close();
    }
    return 0;
  }
  const writer = clearing.openWriter();
  try {
    writer.leave(words);
    const untilMs = clock.uptimeMs() + answerWithinMs;
    while (clock.uptimeMs() < untilMs) {
      const answers = writer.takeAnswers(testbed);
      if (answers !== null) {
        for (const { text } of answers) print(text);
        return answers.every(({ isObeyed }) => isObeyed) ? 0 : 1;
      }
      await clock.sleep(askAgainMs);
    }
    print(`${testbed}: recorded; the factory acts on it as soon as it can`);
    return 0;
  } finally {
    writer.close();
  }
}

/** The next start acts on it. */
function commit(
  store: Store,
  words: Parameters<WordWriter["leave"]>[0],
  print: (line: string) => void,
): void {
  for (const { testbed, seq, because } of words) {
    store.setHealth(testbed, null);
    const name = instanceName({ testbed, seq });
    const instance = store.open().find((each) => instanceName(each) === name);
    if (seq === 0) print(`${testbed} can take the next job`);
    else if (instance === undefined) print(`${name} has already ended`);
    else {
      if (!instance.isCleared) store.advance(instance, clearedBy(instance, because));
      print(`${name}: recorded; no factory is running: when one starts, ${whatFollows}`);
    }
  }
}
