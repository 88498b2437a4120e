/** The flags of `service`. Alone in this file: the usage needs them where nothing else of the verb is loaded. */
import type { ArgsDef } from "citty";

export interface ServiceArgs {
  user?: boolean;
  prefix?: string;
  "base-dir"?: string;
  /** No systemd: the files alone. */
  "files-only"?: boolean;
  /** Its bytes were proved to be a release's; else a build of this host's, named by its content. */
  release?: boolean;
  purge?: boolean;
  yes?: boolean;
}

export const serviceArgs: ArgsDef = {
  what: { type: "positional", description: "install, uninstall or status" },
  user: { type: "boolean", description: "a service of this user, without root" },
  prefix: {
    type: "string",
    valueHint: "DIR",
    description: "where the program is (/opt/buildomat-factory-sp-test)",
  },
  "base-dir": {
    type: "string",
    valueHint: "BASE",
    description: "the factory's directory ($FACTORY_BASE, else ~/Oxide/ci/factory)",
  },
  "files-only": { type: "boolean", description: "without systemd: the files alone, for another supervisor" },
  /** Set by install.sh. */
  release: { type: "boolean" },
  purge: { type: "boolean", description: "uninstall: the base directory, too" },
  yes: { type: "boolean", description: "uninstall: do not ask" },
};
