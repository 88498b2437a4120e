/**
 * A job's input files on disk. Their names come from the author of the job: a name is followed only inside the input
 * directory, and through no link (test/FAULTS.md F66).
 */
import { constants } from "node:fs";
import { lstat, mkdir, open, realpath, rm, type FileHandle } from "node:fs/promises";
import { errorCode, showOsError } from "../os-error.ts";

/** The input cannot be put where its name says, now or later: the job cannot run. */
export class InputError extends Error {
  override name = "InputError";
}

const longestComponentBytes = 255;
const longestNameBytes = 4000;

/** The components of a name that stays inside, or why it does not. Pure. */
export function splitInputName(name: string): string[] {
  if (name.includes("\0")) throw new InputError("its name holds a NUL");
  if (name.startsWith("/")) throw new InputError("its name is an absolute path");
  if (Buffer.byteLength(name) > longestNameBytes) {
    throw new InputError(`its name is longer than ${longestNameBytes} bytes`);
  }
  const components = name.split("/");
  if (components.includes("..")) throw new InputError(`its name holds ".."`);
  if (["", "."].includes(components.at(-1) as string)) throw new InputError("its name ends without a file");
  const kept = components.filter((component) => component !== "" && component !== ".");
  if (kept.some((component) => Buffer.byteLength(component) > longestComponentBytes)) {
    throw new InputError(`its name has a part longer than ${longestComponentBytes} bytes`);
  }
  return kept;
}

/**
 * Opens the file of an input for writing, new and empty. A file that is there is replaced, not overwritten: it may have
 * another name elsewhere. Throws InputError.
 */
export async function openInput(inputDirectory: string, name: string): Promise<FileHandle> {
  const components = splitInputName(name);
  try {
    await mkdir(inputDirectory, { recursive: true });
    const root = await realpath(inputDirectory);
    let parent = root;
    for (const component of components.slice(0, -1)) {
      parent = `${parent}/${component}`;
      await enterDirectory(parent);
    }
    // Nothing above was a link; one that was put there since is found here.
    if ((await realpath(parent)) !== parent) throw new InputError("a part of its name is a symbolic link");
    const path = `${parent}/${components.at(-1)}`;
    await removeOld(path);
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    return await open(path, flags, 0o666);
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(showOsError(error), { cause: error });
  }
}

async function enterDirectory(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error;
    const found = await lstat(path);
    if (found.isSymbolicLink()) throw new InputError("a part of its name is a symbolic link");
    if (!found.isDirectory()) throw new InputError("a part of its name is not a directory");
  }
}

async function removeOld(path: string): Promise<void> {
  try {
    const found = await lstat(path);
    if (found.isSymbolicLink()) throw new InputError("its name is a symbolic link");
    if (!found.isFile()) throw new InputError("its name is taken by something that is not a file");
    await rm(path);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
}
