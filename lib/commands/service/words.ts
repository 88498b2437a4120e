/** The verb `service`: calls the function of the word that was typed. */
import { usageError } from "../command-line.ts";
import type { ThisProcess } from "../this-process.ts";
import { installService } from "./install.ts";
import type { ServiceArgs } from "./installed.ts";
import { showService } from "./status.ts";
import { uninstallService } from "./uninstall.ts";

export async function controlService(
  here: ThisProcess,
  args: ServiceArgs & { what?: string },
): Promise<number> {
  switch (args.what) {
    case "install":
      return await installService(here, args);
    case "uninstall":
      return await uninstallService(here, args);
    case "status":
      return await showService(here, args);
    default:
      throw usageError("service needs one of install, uninstall and status");
  }
}
