/** Waits for a condition, never for a time. */
/** Resolves with the first value that is neither null, undefined nor false; rejects, naming `what`, when none comes. */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  withinMs = 40_000,
): Promise<Exclude<T, null | undefined | false>> {
  const endMs = Date.now() + withinMs;
  for (;;) {
    const value = await condition();
    if (value !== null && value !== undefined && value !== false) {
      return value as Exclude<T, null | undefined | false>;
    }
    if (Date.now() > endMs) throw new Error(`it never came true that ${what}`);
    await Bun.sleep(10);
  }
}
