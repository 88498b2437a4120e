/** What the user can fix: a message without a stack, with a hint, and exit code 2. */
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

/** The text of whatever was thrown. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Whether the system refused what was asked of it, as a full disk does: no fault of this program's. */
export function isRefusedBySystem(error: unknown): boolean {
  return error instanceof Error && "syscall" in error && "code" in error;
}
