/** On a terminal: what a verb waits for, once that takes longer than a second. It is gone when the answer is there. */
import type { ThisProcess } from "./this-process.ts";

const everyMs = 1_000;

export async function whileWaiting<T>(
  { errors, clock }: Pick<ThisProcess, "errors" | "clock">,
  what: string,
  work: Promise<T>,
): Promise<T> {
  if (!errors.isTerminal) return await work;
  const ended = new AbortController();
  let shown = 0;
  const show = async (): Promise<void> => {
    for (;;) {
      await clock.sleep(everyMs, ended.signal);
      if (ended.signal.aborted) return;
      shown += 1;
      errors.write(`\r${what}, for ${shown} s `);
    }
  };
  const showing = show();
  try {
    return await work;
  } finally {
    ended.abort();
    await showing;
    if (shown > 0) errors.write("\r\x1b[K");
  }
}
