/**
 * Whether the minder can start jobs in a work directory, on any host: only this user may write it, and it must have room. The
 * caller looks at the directory and passes what it found.
 */

/** Required by the minder's preflight. */
const leastFreeBytes = 64 * 1024 ** 2;
/** Below this `check` warns, before jobs are refused. */
const fewFreeBytes = 1024 ** 3;

/** A path, as the user of the work directory sees it. */
export interface SeenDirectory {
  path: string;
  kind: "missing" | "directory" | "file" | "link" | "other";
  /** Permission bits with the sticky bit; 0 if the path is missing. */
  mode: number;
  uid: number;
  /** A directory needs `w` and `x`. For a missing path: whether it can be created. */
  isWritable: boolean;
}

/** What is wrong. */
export interface Fault {
  message: string;
  /** What to do about it: a sentence. */
  fix: string;
}

/**
 * As strict as the minder, which does not use a directory that somebody else could have prepared. Null: nothing is wrong.
 * `setting` is its key in the configuration; a null `uid` means a system without users.
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
  // Root can write wherever the file system allows writing.
  if (uid !== 0 && (mode & 0o300) !== 0o300)
    return fault("cannot be written by this user", `chmod u+wx ${path}`);
  const fix = `Its file system may be read-only: mount it for writing, or set ${setting}`;
  return fault("cannot be written, though its mode allows it", fix);
}

/** Whether this much free space is enough for jobs. The message shows the free space in every case. */
export interface Room extends Fault {
  is: "too little" | "little" | "enough";
}

/** `place`: the directory; null if it is shown beside the message. */
export function judgeRoom(freeBytes: number, place: string | null, setting: string): Room {
  const shown = `${showBytes(freeBytes)} free${place === null ? "" : ` in ${place}`}`;
  const fix = `Make room, lower general.keep, or set ${setting} to a larger disk`;
  if (freeBytes >= leastFreeBytes) {
    return { is: freeBytes < fewFreeBytes ? "little" : "enough", message: shown, fix };
  }
  const message = `${shown}; no job starts with less than ${showBytes(leastFreeBytes)}`;
  return { is: "too little", message, fix };
}

/** Message and fix in one line. */
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
