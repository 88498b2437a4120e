/** An error that the user can fix: shown as a message and a hint without a stack. Exit code 2. */
export class FactoryError extends Error {
  override name = "FactoryError";
  readonly hint: string | undefined;
  readonly exitCode: number;

  constructor(message: string, options: { hint?: string; exitCode?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.hint = options.hint;
    this.exitCode = options.exitCode ?? 2;
  }
}

/** The message of anything that was thrown. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export const fullDiskHint = "The disk is full: make room and try again";

export function isDiskFull(error: unknown): boolean {
  return (
    error instanceof Error && "code" in error && (error.code === "ENOSPC" || error.code === "SQLITE_FULL")
  );
}

/** Whether the system refused a request, for example because the disk is full: not a fault of this program. */
export function isRefusedBySystem(error: unknown): boolean {
  return error instanceof Error && "syscall" in error && "code" in error;
}
