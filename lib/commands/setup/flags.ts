/** The flags of `setup`, in a file of their own so that the usage does not load the rest. */
import type { ArgsDef } from "citty";
import { valued } from "../flags.ts";

export const setupArgs: ArgsDef = {
  "base-dir": valued("DIR", "where config.toml goes; created if missing"),
  "server-url": valued("URL", "the buildomat server"),
  "token-file": valued("FILE", "contains the factory's token (default: $FACTORY_TOKEN)"),
  "sp-runner": valued("PATH", "sp-runner, as jobs call it"),
  "sp-config": valued("PATH", "sp-runner's configuration; setup looks for testbeds beside it"),
  target: valued("NAME=ULID", "a target and its ULID on the server; may be repeated"),
  testbed: valued("NAME", "add this testbed, to config.toml if there is one; the next flags describe it"),
  type: valued("TYPE", "gimlet, grapefruit, sidecar or psc"),
  serves: valued("TARGETS", "its targets, with commas (default: those with its type in their name)"),
  host: valued("HOST", "its jobs run there, over ssh"),
  "ssh-user": valued("USER", "the user there (default: yours)"),
  "ssh-port": valued("PORT", "the port there"),
  "ssh-key": valued("PATH", "the key for it"),
  "sp-runner-url": valued("URL", "the service that gets its jobs"),
  "update-url": valued("URL", "where new versions come from"),
  /** Set by install.sh, which says what comes next. */
  installing: { type: "boolean" },
};
