/** A testbed for a configuration that exists: from flags and answers, tried, and added at the end of the file. */
import { readHttpUrl, spTypes, type Parsed } from "../../config/values.ts";
import { parseConfig } from "../../config/config.ts";
import { withSection } from "../../config/edit.ts";
import type { Base, Surroundings } from "../../config/locations.ts";
import { showValue } from "../../config/problems.ts";
import { isTable, type Table } from "../../config/section-reader.ts";
import { parse } from "smol-toml";
import { FactoryError } from "../../words/failure.ts";
import { tryTestbed } from "../check/check.ts";
import { replaceConfig } from "../config-file.ts";
import type { ThisProcess } from "../this-process.ts";
import type { NewTarget } from "./config-text.ts";
import { readSpType } from "./discovered.ts";
import { must } from "./flag-values.ts";
import type { Questions } from "./questions.ts";
import { askServed, likelyTargets, readNewName, readType } from "./testbeds.ts";

/** The section as it is written. */
export interface AddedTestbed {
  name: string;
  keys: Table;
}

/** From the flags alone; null: `--testbed` is not given. Throws FactoryError. */
export function readAddedTestbed(args: Record<string, unknown>): AddedTestbed | null {
  const flag = (name: string): string | undefined => args[name] as string | undefined;
  const name = flag("testbed");
  const others = ["type", "serves", "host", "ssh-user", "ssh-port", "ssh-key", "sp-runner-url"];
  if (name === undefined) {
    const stray = others.find((other) => flag(other) !== undefined);
    if (stray === undefined) return null;
    throw new FactoryError(`Cannot use --${stray} without --testbed NAME`);
  }
  const type = flag("type");
  if (type === undefined) {
    throw new FactoryError("Cannot use --testbed without --type", {
      hint: "Add --type gimlet, grapefruit, sidecar or psc",
    });
  }
  const port = flag("ssh-port");
  const url = flag("sp-runner-url");
  return {
    name: must("--testbed", readNewName(name, [])),
    keys: withoutGaps({
      sp_type: must("--type", readType(type)),
      targets: flag("serves")?.split(/[\s,]+/),
      host: flag("host"),
      ssh_user: flag("ssh-user"),
      ssh_port: port === undefined ? undefined : Number(port),
      ssh_key: flag("ssh-key"),
      sp_runner_url: url === undefined ? undefined : must("--sp-runner-url", readHttpUrl(url)),
    }),
  };
}

export async function askAddedTestbed(questions: Questions, text: string): Promise<AddedTestbed> {
  const root = parse(text);
  const names = namesIn(root["testbed"]);
  const name = await questions.value("Name of the new testbed", (answer) => readNewName(answer, names));
  const spType = await questions.value(`Its type, one of ${spTypes.join(", ")}`, readType);
  const targets = namesIn(root["target"]).map((target): NewTarget => ({ name: target, id: "" }));
  const served = await askServed(spType, targets, questions);
  const place = await questions.value(
    "Its jobs run on this host, over ssh, or at an sp-runner service",
    readPlace,
    {
      usual: "here",
    },
  );
  const keys: Table = { sp_type: spType, targets: served };
  if (place === "ssh") {
    keys["host"] = await questions.value("  its host, as ssh knows it", (value) => ({ value }));
    const user = await questions.value("  the user there", (value) => ({ value }), { usual: "yours" });
    if (user !== "yours") keys["ssh_user"] = user;
  } else if (place === "service") {
    keys["sp_runner_url"] = await questions.value("  the service's URL", readHttpUrl);
  }
  return { name, keys };
}

/** What the text's testbeds have in common, and what can be guessed. `targets` are new ones, whose sections are added too. */
export function addTestbed(text: string, { name, keys }: AddedTestbed, targets: NewTarget[]): string {
  const root = parse(text);
  const known = namesIn(root["target"]);
  const all = [...known.map((target) => ({ name: target, id: "" })), ...targets];
  const spType = readSpType(keys["sp_type"]);
  const guessed = spType === null ? [] : likelyTargets(spType, all);
  if (namesIn(root["testbed"]).includes(name)) {
    throw new FactoryError(`Cannot add ${name}: the configuration has it already`, {
      hint: `Change one of its keys with config set testbed.${name}.KEY VALUE`,
    });
  }
  const { sp_type, targets: served = guessed, ...more } = keys;
  const section = withoutGaps({ sp_type, targets: served, ...usualPaths(root, keys), ...more });
  const withTargets = targets
    .filter((target) => !known.includes(target.name))
    .reduce((before, target) => withSection(before, ["target", target.name], { id: target.id }), text);
  return withSection(withTargets, ["testbed", name], section);
}

/** Tries it, then writes. Exit code 1: it is not added. */
export async function tryAndWrite(
  here: ThisProcess,
  added: { name: string; before: string; after: string; base: Base },
  { around, questions }: { around: Surroundings; questions: Questions | null },
): Promise<number> {
  const { name, before, after, base } = added;
  const config = parseConfig({
    ...around,
    text: after,
    path: base.config,
    mayLackToken: true,
    readTokenFile: around.readText,
  });
  const tried = await tryTestbed(here, { config, base, name });
  here.print(tried.text);
  const isWanted = tried.isGood || (await questions?.isWanted("Add it all the same?", false)) === true;
  if (!isWanted) {
    here.print("Nothing was changed");
    return 1;
  }
  await replaceConfig(here, base, { before, after });
  here.print(`Added [testbed.${name}] at the end of ${base.config}`);
  return 0;
}

/** As its neighbours of this host have them. */
function usualPaths(root: Table, keys: Table): Table {
  if (keys["sp_runner_url"] !== undefined || !isTable(root["testbed"])) return {};
  const others = Object.values(root["testbed"]).filter(isTable);
  const last = others.findLast((other) => other["host"] === keys["host"]) ?? {};
  return { sp_runner_path: last["sp_runner_path"], sp_runner_config: last["sp_runner_config"] };
}

function readPlace(text: string): Parsed<"here" | "ssh" | "service"> {
  const place = (["here", "ssh", "service"] as const).find((each) => each === text.toLowerCase());
  return place === undefined
    ? { wrong: `${showValue(text)} is none of them`, fix: "Write here, ssh or service" }
    : { value: place };
}

const namesIn = (group: unknown): string[] => (isTable(group) ? Object.keys(group) : []);

function withoutGaps(keys: Table): Table {
  return Object.fromEntries(Object.entries(keys).filter(([, value]) => value !== undefined));
}
