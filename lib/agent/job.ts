/** A job from its first ping to the server's word that it is complete (protocol/worker-api.md §8, steps 5 to 9). */
import type { Server } from "../buildomat.ts";
import type { Clock } from "../doors/clock.ts";
import type { Log } from "../log.ts";
import type { PingJob, Task, WorkerApi, WorkerEvent } from "../worker-api.ts";
import type { Base } from "./base.ts";
import type { Children } from "./child.ts";
import { createEventQueue, type EventQueue } from "./event-queue.ts";
import { downloadInputs } from "./input-download.ts";
import type { JobCalls } from "./job-calls.ts";
import { runTask } from "./task.ts";
import { taskEnvironment } from "./task-environment.ts";
import { uploadOutputs } from "./upload.ts";

export interface JobOptions {
  job: PingJob;
  /** Its exchanges end when the job is over. */
  server: Server;
  api: WorkerApi;
  calls: JobCalls;
  base: Base;
  children: Children;
  /** The agent's environment. */
  env: Record<string, string | undefined>;
  inputDirectory: string;
  clock: Clock;
  createUlid: () => string;
  log: Log;
}

/** Resolves when the server has acknowledged the job's end. Rejects with JobOver where the job is not ours any more. */
export async function playJob(options: JobOptions): Promise<void> {
  const { job, api, calls, base, log } = options;
  log.info(`job "${job.name}" starts: ${job.inputs.length} inputs, ${job.tasks.length} tasks`);
  const queue = createEventQueue(createSender(options));
  const isGood = await playParts(options, queue);
  await queue.flush();
  const verdict = isGood ? "completed" : "failed";
  // 409 while a commit is still at work, or while a cancellation is: both pass, the second with the ping's word.
  const ended = await calls.insist("job complete", "passes", () => api.completeJob(job.id, !isGood));
  if (!ended.ok) log.error(`the server refuses the job's end: ${ended.message}`);
  base.recordJobDone();
  log.info(`job ${verdict}`);
}

/** Whether all went well. */
async function playParts(options: JobOptions, queue: EventQueue): Promise<boolean> {
  const { job, api, calls, clock } = options;
  const put = (stream: string, payload: string, task?: number): Promise<void> =>
    queue.put({
      stream,
      time: new Date(clock.wallMs()).toISOString(),
      payload,
      ...(task === undefined ? {} : { task }),
    });
  const inputs = { ...options, put };
  // Without its inputs the job cannot run, and there is no output to look for.
  if (!(await downloadInputs(inputs))) return false;
  let isGood = true;
  for (const task of job.tasks) {
    isGood = await playTask(task, options, put);
    await queue.flush();
    const answer = await calls.insist(`task ${task.id} complete`, "ends the job", () =>
      api.completeTask(job.id, task.id, !isGood),
    );
    if (!answer.ok) options.log.error(`the server refuses the end of task ${task.id}: ${answer.message}`);
    if (!isGood) break;
  }
  const isUploaded = await uploadOutputs(inputs);
  return isGood && isUploaded;
}

async function playTask(
  task: Task,
  options: JobOptions,
  put: (stream: string, payload: string, task?: number) => Promise<void>,
): Promise<boolean> {
  const { job, base, children, calls, clock, env, log } = options;
  const scriptPath = base.writeScript(`task-${task.id}.sh`, task.script);
  try {
    log.info(`task ${task.id} "${task.name}" starts`);
    const isGood = await runTask({
      task,
      scriptPath,
      env: taskEnvironment(task, { env, jobId: job.id, base: base.directory, testbed: base.readTestbed() }),
      children,
      clock,
      put,
      signal: calls.signal,
    });
    log.info(`task ${task.id} ${isGood ? "succeeded" : "failed"}`);
    return isGood;
  } finally {
    base.removeScript(scriptPath);
  }
}

/** How often the log says that events flow. */
const countEveryMs = 10_000;

function createSender({ job, api, calls, clock, log }: JobOptions): (events: WorkerEvent[]) => Promise<void> {
  let sent = 0;
  let countedMs = clock.uptimeMs();

  async function send(events: WorkerEvent[]): Promise<void> {
    const answer = await calls.insist("events", "ends the job", () => api.append(job.id, events));
    if (!answer.ok) return await sendParts(events, answer.message);
    sent += events.length;
    if (clock.uptimeMs() - countedMs < countEveryMs) return;
    countedMs = clock.uptimeMs();
    log.info(`${sent} events sent`);
  }

  /** The server takes a batch whole or not at all: what it refuses is found by halves, and replaced by a note. */
  async function sendParts(events: WorkerEvent[], why: string): Promise<void> {
    const [event] = events;
    if (event === undefined) return;
    if (events.length > 1) {
      const half = events.length >> 1;
      await send(events.slice(0, half));
      await send(events.slice(half));
      return;
    }
    const bytes = Buffer.byteLength(event.payload);
    log.warn(`an event of ${bytes} bytes was refused by the server: ${why}`);
    const note = { ...event, payload: `${bytes} bytes of output were refused by the server` };
    const answer = await calls.insist("events", "ends the job", () => api.append(job.id, [note]));
    if (!answer.ok) log.warn(`the note of it was refused too: ${answer.message}`);
  }

  return send;
}
