/** The flags of `setup`. Alone in this file: the usage needs them where nothing else of set-up is loaded. */
import type { ArgsDef } from "citty";

export const setupArgs: ArgsDef = {
  "base-dir": { type: "string", valueHint: "DIR", description: "where config.toml goes; made where missing" },
  "server-url": { type: "string", valueHint: "URL", description: "the buildomat server" },
  "token-file": {
    type: "string",
    valueHint: "FILE",
    description: "holds the factory's token (else $FACTORY_TOKEN)",
  },
  "sp-runner": { type: "string", valueHint: "PATH", description: "told to jobs" },
  "sp-config": {
    type: "string",
    valueHint: "PATH",
    description: "sp-runner's configuration; testbeds are looked for beside it",
  },
  target: {
    type: "string",
    valueHint: "NAME=ULID",
    description: "a target and the server's ULID of it; may be repeated",
  },
};
