/** The flags of `service`, in a file of their own: the usage needs them without the rest of the verb. */
import type { ArgsDef } from "citty";
import { valued } from "../flags.ts";

export interface ServiceArgs {
  user?: boolean;
  prefix?: string;
  "base-dir"?: string;
  /** Installs only the files, without systemd. */
  "files-only"?: boolean;
  /** install.sh has checked that it is a release. Otherwise it is a build of this host, and its content names it. */
  release?: boolean;
  purge?: boolean;
  yes?: boolean;
}

export const serviceArgs: ArgsDef = {
  what: { type: "positional", description: "install, uninstall or status" },
  user: { type: "boolean", description: "a service of this user, without root" },
  prefix: valued("DIR", "where the program is (/opt/buildomat-factory-sp-test)"),
  "base-dir": valued("BASE", "the factory's directory ($FACTORY_BASE, else ~/Oxide/ci/factory)"),
  "files-only": { type: "boolean", description: "only the files, for another supervisor than systemd" },
  /** Set by install.sh. */
  release: { type: "boolean" },
  purge: { type: "boolean", description: "uninstall: also the base directory" },
  yes: { type: "boolean", description: "uninstall: do not ask" },
};
