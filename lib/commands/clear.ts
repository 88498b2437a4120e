/**
 * The command `clear TESTBED`: shows what is known of what is open there, asks, and then leaves the operator's word with the
 * factory that runs, or commits it where none does. It ends nothing itself.
 */
import type { Config } from "../config/config.ts";
import { nearestWord } from "../config/problems.ts";
import { lookAtFormer } from "../daemon/rust-instances.ts";
import { clearedBy, heldText, whatFollows } from "../daemon/operator-word.ts";
import { type Instance, instanceName, isFormer } from "../words/domain.ts";
import type { Clock } from "../doors/clock.ts";
import type { Terminal } from "../doors/terminal.ts";
import type { FactoryApi } from "../server/factory-side.ts";
import { FactoryError } from "../words/failure.ts";
import type { Hosts } from "../hosts/host.ts";
import { openQuestions } from "./setup/questions.ts";
import { askForBoard, type SpRunnerApi } from "../runner/sp-runner.ts";
import type { Store, StoreReader } from "../store/store.ts";
import type { WordWriter } from "../store/operator-words.ts";

export interface Clearing {
  testbed: string;
  because: string | undefined;
  /** The operator is sure and is not asked. */
  isSure: boolean;
  config: Config;
  store: StoreReader | null;
  hosts: Hosts;
  api: FactoryApi;
  openRunner(url: string): SpRunnerApi;
  clock: Clock;
  isRunning(): boolean;
  /** Null: nobody can be asked. */
  terminal: Terminal | null;
  /** The database as a factory has it; null while one runs. */
  takeStore(): { store: Store; close(): void } | null;
  openWriter(): WordWriter;
  print(line: string): void;
}

const answerWithinMs = 30_000;
const askAgainMs = 100;

/** Resolves with the exit code: 1 where the word is not believed, or not given. */
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
    // A factory that runs may have more against the testbed than it has written down.
    if (!clearing.isRunning()) {
      print(`${testbed} has nothing to clear`);
      return 0;
    }
  }
  if (open.length > 0) {
    if (because === undefined) {
      throw new FactoryError(`Cannot clear ${testbed}: --because TEXT is missing`, {
        hint: "The owner of its job reads the text in the job's output",
      });
    }
    const held: string[] = [];
    for (const instance of open) {
      const found = await describe(clearing, instance);
      for (const line of found.lines) print(line);
      if (found.isHeld) held.push(heldText(instanceName(instance), instance.worker ?? ""));
    }
    for (const line of held) print(line);
    if (held.length > 0) return 1;
    if (!isSure && !(await isConfirmed(testbed, terminal, print))) {
      print("Nothing was changed");
      return 1;
    }
  }
  const words = open.map(({ seq }) => ({ testbed, seq, because: because ?? "" }));
  return await say(clearing, words.length > 0 ? words : [{ testbed, seq: 0, because: because ?? "" }]);
}

async function isConfirmed(
  testbed: string,
  terminal: Terminal | null,
  print: (line: string) => void,
): Promise<boolean> {
  if (terminal === null) {
    throw new FactoryError(
      `Cannot clear ${testbed}: nobody can be asked here whether anything of it is left running`,
      {
        hint: "--yes says that nothing is",
      },
    );
  }
  try {
    const question = "End this, and believe that nothing of it is left running where that cannot be seen?";
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
    print(`${testbed}: written down; the factory takes it up as soon as it can`);
    return 0;
  } finally {
    writer.close();
  }
}

/** What the next start acts on. */
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
    else if (instance === undefined) print(`${name} has ended by itself meanwhile`);
    else {
      if (instance.place.way !== "cleared") store.advance(instance, clearedBy(instance, because));
      print(`${name}: written down; no factory is running: when one is started, ${whatFollows}`);
    }
  }
}

async function describe(
  clearing: Clearing,
  instance: Instance,
): Promise<{ lines: string[]; isHeld: boolean }> {
  const { phase, job, endReason } = instance;
  const about = [phase, job === null ? null : `job ${job}`, endReason].filter((each) => each !== null);
  const worker = await describeWorker(clearing, instance);
  const lines = [
    `${instanceName(instance)}: ${about.join(", ")}`,
    `  processes   ${await describeProcesses(clearing, instance)}`,
  ];
  const { spRunnerUrl: url } = instance.place;
  if (url !== undefined) {
    const asked = await askForBoard(clearing.openRunner(url), url, instance.testbed);
    lines.push(`  board       ${asked.ok ? `sp-runner ${url} says ${asked.board.status}` : asked.reason}`);
  }
  return { lines: [...lines, `  worker      ${worker.text}`], isHeld: worker.isHeld };
}

async function describeProcesses({ hosts }: Clearing, instance: Instance): Promise<string> {
  const { place } = instance;
  const minder = hosts.minderOf(place);
  const where = place.ssh?.host ?? "this host";
  const seen = isFormer(instance)
    ? (await lookAtFormer({ hosts }, [instance])).get(instanceName(instance))
    : (await minder.look([place.directory]))[0];
  if (seen?.process === "alive" || seen?.minder === "alive") {
    return `${where} was searched: some are alive, and are stopped first`;
  }
  if (seen?.process === "dead" && seen.state !== "cannot tell") return `${where} was searched: none is left`;
  const reason = seen?.reason ?? "no reason is known";
  if (place.ssh === undefined || (await minder.locks()).ok) return `${where}: cannot tell: ${reason}`;
  return `${where} is not reachable: ${reason}`;
}

async function describeWorker(
  { api }: Clearing,
  { worker }: Instance,
): Promise<{ text: string; isHeld: boolean }> {
  const free = (text: string): { text: string; isHeld: boolean } => ({ text, isHeld: false });
  if (worker === null) return free("none on record");
  const read = await api.worker(worker);
  if (!read.ok && read.refusal === "forbidden") {
    return free(`${worker} belongs to another factory account, and is left there`);
  }
  if (!read.ok) return free(`${worker}: the server does not say: ${read.message}`);
  if (read.value === null) return free(`${worker} is not on the server any more`);
  const { hold, recycle, online } = read.value;
  if (hold) return { text: `${worker} is held on the server`, isHeld: true };
  if (recycle) return free(`${worker} is on the server, which wants it deleted`);
  return free(`${worker} is on the server; its agent ${online ? "has been" : "was never"} online`);
}
