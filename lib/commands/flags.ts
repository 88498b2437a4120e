/** The flags that several verbs have. */
import type { ArgsDef } from "citty";

/** One with a value. */
export const valued = (valueHint: string, description: string, alias?: string): ArgsDef[string] => ({
  type: "string",
  valueHint,
  description,
  ...(alias === undefined ? {} : { alias }),
});

/** Where everything is, for a verb that needs no configuration. */
export const placeArgs: ArgsDef = {
  database: valued("FILE", "database (default: BASE/data.sqlite3)", "d"),
  "base-dir": valued(
    "BASE",
    "directory of the factory's files (default: $FACTORY_BASE, else ~/Oxide/ci/factory)",
  ),
};

export const baseArgs: ArgsDef = {
  config: valued("FILE", "configuration (default: BASE/config.toml)", "f"),
  ...placeArgs,
};

export const jsonArgs: ArgsDef = {
  ...baseArgs,
  json: { type: "boolean", description: "one JSON document, for programs" },
};
