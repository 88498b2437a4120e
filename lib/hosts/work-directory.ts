/**
 * What a work directory must be for the minder to start a job in it, on whichever host it is: this user's alone to write, and
 * with room. It knows no host; who looked tells what was seen.
 */

/** What the minder's preflight asks for. */
const leastFreeBytes = 64 * 1024 ** 2;
/** What a lab wants to know of before jobs are refused. */
const fewFreeBytes = 1024 ** 3;

/** A path as its user finds it. */
export interface SeenDirectory {
  path: string;
  kind: "missing" | "directory" | "file" | "link" | "other";
  /** Permission bits, sticky bit included; 0 where it is missing. */
  mode: number;
  uid: number;
  /** A directory also needs `x` for that. Of one that is missing: whether it can be made. */
  isWritable: boolean;
}

/** What is wrong. */
export interface Fault {
  message: string;
  /** What to do about it: a sentence. */
  fix: string;
}

/**
 * As strict as the minder, which arms nothing in a directory that somebody else could have prepared. Null: nothing is wrong
 * with it. `setting` is what names it in the configuration; a null `uid` is a system without users.
 */
export function faultOf(seen: SeenDirectory, uid: number | null, setting: string): Fault | null {
  const { path, kind, mode, uid: owner, isWritable } = seen;
  const fault = (message: string, fix: string): Fault => ({ message: `${path} ${message}`, fix });
  if (kind === "link") return fault("is a symbolic link", `Name the directory itself in ${setting}`);
  if (kind === "missing") {
    if (isWritable) return null;
    return fault("is not there and cannot be created by this user", `Make it, or set ${setting}`);
  }
  if (kind !== "directory") return fault("is not a directory", `Set ${setting} to one`);
  if (uid !== null && owner !== uid) {
    const fix = `Run as that user, or chown ${uid} ${path}, or set ${setting}`;
    return fault(`belongs to user ${owner}, not to ${uid}`, fix);
  }
  if ((mode & 0o022) !== 0)
    return fault(`can be written by others (mode ${octal(mode)})`, `chmod go-w ${path}`);
  if (isWritable) return null;
  // Root may write wherever anybody may.
  if (uid !== 0 && (mode & 0o300) !== 0o300)
    return fault("cannot be written by this user", `chmod u+wx ${path}`);
  const fix = `Its file system may be read-only: mount it for writing, or set ${setting}`;
  return fault("cannot be written, though its mode allows it", fix);
}

/** Whether jobs start with so many bytes free. The message also says how many, if nothing is wrong. */
export interface Room extends Fault {
  is: "too little" | "little" | "enough";
}

/** `place`: where; null if that is said beside it. */
export function judgeRoom(freeBytes: number, place: string | null, setting: string): Room {
  const shown = `${showBytes(freeBytes)} free${place === null ? "" : ` in ${place}`}`;
  const fix = `Make room, lower general.keep, or set ${setting} to a larger disk`;
  if (freeBytes >= leastFreeBytes) {
    return { is: freeBytes < fewFreeBytes ? "little" : "enough", message: shown, fix };
  }
  const message = `${shown}; no job starts with less than ${showBytes(leastFreeBytes)}`;
  return { is: "too little", message, fix };
}

/** In one line. */
export function inOne({ message, fix }: Fault): string {
  return `${message}; ${fix.charAt(0).toLowerCase()}${fix.slice(1)}`;
}

export function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

function showBytes(bytes: number): string {
  const isLarge = bytes >= 1024 ** 3;
  return isLarge ? `${(bytes / 1024 ** 3).toFixed(1)} GiB` : `${Math.floor(bytes / 1024 ** 2)} MiB`;
}
