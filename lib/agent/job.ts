/** A job from its first ping to the server's word that it is complete (lib/agent/README.md "A job's calls in order"). */
import type { Server } from "../server/call.ts";
import type { Clock } from "../doors/clock.ts";
import type { Log } from "../words/logger.ts";
import { openSpRunnerApi } from "../runner/sp-runner.ts";
import type { PingJob, Task } from "../server/worker-side.ts";
import { createBackground } from "./task/background.ts";
import { AgentError, type Base } from "./agent-files.ts";
import type { Children } from "./task/child.ts";
import { createEventQueue, type EventQueue } from "./events/queue.ts";
import { createSender } from "./events/sender.ts";
import { type HardwareTest, runHardwareTest } from "./hardware-test/hardware-test.ts";
import { downloadInputs } from "./inputs/download.ts";
import type { JobAccess } from "./bmat/job-control.ts";
import type { OutputSign } from "./task/output-sign.ts";
import type { Locate } from "./outputs/walk.ts";
import { parseRecord } from "./hardware-test/record.ts";
import { readRunner } from "./hardware-test/testbed.ts";
import { writeScript } from "./task/script.ts";
import { runTask } from "./task/task.ts";
import { isRootMode, taskEnvironment } from "./task/environment.ts";
import { uploadOutputs } from "./outputs/upload.ts";

export interface JobOptions {
  job: PingJob;
  /** Its exchanges end when the job is over. */
  server: Server;
  /** What bmat reaches of the job: here it is told which task runs. */
  access: JobAccess;
  base: Base;
  children: Children;
  outputSign: OutputSign;
  /** The agent's environment. */
  env: Record<string, string | undefined>;
  inputDirectory: string;
  /** Text of testbed.json, null where there is none. */
  testbed: string | null;
  /** An agent before this one took it: a hardware test, which goes on from its record. */
  isResumed: boolean;
  clock: Clock;
  createUlid: () => string;
  log: Log;
}

type Put = (stream: string, payload: string, task?: number) => Promise<void>;

/** Resolves when the server has acknowledged the job's end. Rejects with JobOver where the job is not ours any more. */
export async function playJob(options: JobOptions): Promise<void> {
  const { job, clock, log } = options;
  const { api, calls } = options.access;
  log.info(`job "${job.name}" starts: ${job.inputs.length} inputs, ${job.tasks.length} tasks`);
  const queue = createEventQueue(
    createSender({ append: (events) => api.append(job.id, events), calls, clock, log }),
  );
  const fault = await playParts(options, queue);
  await queue.flush();
  // 409 while a commit is still at work, or while a cancellation is: both pass, the second with the ping's word.
  const ended = await calls.insist("job complete", "passes", () => api.completeJob(job.id, fault !== null));
  if (ended.ok) recordVerdict(options, fault);
  else log.error(`the server refuses the job's end: ${ended.message}`);
  log.info(fault === null ? "job completed" : `job failed: ${fault}`);
}

function recordVerdict({ base, log }: JobOptions, fault: string | null): void {
  try {
    base.recordVerdict(fault);
  } catch (error) {
    // Only the factory's log wants it.
    if (!(error instanceof AgentError)) throw error;
    log.warn(error.message);
  }
}

/** Why the job fails; null: all went well. */
async function playParts(options: JobOptions, queue: EventQueue): Promise<string | null> {
  const { job, clock, outputSign } = options;
  const { api, calls } = options.access;
  const put: Put = (stream, payload, task) => {
    outputSign.note();
    return queue.put({
      stream,
      time: clock.wallTime(),
      payload,
      ...(task === undefined ? {} : { task }),
    });
  };
  if (options.isResumed) await put("worker", "the agent was started again, and goes on");
  const test = openHardwareTest(options);
  const place =
    test === null
      ? {}
      : {
          inputDirectory: test.inputDirectory,
          locate: test.locate,
          within: [test.output, test.inputDirectory],
        };
  const files = { ...options, api, calls, put, ...place };
  // Without its inputs the job cannot run, and there is no output to look for. A service that has the job uses them.
  if ((test === null || test.before === null) && !(await downloadInputs(files))) {
    return "its inputs cannot be had";
  }
  let fault: string | null = null;
  let wanted: string[] = [];
  for (const [index, task] of job.tasks.entries()) {
    outputSign.setTask(true);
    if (test === null) {
      fault = await playTask(task, options, put, queue.flush);
    } else if (index === 0) {
      const tell: HardwareTest["tell"] = (stream, payload) => {
        options.log.info(payload);
        return put(stream, payload, task.id);
      };
      const verdict = await runHardwareTest({ ...test, tell, taken: queue.flush });
      fault = verdict.isGood ? null : "the hardware test failed";
      wanted = verdict.files.map((name) => `/work/${name}`);
    } else {
      await put("worker", "sp-runner: not run, a job is one hardware test", task.id);
    }
    outputSign.setTask(false);
    await queue.flush();
    // What an agent before this one did last may have been the job's end.
    const conflict = options.isResumed ? "is an answer" : "ends the job";
    const answer = await calls.insist(`task ${task.id} complete`, conflict, () =>
      api.completeTask(job.id, task.id, fault !== null),
    );
    if (!answer.ok) options.log.error(`the server refuses the end of task ${task.id}: ${answer.message}`);
    if (fault !== null) break;
  }
  const isUploaded = await uploadOutputs({ ...files, wanted });
  return fault ?? (isUploaded ? null : "its outputs cannot all be uploaded");
}

interface OpenTest extends Omit<HardwareTest, "tell" | "taken"> {
  inputDirectory: string;
  locate: Locate;
}

/** A testbed whose jobs an sp-runner service runs; null: the tasks' scripts are run here. */
function openHardwareTest({ base, server, access, clock, job, testbed, log }: JobOptions): OpenTest | null {
  const runner = readRunner(testbed);
  if (runner === null) return null;
  // The instance's own, whatever a job would see as /work and /input: they are shared with the service, and new.
  const instance = base.directory.replace(/\/[^/]*$/, "");
  return {
    testbed: runner,
    tasks: job.tasks,
    runner: openSpRunnerApi({ http: server.http, baseurl: runner.sp_runner_url }),
    calls: access.calls,
    clock,
    output: `${instance}/work`,
    inputDirectory: `${instance}/input`,
    locate: (path) => (/^\/(?:work|input)(?:\/|$)/.test(path) ? `${instance}${path}` : path),
    before: parseRecord(base.readRunnerRecord()),
    record: (state) => {
      try {
        base.recordRunner(state);
      } catch (error) {
        // Without it the factory waits until the board is proved idle.
        if (state.phase !== "ended" || !(error instanceof AgentError)) throw error;
        log.warn(error.message);
      }
    },
  };
}

/** Why it failed; null: it succeeded. */
async function playTask(
  task: Task,
  options: JobOptions,
  put: Put,
  taken: () => Promise<void>,
): Promise<string | null> {
  const { job, access, base, children, clock, env, testbed, log } = options;
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
      env: taskEnvironment(task, job.id, {
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
