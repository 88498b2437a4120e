/**
 * The verb `clear TESTBED`: shows what is known of the testbed's open instance, asks, and then hands the operator's word to the
 * running factory, or commits it if none runs. It ends nothing itself.
 */
import { mkdtempSync } from "node:fs";
import type { Config } from "../../config/config.ts";
import { type BaseArgs, findBase, placesOf, readConfig } from "../../config/locations.ts";
import { nearestWord } from "../../config/problems.ts";
import { heldText } from "../../daemon/operator-clear.ts";
import type { Terminal } from "../../doors/terminal.ts";
import { openLabConnections, openLabHosts } from "../../hosts/wiring.ts";
import { openSpRunnerApi } from "../../runner/sp-runner.ts";
import { openFactoryApi } from "../../server/factory-side.ts";
import { isFactoryRunning, type StoreReader } from "../../store/store.ts";
import { type Instance, instanceName } from "../../words/domain.ts";
import { FactoryError } from "../../words/failure.ts";
import { whileWaiting } from "../waiting-line.ts";
import { usageError } from "../command-line.ts";
import { openForReading } from "../database.ts";
import { type Asked, describe } from "./open-instance.ts";
import { openQuestions } from "../setup/questions.ts";
import { programOf, type ThisProcess } from "../this-process.ts";
import { steer } from "./steer.ts";

export interface ClearArgs extends BaseArgs {
  testbed?: string;
  because?: string;
  /** The operator is not asked. */
  yes?: boolean;
}

/** Exits with 1 if the operator's word was refused, or not given. */
export async function clearTestbed(here: ThisProcess, args: ClearArgs): Promise<number> {
  if (args.testbed === undefined) throw usageError("clear needs a testbed");
  here.setUmask(0o077);
  const { files, http } = here;
  const program = await programOf(here);
  const base = findBase(args, program.surroundings);
  const config = readConfig(base, program.surroundings);
  const places = placesOf(config, base, here.around.env);
  const directory = mkdtempSync(`${here.temporaryDirectory}/factory-clear-`);
  const hosts = openLabHosts(config, places, program, openLabConnections(directory, program, true));
  let store: StoreReader | null = null;
  try {
    store = await openForReading(base.database, files);
    const open = store?.open().filter((each) => each.testbed === args.testbed) ?? [];
    const asked = {
      hosts,
      api: openFactoryApi({ http, baseurl: config.general.baseurl, token: config.token }),
      openRunner: (baseurl: string) => openSpRunnerApi({ http, baseurl }),
    };
    if (open.length > 0) {
      if (!(await isVouchedFor(here, args, open, asked))) return 1;
    } else if (store?.health().has(args.testbed) !== true) {
      checkName(args.testbed, config);
      // A running factory may know of trouble that is not in the database.
      if (!(await isFactoryRunning(base.database, files.isThere))) {
        here.print(`${args.testbed} has nothing to clear`);
        return 0;
      }
    }
    const { testbed, because = "" } = args;
    return await steer(here, args, { verb: "clear", testbed, because, seqs: open.map(({ seq }) => seq) });
  } finally {
    store?.close();
    await hosts.close();
    await files.removeTree(directory);
  }
}

function checkName(testbed: string, { testbeds }: Config): void {
  const names = testbeds.map(({ name }) => name);
  if (names.includes(testbed)) return;
  const near = nearestWord(testbed, names);
  throw new FactoryError(`Cannot clear "${testbed}": no testbed has this name`, {
    hint: near === null ? `Testbeds: ${names.join(", ")}` : `Did you mean ${near}?`,
  });
}

/** Shows what is open, and asks. False: nothing may be changed. */
async function isVouchedFor(
  here: ThisProcess,
  { testbed = "", because, yes }: ClearArgs,
  open: Instance[],
  asked: Asked,
): Promise<boolean> {
  const { print, openTerminal } = here;
  if (because === undefined) {
    throw new FactoryError(`Cannot clear ${testbed}: --because TEXT is missing`, {
      hint: "The job's owner reads the text in the output of the job",
    });
  }
  const held: string[] = [];
  let canTell = true;
  for (const instance of open) {
    const found = await whileWaiting(here, `looking at ${instance.testbed}`, describe(asked, instance));
    for (const line of found.lines) print(line);
    canTell &&= found.canTell;
    if (found.isHeld) held.push(heldText(instanceName(instance), instance.worker ?? ""));
  }
  for (const line of held) print(line);
  if (held.length > 0) return false;
  if (yes === true || (await isConfirmed(testbed, canTell, openTerminal(), print))) return true;
  print("Nothing was changed");
  return false;
}

/** The word that is recorded vouches for it either way. */
const vouchOf = (canTell: boolean): string =>
  canTell
    ? "count it as ended if its host can no longer be asked"
    : "vouch that nothing of it is left running where this program cannot look";

async function isConfirmed(
  testbed: string,
  canTell: boolean,
  terminal: Terminal | null,
  print: (line: string) => void,
): Promise<boolean> {
  if (terminal === null) {
    throw new FactoryError(`Cannot clear ${testbed} without --yes: there is no terminal to ask at`, {
      hint: `--yes means: end what is shown above, and ${vouchOf(canTell)}`,
    });
  }
  try {
    return await openQuestions(terminal, print).isWanted(`End this, and ${vouchOf(canTell)}?`, false);
  } finally {
    terminal.close();
  }
}
