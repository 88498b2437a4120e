/** The verb `schema`, and the copy of it beside config.toml that editors read. */
import { dirname } from "node:path";
import type { Files } from "../doors/files.ts";
import { version } from "../words/version.ts";

/** What makes taplo and its editor plug-ins read the copy: the first line of config.toml. */
export const schemaLine = "#:schema ./config.schema.json";

const title = `config.toml of buildomat-factory-sp-test ${version.version}`;

export async function schemaText(): Promise<string> {
  const { jsonSchema } = await import("../config/json-schema.ts");
  return jsonSchema(title);
}

export const schemaPathOf = (configPath: string): string => `${dirname(configPath)}/config.schema.json`;

/** `setup` makes it; after an update the new version writes its own, if there is one. */
export async function writeSchema(
  files: Pick<Files, "readText" | "writePrivate">,
  configPath: string,
  when: "always" | "if it is another version's",
): Promise<void> {
  const path = schemaPathOf(configPath);
  if (when !== "always") {
    const before = await files.readText(path);
    if (before === null || before.includes(JSON.stringify(title))) return;
  }
  await files.writePrivate(path, await schemaText(), { replace: true });
}
