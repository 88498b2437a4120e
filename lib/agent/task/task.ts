/**
 * One task: its script is run and what it prints becomes events (lib/agent/README.md "A task"). Of the server it knows
 * only that events can be sent.
 */
import type { Clock } from "../../doors/clock.ts";
import type { Task } from "../../server/worker-side.ts";
import type { Background } from "./background.ts";
import type { Child, Children } from "./child.ts";
import type { TaskUser } from "./launch.ts";
import { narrate } from "./process-end.ts";
import type { Tell } from "./process-output.ts";
import { showOsError } from "../os-error.ts";
import type { Script } from "./script.ts";

export interface TaskOptions {
  task: Task;
  script: Script;
  env: Record<string, string>;
  user: TaskUser | null;
  children: Children;
  /** What the task starts beside itself; ended with it. */
  background: Background;
  clock: Clock;
  /** An event of the task, and one of the whole job. */
  tell: Tell;
  tellJob: Tell;
  /** Resolves once the server has taken all events so far: the job still runs. */
  taken(): Promise<void>;
  /** Aborts when the job is over: the process group is ended. */
  signal: AbortSignal;
}

const streams = { stdout: "stdout", stderr: "stderr", exit: "task", warning: "worker", about: "" };

/** Why the task failed; null: it succeeded. Rejects when the job is over, with the group ended. */
export async function runTask(options: TaskOptions): Promise<string | null> {
  const { task, script, env, user, children, background, clock, tell, signal } = options;
  await tell("task", `starting task ${task.id}: "${task.name}"`);
  // The ping carries a job for up to a second after its end.
  await options.taken();
  let child: Child;
  try {
    child = children.start({ ...script, cwd: task.workdir, env, user });
  } catch (error) {
    // The real agent forgets such a task, and the job can end well without it. Its owner expects a failure.
    const where = `task ${task.id} in directory ${JSON.stringify(task.workdir)}`;
    await options.tellJob("agent", `ERROR: exec: cannot start ${where}: ${showOsError(error)}`);
    return `it could not be started: ${showOsError(error)}`;
  }
  try {
    const exit = await narrate({ child, streams, clock, tell, signal });
    if (exit.code === 0) return null;
    return exit.signal === null ? `exit code ${exit.code}` : `ended by ${exit.signal}`;
  } finally {
    await background.end();
  }
}
