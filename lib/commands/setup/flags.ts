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
  testbed: {
    type: "string",
    valueHint: "NAME",
    description: "add this testbed, to config.toml if there is one; the next flags describe it",
  },
  type: { type: "string", valueHint: "TYPE", description: "gimlet, grapefruit, sidecar or psc" },
  serves: {
    type: "string",
    valueHint: "TARGETS",
    description: "its targets, with commas (default: those with its type in their name)",
  },
  host: { type: "string", valueHint: "HOST", description: "its jobs run there, over ssh" },
  "ssh-user": { type: "string", valueHint: "USER", description: "the user there (default: yours)" },
  "ssh-port": { type: "string", valueHint: "PORT", description: "the port there" },
  "ssh-key": { type: "string", valueHint: "PATH", description: "the key for it" },
  "sp-runner-url": { type: "string", valueHint: "URL", description: "the service that gets its jobs" },
  "update-url": { type: "string", valueHint: "URL", description: "where new versions come from" },
  /** Set by install.sh, which says what comes next. */
  installing: { type: "boolean" },
};
