/** What the system says when the prefix cannot be written, in words for people. */
import { FactoryError } from "../words/failure.ts";

const hints: Record<string, string> = {
  ENOSPC: "The disk is full: make room and try again; nothing was changed",
  EDQUOT: "This user's quota is used up; nothing was changed",
  EROFS: "The file system is read-only; nothing was changed",
  EACCES: "Run this as the user who owns the prefix",
  EPERM: "Run this as the user who owns the prefix",
};

/** A refusal of the system as an error for people; any other error as it is. */
export function asFactoryError(error: unknown, place: string): unknown {
  if (error instanceof FactoryError || !(error instanceof Error) || !("code" in error)) return error;
  const hint = hints[String(error.code)];
  return hint === undefined
    ? error
    : new FactoryError(`Cannot write ${place}: ${error.message}`, { hint, cause: error });
}
