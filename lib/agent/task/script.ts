/** A job's script as its shell reads it: a private file, because a script may hold secrets. It does not know what the script is for. */
import { closeSync, fchownSync, openSync, rmSync, writeFileSync } from "node:fs";
import { errorText } from "../../words/failure.ts";
import { AgentError } from "../agent-files.ts";
import type { TaskUser } from "./launch.ts";

export interface Script {
  argv: string[];
  /** The shell reads the script from it if it may not open the file by name. */
  descriptor?: number;
  /** Removes it. */
  remove(): void;
}

/** `user` will read it. Throws AgentError if it cannot be written. */
export function writeScript(path: string, text: string, user: TaskUser | null): Script {
  const remove = (): void => rmSync(path, { force: true });
  try {
    remove();
    writeFileSync(path, text.endsWith("\n") ? text : `${text}\n`, { mode: 0o600, flag: "wx" });
    if (user === null || user.uid === process.getuid?.()) return { argv: ["/bin/bash", path], remove };
    // The directories above are closed to another user: the file is opened for that user.
    const descriptor = openSync(path, "r");
    const close = (): void => {
      closeSync(descriptor);
      remove();
    };
    try {
      fchownSync(descriptor, user.uid, user.gid);
    } catch (error) {
      close();
      throw error;
    }
    return { argv: ["/bin/bash", "/dev/fd/3"], descriptor, remove: close };
  } catch (error) {
    throw new AgentError(`Cannot write ${path}: ${errorText(error)}`, { cause: error });
  }
}
