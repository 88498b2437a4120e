/**
 * The one job of this agent, as its pings see it (lib/agent/README.md "A job's calls in order"): taken from a ping or
 * from an agent before this one, played, ended early. It gets each ping's answer, and never pings.
 */
import { z } from "zod";
import type { Server } from "../server/call.ts";
import { logAbout } from "../words/logger.ts";
import { createUlids } from "../words/ulid.ts";
import { openWorkerApi, type Ping, type PingJob, pingSchema } from "../server/worker-side.ts";
import type { AgentOptions } from "./agent.ts";
import type { AgentBase } from "./agent-files.ts";
import type { Children } from "./task/child.ts";
import { openHardwareTestJob } from "./hardware-test/hardware-test-job.ts";
import type { RunnerTestbed } from "./hardware-test/testbed.ts";
import { playJob } from "./job.ts";
import { openTaskJob } from "./task/task-job.ts";
import { boundHttp, createJobCalls, type JobCalls, JobOver } from "./job-calls.ts";
import { createPuts, type JobAccess } from "./bmat/answers.ts";
import type { OutputSign } from "./task/output-sign.ts";

export interface CurrentJobOptions extends Pick<
  AgentOptions,
  "clock" | "random" | "http" | "log" | "env" | "inputDirectory"
> {
  server: Server;
  base: AgentBase;
  children: Children;
  outputSign: OutputSign;
  /** Text of testbed.json when the agent started, null if there is none: a job cannot change what it is played by. */
  testbed: string | null;
  /** The testbed's service, which runs its jobs; null: the tasks' scripts are run here. */
  runner: RunnerTestbed | null;
  /** Makes a ping now. */
  askNow(): void;
  /** An unexpected error, or the agent cannot go on. */
  crash(error: unknown): void;
}

export interface CurrentJob {
  /** Begins the ping's job, if there is one and no other was begun. Throws AgentError if the job cannot be recorded. */
  heed(ping: Ping): void;
  /** Goes on with the job that an agent before this one took. False if its record cannot be read. */
  resume(recorded: string): boolean;
  /** Ends the job for this agent, with its processes; the first reason is logged. */
  end(reason: string): void;
  /** No job is begun any more. */
  park(): void;
  /** Resolves when the job that runs has ended; null when none runs. */
  ended(): Promise<void> | null;
  /** What bmat reaches. */
  access(): JobAccess | null;
}

export function openCurrentJob(options: CurrentJobOptions): CurrentJob {
  const { clock, log } = options;
  /** An agent plays one job in its life. */
  let takesJob = true;
  let current: { calls: JobCalls; access: JobAccess; ended: Promise<void> } | null = null;

  function begin(job: PingJob, isResumed: boolean): void {
    takesJob = false;
    const about = logAbout(log, { job: job.id });
    const calls = createJobCalls({ clock, log: about, doubt: options.askNow });
    // All of its exchanges end with it.
    const server = { ...options.server, http: boundHttp(options.http, calls.signal) };
    const api = openWorkerApi(server);
    const access = { jobId: job.id, api, calls, background: null, puts: createPuts() };
    const play = async (): Promise<void> => {
      const all = { ...options, job, server, calls, access, log: about };
      const { runner } = options;
      const kind = runner === null ? openTaskJob(all) : openHardwareTestJob({ ...all, testbed: runner });
      await playJob({ ...all, kind, createUlid: createUlids(options), isResumed });
      // By this the factory knows the end, and it may end this agent at once.
      options.base.recordJobDone();
    };
    const ended = play()
      .catch((error: unknown) => {
        if (!(error instanceof JobOver)) options.crash(error);
      })
      .finally(() => {
        current = null;
      });
    current = { calls, access, ended };
  }

  return {
    heed: (ping) => {
      if (!takesJob || ping.job === null) return;
      options.base.recordJob(ping);
      begin(ping.job, false);
    },
    resume: (recorded) => {
      const job = readRecorded(recorded);
      if (job !== null) begin(job, true);
      return job !== null;
    },
    end: (reason) => current?.calls.end(reason),
    park: () => {
      takesJob = false;
    },
    ended: () => current?.ended ?? null,
    access: () => current?.access ?? null,
  };
}

const recordedSchema = z.object({ job: pingSchema.shape.job.unwrap() });

function readRecorded(text: string): PingJob | null {
  try {
    return recordedSchema.parse(JSON.parse(text)).job;
  } catch {
    return null;
  }
}
