/**
 * The lab's own scripts before and after a job: what they print are events of the worker, which its administrator reads, and
 * none of the job's (lib/agent/README.md "Diagnostics"). What follows from a fault is others' to decide.
 */
import type { Clock } from "../doors/clock.ts";
import type { Log } from "../words/logger.ts";
import type { WorkerApi } from "../server/worker-side.ts";
import type { Base } from "./agent-files.ts";
import type { Child, Children } from "./task/child.ts";
import { createEventQueue } from "./events/queue.ts";
import { createSender } from "./events/sender.ts";
import type { JobCalls } from "./job-calls.ts";
import { narrate, type Tell } from "./task/narration.ts";
import { showOsError } from "./os-error.ts";
import { writeScript } from "./task/script.ts";
import { isRootMode, scriptEnvironment } from "./task/environment.ts";

export interface DiagnosticsOptions {
  api: WorkerApi;
  calls: JobCalls;
  base: Base;
  children: Children;
  /** The agent's environment. */
  env: Record<string, string | undefined>;
  /** Text of testbed.json, null where there is none. */
  testbed: string | null;
  clock: Clock;
  log: Log;
}

export type Finding = "no fault" | "fault" | "not started";

/** Resolves when all that the script said is told. Rejects with JobOver when nobody wants to know any more. */
export async function runDiagnostics(
  when: "pre" | "post",
  text: string,
  options: DiagnosticsOptions,
): Promise<Finding> {
  const { api, calls, clock, log } = options;
  const queue = createEventQueue(createSender({ append: api.appendWorker, calls, clock, log }));
  const tell: Tell = (stream, payload) => queue.put({ stream, time: clock.wallTime(), payload });
  await tell(`diag.${when}`, `starting ${when}-job diagnostics`);
  const finding = await find(when, text, tell, options);
  await queue.flush();
  log.info(`${when}-job diagnostics: ${finding}`);
  return finding;
}

async function find(
  when: "pre" | "post",
  text: string,
  tell: Tell,
  { base, children, env, testbed, clock, calls }: DiagnosticsOptions,
): Promise<Finding> {
  const stream = `diag.${when}`;
  const user = isRootMode(env) ? { uid: 0, gid: 0 } : null;
  const script = writeScript(`${base.runDirectory}/${stream}.sh`, text, user);
  try {
    let child: Child;
    try {
      child = children.start({
        ...script,
        cwd: "/",
        env: scriptEnvironment({
          env,
          base: base.directory,
          testbed,
          hasLocale: children.hasLocale,
        }),
        user,
      });
    } catch (error) {
      await tell("agent", `ERROR: ${stream} exec: ${showOsError(error)}`);
      return "not started";
    }
    const streams = { stdout: "stdout", stderr: "stderr", exit: stream, warning: stream, about: "" };
    const exit = await narrate({ child, streams, clock, tell, signal: calls.signal });
    return exit.code === 0 ? "no fault" : "fault";
  } finally {
    script.remove();
  }
}
