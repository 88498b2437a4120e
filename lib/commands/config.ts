/** The verb `config get|set|unset KEY`: reads or changes one key of config.toml, and keeps all else of the file as it is. */
import { parse, stringify } from "smol-toml";
import { ConfigError, parseConfig, parseToml } from "../config/config.ts";
import { lineOfKey, readingsOf, readKey, valueAt, withValue } from "../config/edit.ts";
import { type BaseArgs, findBase, readConfigText } from "../config/locations.ts";
import { didYouMean, keyText, showValue } from "../config/problems.ts";
import { sectionKeys } from "../config/schema.ts";
import { isTable, type Table } from "../config/section-reader.ts";
import { isFactoryRunning } from "../store/store.ts";
import { FactoryError } from "../words/failure.ts";
import { usageError } from "./command-line.ts";
import { replaceConfig } from "./config-file.ts";
import { lookAround, type ThisProcess } from "./this-process.ts";

export interface ConfigArgs extends BaseArgs {
  act?: string;
  key?: string;
  value?: string;
}

/** Exit code 1: the key is not set. */
export async function editConfig(here: ThisProcess, args: ConfigArgs): Promise<number> {
  const { act = "", key, value } = args;
  if (!["get", "set", "unset"].includes(act)) throw usageError("config needs get, set or unset");
  if (key === undefined) throw usageError(`config ${act} needs a key, as in testbed.gimlet-1.enabled`);
  if (act === "set" && value === undefined) throw usageError(`config set ${key} needs a value`);
  const around = await lookAround(here);
  const base = findBase(args, around);
  const text = readConfigText(base, around);
  const root = parseToml({ text, path: base.config });
  const path = pathOf(key, root);
  const before = valueAt(root, path);
  if (act === "get") {
    here.print(before === undefined ? `${keyText(path)} is not set` : shown(path, before));
    return before === undefined ? 1 : 0;
  }
  if (isSecret(path)) {
    throw new FactoryError(`Cannot ${act} ${keyText(path)} here: a command line can be seen by all users`, {
      hint: `Edit ${base.config} by hand, or set factory.token_file to a file with the token`,
    });
  }
  if (act === "unset" && before === undefined) {
    here.print(`${keyText(path)} is not set: nothing was changed`);
    return 0;
  }
  const after = choose(text, path, act === "set" ? readingsOf(value ?? "") : [undefined], {
    ...around,
    path: base.config,
    readTokenFile: around.readText,
    mayLackToken: true,
  });
  if (after === text) {
    here.print(`${shown(path, before)} already: nothing was changed`);
    return 0;
  }
  await replaceConfig(here, base, { before: text, after });
  const now = valueAt(parse(after), path);
  const line = now === undefined ? "" : ` (line ${lineOfKey(after, path)})`;
  here.print(`${base.config}: ${keyText(path)}: ${wordFor(path, before)} -> ${wordFor(path, now)}${line}`);
  if (await isFactoryRunning(base.database, here.files.isThere))
    here.print("The running factory reads it within seconds; `status` shows what waits for a restart");
  return 0;
}

function pathOf(key: string, root: Table): string[] {
  const path = readKey(key);
  const [section = "", ...rest] = path ?? [];
  const known = Object.hasOwn(sectionKeys, section) ? sectionKeys[section] : undefined;
  if (path === null && Object.hasOwn(sectionKeys, key)) {
    const keys = (sectionKeys[key] ?? []).join(", ");
    throw usageError(`"${key}" is a section, not a key: its keys are ${keys}`);
  }
  if (path === null || known === undefined) {
    const meant = didYouMean(key.split(".")[0] ?? "", Object.keys(sectionKeys));
    throw usageError(`"${key}" is not a key, as testbed.gimlet-1.enabled is${meant}`);
  }
  const isNamed = section === "testbed" || section === "target";
  const name = (isNamed ? rest[1] : rest[0]) ?? "";
  if (isNamed) {
    const names = isTable(root[section]) ? Object.keys(root[section]) : [];
    const [word = ""] = rest;
    if (!names.includes(word)) throw usageError(`There is no [${section}.${word}]${didYouMean(word, names)}`);
  }
  if (!known.includes(name)) {
    throw usageError(`[${section}] has no key ${showValue(name)}${didYouMean(name, known)}`);
  }
  return path;
}

/** The first reading of the value with which the whole file is a configuration. */
function choose(
  text: string,
  path: string[],
  readings: unknown[],
  source: Omit<Parameters<typeof parseConfig>[0], "text">,
): string {
  let fault: unknown = null;
  for (const value of readings) {
    const after = withValue(text, path, value);
    try {
      parseConfig({ ...source, text: after });
      return after;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      fault ??= new FactoryError(`${error.message}\nNothing was changed`);
    }
  }
  throw fault;
}

const isSecret = ([section, key]: string[]): boolean => section === "factory" && key === "token";

/** What agents get may be a secret, too. */
const isHidden = (path: string[]): boolean =>
  isSecret(path) || (path[0] === "general" && path[1] === "agent_environment");

function wordFor(path: string[], value: unknown): string {
  if (value === undefined) return "not set";
  if (isHidden(path)) return "***";
  return stringify({ value })
    .trim()
    .replace(/^value = /, "");
}

const shown = (path: string[], value: unknown): string => `${keyText(path)} = ${wordFor(path, value)}`;
