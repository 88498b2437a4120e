/** A job from its first ping to the server's word that it is complete (protocol/worker-api.md §8, steps 5 to 9). */
import type { Server } from "../buildomat.ts";
import type { Clock } from "../doors/clock.ts";
import type { Log } from "../log.ts";
import { openSpRunnerApi } from "../sp-runner-api.ts";
import type { OutputRule, PingJob, Task } from "../worker-api.ts";
import { createBackground } from "./background.ts";
import type { Base } from "./base.ts";
import type { Children } from "./child.ts";
import { createEventQueue, type EventQueue } from "./event-queue.ts";
import { createSender } from "./event-sender.ts";
import { type HardwareTest, isSameDirectory, readRunner, runHardwareTest } from "./hardware-test.ts";
import { downloadInputs } from "./input-download.ts";
import type { JobAccess } from "./job-control.ts";
import { writeScript } from "./script.ts";
import { runTask } from "./task.ts";
import { isRootMode, taskEnvironment } from "./task-environment.ts";
import { uploadOutputs } from "./upload.ts";

export interface JobOptions {
  job: PingJob;
  /** Its exchanges end when the job is over. */
  server: Server;
  /** What bmat reaches of the job: here it is told which task runs. */
  access: JobAccess;
  base: Base;
  children: Children;
  /** The agent's environment. */
  env: Record<string, string | undefined>;
  inputDirectory: string;
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
  const isGood = await playParts(options, queue);
  await queue.flush();
  const verdict = isGood ? "completed" : "failed";
  // 409 while a commit is still at work, or while a cancellation is: both pass, the second with the ping's word.
  const ended = await calls.insist("job complete", "passes", () => api.completeJob(job.id, !isGood));
  if (!ended.ok) log.error(`the server refuses the job's end: ${ended.message}`);
  log.info(`job ${verdict}`);
}

/** Whether all went well. */
async function playParts(options: JobOptions, queue: EventQueue): Promise<boolean> {
  const { job, clock } = options;
  const { api, calls } = options.access;
  const put: Put = (stream, payload, task) =>
    queue.put({
      stream,
      time: new Date(clock.wallMs()).toISOString(),
      payload,
      ...(task === undefined ? {} : { task }),
    });
  const files = { ...options, api, calls, put };
  // Without its inputs the job cannot run, and there is no output to look for.
  if (!(await downloadInputs(files))) return false;
  const test = await openHardwareTest(options);
  let isGood = true;
  let report: string[] = [];
  for (const [index, task] of job.tasks.entries()) {
    if (test === null) {
      isGood = await playTask(task, options, put);
    } else if (index === 0) {
      const tell: HardwareTest["tell"] = (stream, payload) => put(stream, payload, task.id);
      ({ isGood, files: report } = await runHardwareTest({ ...test, tell }));
    } else {
      await put("worker", "sp-runner: not run, a job is one hardware test", task.id);
    }
    await queue.flush();
    const answer = await calls.insist(`task ${task.id} complete`, "ends the job", () =>
      api.completeTask(job.id, task.id, !isGood),
    );
    if (!answer.ok) options.log.error(`the server refuses the end of task ${task.id}: ${answer.message}`);
    if (!isGood) break;
  }
  const isUploaded = await uploadOutputs({ ...files, job: { ...job, output_rules: rulesFor(job, report) } });
  return isGood && isUploaded;
}

/** A testbed whose jobs an sp-runner service runs; null: the tasks' scripts are run here. */
async function openHardwareTest(options: JobOptions): Promise<Omit<HardwareTest, "tell"> | null> {
  const { base, server, access, clock, job, inputDirectory } = options;
  const testbed = readRunner(base.readTestbed());
  if (testbed === null) return null;
  const directory = base.directory.replace(/\/[^/]*$/, "");
  // In a namespace of its own an instance sees its directories under other names than the service does.
  const seenOutput = options.env["BUILDOMAT_WORK"] ?? "/work";
  const isOwn = await isSameDirectory(seenOutput, `${directory}/work`);
  return {
    testbed,
    tasks: job.tasks,
    runner: openSpRunnerApi({ http: server.http, baseurl: testbed.sp_runner_url }),
    calls: access.calls,
    clock,
    inputDirectory: isOwn ? `${directory}/input` : inputDirectory,
    outputDirectory: isOwn ? `${directory}/work` : seenOutput,
    seenOutput,
    record: (state) => base.recordRunner(state),
  };
}

/** The report of a hardware test is uploaded whatever the rules say. */
function rulesFor({ output_rules: rules }: PingJob, report: string[]): OutputRule[] {
  const wanted = report.map((path) => ({
    rule: path.replace(/[*?[\]]/g, "[$&]"),
    ignore: false,
    size_change_ok: true,
    require_match: false,
  }));
  return [...rules, ...wanted];
}

async function playTask(task: Task, options: JobOptions, put: Put): Promise<boolean> {
  const { job, access, base, children, clock, env, log } = options;
  const { signal } = access.calls;
  const isRoot = isRootMode(env);
  const user = isRoot ? { uid: task.uid, gid: task.gid } : null;
  const tell = (stream: string, payload: string): Promise<void> => put(stream, payload, task.id);
  const background = createBackground({ children, clock, tell, signal, asCaller: isRoot });
  const script = writeScript(`${base.runDirectory}/task-${task.id}.sh`, task.script, user);
  try {
    log.info(`task ${task.id} "${task.name}" starts`);
    access.background = background;
    const isGood = await runTask({
      task,
      script,
      env: taskEnvironment(task, job.id, { env, base: base.directory, testbed: base.readTestbed() }),
      user,
      children,
      background,
      clock,
      tell,
      tellJob: put,
      signal,
    });
    log.info(`task ${task.id} ${isGood ? "succeeded" : "failed"}`);
    return isGood;
  } finally {
    access.background = null;
    script.remove();
  }
}
