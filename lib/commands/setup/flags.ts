/** The flags of `setup`, in a file of their own so that the usage does not load the rest. */
import type { ArgsDef } from "citty";

export const setupArgs: ArgsDef = {
  "base-dir": { type: "string", valueHint: "DIR", description: "where config.toml goes; created if missing" },
  "server-url": { type: "string", valueHint: "URL", description: "the buildomat server" },
  "token-file": {
    type: "string",
    valueHint: "FILE",
    description: "contains the factory's token (default: $FACTORY_TOKEN)",
  },
  "sp-runner": { type: "string", valueHint: "PATH", description: "sp-runner, as jobs call it" },
  "sp-config": {
    type: "string",
    valueHint: "PATH",
    description: "sp-runner's configuration; setup looks for testbeds beside it",
  },
  target: {
    type: "string",
    valueHint: "NAME=ULID",
    description: "a target and its ULID on the server; may be repeated",
  },
  "update-url": { type: "string", valueHint: "URL", description: "where new versions come from" },
  /** Set by install.sh, which says what comes next. */
  installing: { type: "boolean" },
};
