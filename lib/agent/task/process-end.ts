/**
 * How a job's process ends, or is ended: its exit as an event, others that still hold its output, and one that is stuck, which
 * gets TERM, a grace and KILL (lib/agent/README.md "A task", "Output of processes").
 */
import type { Clock } from "../../doors/clock.ts";
import { JobOver } from "../job-calls.ts";
import type { Exit } from "./child.ts";
import { openPumps, type Printed, type Pumps } from "./process-output.ts";

export interface Narrated extends Printed {
  /** Aborts when the job is over: the process group is ended. */
  signal: AbortSignal;
}

/** How long others may hold the output open once the process has ended: quietly, and after a warning. */
export const heldQuietlyMs = 5000;
const heldMs = 60_000;
/** What a process group has to end in when its job is over. */
export const overGraceMs = 5000;
/** What the real agent reports for a process without an exit code. */
const noExitCode = 2_147_483_647;

/** Resolves once the process has ended and its output is reported. Rejects when the job is over, with the group ended. */
export async function narrate(narrated: Narrated): Promise<Exit> {
  const { child, signal } = narrated;
  const endings: Promise<void>[] = [];
  const end = (): void => void endings.push(child.endGroup(overGraceMs));
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  const pumps = openPumps(narrated);
  try {
    const exit = await child.exited;
    await tellEnd(exit, pumps, narrated);
    return exit;
  } finally {
    signal.removeEventListener("abort", end);
    pumps.close();
    await Promise.all(endings);
  }
}

async function tellEnd(exit: Exit, pumps: Pumps, narrated: Narrated): Promise<void> {
  const { clock, signal } = narrated;
  const isDrained = await endsWithin(pumps.drained, heldQuietlyMs, clock, signal);
  await tellExit(exit, narrated);
  if (isDrained) return;
  const warn = warner(narrated);
  await warn("stdio descriptors remain open after task exit; waiting 60 seconds for them to close");
  if (await endsWithin(pumps.drained, heldMs, clock, signal)) return;
  for (const name of pumps.open()) {
    await warn(`${name} descriptor may be held open by a background process; giving up!`);
  }
  pumps.close();
  await pumps.drained;
}

export async function tellExit(exit: Exit, narrated: Pick<Narrated, "streams" | "tell">): Promise<void> {
  if (exit.signal !== null) await warner(narrated)(`child terminated by signal ${exit.signal}`);
  const code = exit.code ?? noExitCode;
  await narrated.tell(
    narrated.streams.exit,
    `process exited: duration ${exit.durationMs} ms, exit code ${code}`,
  );
}

function warner({ streams, tell }: Pick<Narrated, "streams" | "tell">): (text: string) => Promise<void> {
  return (text) => tell(streams.warning, `exec warning: ${streams.about}: ${text}`);
}

/** True once `work` is done, false after `ms`. Rejects as `work` does, and when the job is over: then nothing ends `work`. */
export async function endsWithin(
  work: Promise<unknown>,
  ms: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<boolean> {
  const early = new AbortController();
  const late = clock.sleep(ms, AbortSignal.any([early.signal, signal])).then(() => false);
  try {
    const isDone = await Promise.race([work.then(() => true), late]);
    if (signal.aborted) throw new JobOver();
    return isDone;
  } finally {
    early.abort();
  }
}
