/**
 * One task: its script is run and what it prints becomes events (protocol/agent.md §4). It knows nothing of the server
 * but that events can be put.
 */
import type { Clock } from "../doors/clock.ts";
import type { Task } from "../worker-api.ts";
import type { Child, Children, Exit, Pipe } from "./child.ts";
import { JobOver } from "./job-calls.ts";
import { createLines } from "./lines.ts";
import { showOsError } from "./os-error.ts";

export interface TaskOptions {
  task: Task;
  /** A file with the task's script. */
  scriptPath: string;
  env: Record<string, string>;
  children: Children;
  clock: Clock;
  /** Resolves when the event is queued, which can take long; rejects when the job is over. */
  put(stream: string, payload: string, task?: number): Promise<void>;
  /** Aborts when the job is over: the process group is ended. */
  signal: AbortSignal;
}

/** Output that waits for its newline is shown after this much quiet: a prompt, or a line of dots. */
const quietMs = 1000;
/** How long others may hold the output open once the process has ended: quietly, and after a warning. */
const heldQuietlyMs = 5000;
const heldMs = 60_000;
/** What the real agent reports for a process without an exit code. */
const noExitCode = 2_147_483_647;

/** Whether the task succeeded. Rejects when the job is over, with the group ended. */
export async function runTask(options: TaskOptions): Promise<boolean> {
  const { task, children, put } = options;
  await put("task", `starting task ${task.id}: "${task.name}"`, task.id);
  let child: Child;
  try {
    child = await children.start({
      argv: ["/bin/bash", options.scriptPath],
      cwd: task.workdir,
      env: options.env,
    });
  } catch (error) {
    // The real agent forgets such a task, and the job can end well without it. Its owner expects a failure.
    const where = `task ${task.id} in directory ${JSON.stringify(task.workdir)}`;
    await put("agent", `ERROR: exec: cannot start ${where}: ${showOsError(error)}`);
    return false;
  }
  children.prepare();
  return await attend(child, options);
}

async function attend(child: Child, options: TaskOptions): Promise<boolean> {
  const { signal } = options;
  const endings: Promise<void>[] = [];
  const end = (): void => void endings.push(child.endGroup());
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  const pumps = [
    { name: "stdout", pipe: child.stdout, isOpen: true },
    { name: "stderr", pipe: child.stderr, isOpen: true },
  ];
  const drained = Promise.all(
    pumps.map(async (pump) => {
      await pumpLines(pump.pipe, pump.name, options);
      pump.isOpen = false;
    }),
  );
  // A failure is the job's end: seen below, perhaps only after the process has ended.
  drained.catch(() => undefined);
  try {
    const exit = await child.exited;
    await reportExit(exit, pumps, drained, options);
    return exit.code === 0;
  } finally {
    signal.removeEventListener("abort", end);
    for (const { pipe } of pumps) pipe.close();
    await Promise.all(endings);
  }
}

async function reportExit(
  exit: Exit,
  pumps: { name: string; pipe: Pipe; isOpen: boolean }[],
  drained: Promise<unknown>,
  options: TaskOptions,
): Promise<void> {
  const { task, clock, put, signal } = options;
  const warn = (text: string): Promise<void> => put("worker", `exec warning: : ${text}`, task.id);
  const isDrained = await endsWithin(drained, heldQuietlyMs, clock, signal);
  if (exit.signal !== null) await warn(`child terminated by signal ${exit.signal}`);
  const code = exit.code ?? noExitCode;
  await put("task", `process exited: duration ${exit.durationMs} ms, exit code ${code}`, task.id);
  if (isDrained) return;
  await warn("stdio descriptors remain open after task exit; waiting 60 seconds for them to close");
  if (await endsWithin(drained, heldMs, clock, signal)) return;
  for (const pump of pumps.filter(({ isOpen }) => isOpen)) {
    await warn(`${pump.name} descriptor may be held open by a background process; giving up!`);
    pump.pipe.close();
  }
  await drained;
}

/** True once `work` is done, false after `ms`. Rejects as `work` does, and when the job is over: then nothing ends `work`. */
async function endsWithin(
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

/** Ends with the pipe; holds no more than a part of output and a piece of a line. */
async function pumpLines(pipe: Pipe, stream: string, { task, clock, put }: TaskOptions): Promise<void> {
  const lines = createLines();
  try {
    let next = pipe.read();
    for (;;) {
      if (lines.waiting > 0 && !(await comesWithin(next, quietMs, clock))) {
        for (const piece of lines.takeQuiet()) await put(stream, piece, task.id);
      }
      const part = await next;
      if (part === null) break;
      for (const piece of lines.push(part)) await put(stream, piece, task.id);
      next = pipe.read();
    }
    for (const piece of lines.end()) await put(stream, piece, task.id);
  } finally {
    pipe.close();
  }
}

async function comesWithin(next: Promise<unknown>, ms: number, clock: Clock): Promise<boolean> {
  const early = new AbortController();
  const late = clock.sleep(ms, early.signal).then(() => false);
  const isThere = await Promise.race([next.then(() => true), late]);
  early.abort();
  return isThere;
}
