/**
 * What shows the minder's look that the job prints (silence_timeout): a file whose text is another one after each line, or `own`
 * while the agent itself works and no task does.
 */
import { writeFileSync } from "node:fs";
import type { Clock } from "../../doors/clock.ts";

export interface OutputSign {
  /** The job has printed a line. */
  note(): void;
  /** Whether a task runs. */
  setTask(isRunning: boolean): void;
}

/** A job that prints a million lines writes the file twice a second. */
const apartMs = 500;

export function openOutputSign({ clock, path }: { clock: Clock; path: string }): OutputSign {
  let lines = 0;
  let hasTask = false;
  let isWaiting = false;
  let writtenMs = Number.NEGATIVE_INFINITY;

  function write(): void {
    writtenMs = clock.uptimeMs();
    try {
      writeFileSync(path, hasTask ? `${lines}\n` : "own\n");
    } catch {
      // The disk is full: the look then goes by what the job's processes write.
    }
  }

  function note(): void {
    lines += 1;
    if (isWaiting) return;
    const waitMs = writtenMs + apartMs - clock.uptimeMs();
    if (waitMs <= 0) return write();
    isWaiting = true;
    void clock.sleep(waitMs).then(() => {
      isWaiting = false;
      write();
    });
  }

  write();
  return {
    note,
    setTask: (isRunning) => {
      hasTask = isRunning;
      lines += 1;
      write();
    },
  };
}
