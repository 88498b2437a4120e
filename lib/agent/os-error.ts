/**
 * The operating system's refusals in the words that the real agent, a Rust program, puts into a job's events: people
 * and scripts search for them. It knows no call by name.
 */

/** Rust's name of the kind, and what strerror says. */
const words: Record<string, [kind: string, message: string]> = {
  E2BIG: ["ArgumentListTooLong", "Argument list too long"],
  EACCES: ["PermissionDenied", "Permission denied"],
  EAGAIN: ["WouldBlock", "Resource temporarily unavailable"],
  EEXIST: ["AlreadyExists", "File exists"],
  EIO: ["Uncategorized", "Input/output error"],
  EISDIR: ["IsADirectory", "Is a directory"],
  ELOOP: ["FilesystemLoop", "Too many levels of symbolic links"],
  EMFILE: ["Uncategorized", "Too many open files"],
  ENAMETOOLONG: ["InvalidFilename", "File name too long"],
  ENOENT: ["NotFound", "No such file or directory"],
  ENOEXEC: ["Uncategorized", "Exec format error"],
  ENOMEM: ["OutOfMemory", "Cannot allocate memory"],
  ENOSPC: ["StorageFull", "No space left on device"],
  ENOTDIR: ["NotADirectory", "Not a directory"],
  ENXIO: ["Uncategorized", "No such device or address"],
  EPERM: ["PermissionDenied", "Operation not permitted"],
  EROFS: ["ReadOnlyFilesystem", "Read-only file system"],
  ECONNREFUSED: ["ConnectionRefused", "Connection refused"],
};

/** For example `ENOENT`; null if the error is not the operating system's. */
export function errorCode(error: unknown): string | null {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : null;
}

/** `No such file or directory (os error 2)`. */
export function showOsError(error: unknown): string {
  const os = readOsError(error);
  return os === null ? messageOf(error) : `${os.message} (os error ${os.number})`;
}

/** `Os { code: 2, kind: NotFound, message: "No such file or directory" }`. */
export function debugOsError(error: unknown): string {
  const os = readOsError(error);
  if (os === null) return messageOf(error);
  return `Os { code: ${os.number}, kind: ${os.kind}, message: ${debugText(os.message)} }`;
}

/** A text in quotes, as Rust's `{:?}` has it: an event stays one line whatever a file is called. */
export function debugText(text: string): string {
  const escapes: Record<string, string> = {
    '"': '\\"',
    "\\": "\\\\",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\0": "\\0",
  };
  const escaped = text.replace(
    /["\\\p{Cc}]/gu,
    (character) => escapes[character] ?? `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
  return `"${escaped}"`;
}

function readOsError(error: unknown): { number: number; kind: string; message: string } | null {
  const code = errorCode(error);
  if (code === null || !(error instanceof Error) || !("errno" in error)) return null;
  if (typeof error.errno !== "number") return null;
  const [kind, message] = words[code] ?? ["Uncategorized", code];
  return { number: Math.abs(error.errno), kind, message };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
