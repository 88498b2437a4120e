/** Writes an edited config.toml. What the text says is its caller's part. */
import { dirname, resolve } from "node:path";
import type { Base } from "../config/locations.ts";
import { errorText, FactoryError, fullDiskHint, isDiskFull } from "../words/failure.ts";
import type { ThisProcess } from "./this-process.ts";

/** Another writer's change since we read the file is not lost, and its owner stays. */
export async function replaceConfig(
  { durableFiles, files, uid }: Pick<ThisProcess, "durableFiles" | "files" | "uid">,
  { config }: Pick<Base, "config">,
  { before, after }: { before: string; after: string },
): Promise<void> {
  let path = config;
  for (let links = 0; links < 8; links++) {
    const target = await durableFiles.readLink(path);
    if (target === null) break;
    path = resolve(dirname(path), target);
  }
  const owner = await durableFiles.owner(path);
  if (owner !== uid) {
    throw new FactoryError(`Cannot change ${path}: it belongs to another user (uid ${owner})`, {
      hint: `Run this as that user, for example with sudo -u '#${owner}'`,
    });
  }
  if ((await files.readText(path)) !== before) {
    throw new FactoryError(`Cannot change ${path}: somebody else changed it at the same moment`, {
      hint: "Try again",
    });
  }
  try {
    await files.writePrivate(path, after, { replace: true, keepsAccess: true });
  } catch (error) {
    throw new FactoryError(`Cannot write ${path}: ${errorText(error)}`, {
      hint: isDiskFull(error) ? fullDiskHint : "Its directory must be writable by this user",
      cause: error,
    });
  }
}
