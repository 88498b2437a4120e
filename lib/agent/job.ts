/**
 * A job from its first ping to the server's word that it is complete (lib/agent/README.md "A job's calls in order"). It
 * does not know what runs the job's tasks: a `JobKind` does that.
 */
import type { Server } from "../server/call.ts";
import type { Clock } from "../doors/clock.ts";
import type { Log } from "../words/logger.ts";
import type { PingJob, Task } from "../server/worker-side.ts";
import { AgentError, type AgentBase } from "./agent-files.ts";
import { createEventQueue, type EventQueue } from "./events/queue.ts";
import { createSender } from "./events/sender.ts";
import { downloadInputs } from "./inputs/download.ts";
import type { JobAccess } from "./bmat/answers.ts";
import type { OutputSign } from "./task/output-sign.ts";
import type { Locate } from "./outputs/walk.ts";
import { uploadOutputs } from "./outputs/upload.ts";

/** What runs a job's tasks: `task/task-job.ts` or `hardware-test/hardware-test-job.ts`. */
export interface JobKind {
  /** Where the job's files are. `locate` and `within` are for jobs whose paths are not this agent's. */
  place: { inputDirectory: string; locate?: Locate; within?: string[] };
  /** False if somebody uses its inputs already. */
  needsInputs: boolean;
  /** Why the task failed; null: it succeeded, and the next one is run. Rejects with JobOver. */
  runTask(task: Task, told: Told): Promise<string | null>;
  /** Files to be uploaded whatever the job's rules say, as the job knows them. */
  outputs(): string[];
}

/** The job's events. */
export interface Told {
  /** Resolves when the event is queued. */
  put(stream: string, payload: string, task?: number): Promise<void>;
  /** Resolves once the server has taken what was put: the job still runs. */
  taken(): Promise<void>;
}

export interface JobOptions {
  job: PingJob;
  kind: JobKind;
  /** Its exchanges end when the job is over. */
  server: Server;
  access: JobAccess;
  base: AgentBase;
  outputSign: OutputSign;
  /** An agent before this one took the job. */
  isResumed: boolean;
  clock: Clock;
  createUlid: () => string;
  log: Log;
}

/** Resolves when the server has acknowledged the job's end. Rejects with JobOver if the job is not ours any more. */
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
    // It is only for the factory's log.
    if (!(error instanceof AgentError)) throw error;
    log.warn(error.message);
  }
}

/** Why the job fails; null: all went well. */
async function playParts(options: JobOptions, queue: EventQueue): Promise<string | null> {
  const { job, kind, clock, outputSign } = options;
  const { api, calls } = options.access;
  const put: Told["put"] = (stream, payload, task) => {
    outputSign.note();
    return queue.put({
      stream,
      time: clock.wallTime(),
      payload,
      ...(task === undefined ? {} : { task }),
    });
  };
  if (options.isResumed) await put("worker", "the agent was started again, and goes on");
  const files = { ...options, ...kind.place, api, calls, put };
  // Without its inputs the job cannot run, and there is no output to look for.
  if (kind.needsInputs && !(await downloadInputs(files))) return "its inputs cannot be had";
  let fault: string | null = null;
  for (const task of job.tasks) {
    outputSign.setTask(true);
    fault = await kind.runTask(task, { put, taken: queue.flush });
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
  const lack = await uploadOutputs({ ...files, wanted: kind.outputs() });
  return fault ?? (lack === null ? null : `its outputs cannot all be uploaded: ${lack}`);
}
