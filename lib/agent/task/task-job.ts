/** A job of tasks: each task's script is run on this host, as a process of this agent's. */
import type { Clock } from "../../doors/clock.ts";
import type { Log } from "../../words/logger.ts";
import type { Task } from "../../server/worker-side.ts";
import type { AgentBase } from "../agent-files.ts";
import type { JobAccess } from "../bmat/answers.ts";
import type { JobKind, Told } from "../job.ts";
import { createBackground } from "./background.ts";
import type { Children } from "./child.ts";
import { isRootMode, taskEnvironment } from "./environment.ts";
import { writeScript } from "./script.ts";
import { runTask } from "./task.ts";

export interface TaskJobOptions {
  /** What bmat reaches of the job; `background` is set here while a task runs. */
  access: JobAccess;
  base: AgentBase;
  children: Children;
  /** The agent's environment. */
  env: Record<string, string | undefined>;
  inputDirectory: string;
  /** Text of testbed.json, null if there is none. */
  testbed: string | null;
  clock: Clock;
  log: Log;
}

export function openTaskJob(options: TaskJobOptions): JobKind {
  return {
    place: { inputDirectory: options.inputDirectory },
    needsInputs: true,
    runTask: (task, told) => playTask(task, told, options),
    outputs: () => [],
  };
}

async function playTask(
  task: Task,
  { put, taken }: Told,
  { access, base, children, clock, env, testbed, log }: TaskJobOptions,
): Promise<string | null> {
  const { signal } = access.calls;
  const isRoot = isRootMode(env);
  const user = isRoot ? { uid: task.uid, gid: task.gid } : null;
  const tell = (stream: string, payload: string): Promise<void> => put(stream, payload, task.id);
  const background = createBackground({ children, clock, tell, signal, asCaller: isRoot });
  const script = writeScript(`${base.runDirectory}/task-${task.id}.sh`, task.script, user);
  try {
    log.info(`task ${task.id} "${task.name}" starts`);
    access.background = background;
    const fault = await runTask({
      task,
      script,
      env: taskEnvironment(task, access.jobId, {
        env,
        base: base.directory,
        testbed,
        hasLocale: children.hasLocale,
      }),
      user,
      children,
      background,
      clock,
      tell,
      tellJob: put,
      taken,
      signal,
    });
    log.info(`task ${task.id} ${fault === null ? "succeeded" : `failed: ${fault}`}`);
    return fault === null ? null : `task "${task.name}": ${fault}`;
  } finally {
    access.background = null;
    script.remove();
  }
}
