/**
 * Testbeds that a lab's sp-runner has found: `testbeds/discovered/*.toml` beside its configuration. sp-runner
 * may change the form of these files: they are read leniently, and what cannot be understood is reported.
 */
import { basename, dirname } from "node:path";
import { parse } from "smol-toml";
import { showValue } from "../../config/problems.ts";
import { isTestbedName, type SpType, spTypes } from "../../config/values.ts";
import { isTable, type Table } from "../../config/section-reader.ts";
import { errorText } from "../../words/failure.ts";

export interface DiscoveredTestbed {
  name: string;
  spType: SpType;
}

export interface Discovery {
  directory: string;
  testbeds: DiscoveredTestbed[];
  /** One line each, for people. */
  skipped: string[];
}

const maxBytes = 1_000_000;

export async function findTestbeds(
  spConfig: string,
  from: { list(path: string): Promise<string[]>; readText(path: string): Promise<string | null> },
): Promise<Discovery> {
  const directory = `${dirname(spConfig)}/testbeds/discovered`;
  const testbeds: DiscoveredTestbed[] = [];
  const skipped: string[] = [];
  const files = await from.list(directory).catch((error: unknown) => {
    skipped.push(`${directory}: ${errorText(error)}`);
    return [];
  });
  for (const file of files.filter((name) => name.endsWith(".toml"))) {
    const found = await from
      .readText(`${directory}/${file}`)
      .then((text) => readTestbed(text ?? "", basename(file, ".toml")))
      .catch((error: unknown) => errorText(error));
    if (typeof found === "string") {
      skipped.push(`${showValue(file)}: ${found}`);
    } else if (testbeds.some(({ name }) => name.toLowerCase() === found.name.toLowerCase())) {
      skipped.push(`${showValue(file)}: ${found.name} is a duplicate`);
    } else {
      testbeds.push(found);
    }
  }
  return { directory, testbeds, skipped };
}

/** The testbed, or why the file describes none. */
function readTestbed(text: string, stem: string): DiscoveredTestbed | string {
  if (text.length > maxBytes) return "too long for a testbed's description";
  let root: Table;
  try {
    root = parse(text);
  } catch {
    return "it is not TOML";
  }
  // At the top level, or in a table that describes the testbed.
  const tables = [root, ...Object.values(root).filter(isTable)];
  const valueOf = (key: string): unknown => tables.find((table) => Object.hasOwn(table, key))?.[key];
  const named = valueOf("name");
  const name = [named, stem].find((each) => typeof each === "string" && isTestbedName(each));
  if (typeof name !== "string") return `${showValue(named ?? stem)} cannot be a testbed's name`;
  const type = valueOf("sp_type") ?? valueOf("type");
  const spType = readSpType(type);
  if (spType !== null) return { name, spType };
  return type === undefined ? "it has no sp_type" : `${showValue(type)} is not one of ${spTypes.join(", ")}`;
}

export function readSpType(value: unknown): SpType | null {
  return spTypes.find((name) => typeof value === "string" && name === value.toLowerCase()) ?? null;
}
