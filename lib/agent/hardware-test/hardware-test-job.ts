/** A job that is a hardware test: an sp-runner service runs it on the testbed's board, and no script of a task is run. */
import type { Server } from "../../server/call.ts";
import type { PingJob } from "../../server/worker-side.ts";
import type { Clock } from "../../doors/clock.ts";
import type { Log } from "../../words/logger.ts";
import { openSpRunnerApi } from "../../runner/sp-runner.ts";
import { AgentError, type AgentBase } from "../agent-files.ts";
import type { JobCalls } from "../job-calls.ts";
import type { JobKind } from "../job.ts";
import { type HardwareTest, runHardwareTest } from "./hardware-test.ts";
import { parseRecord } from "./record.ts";
import type { RunnerTestbed } from "./testbed.ts";

export interface HardwareTestJobOptions {
  job: PingJob;
  testbed: RunnerTestbed;
  base: AgentBase;
  server: Server;
  calls: JobCalls;
  clock: Clock;
  log: Log;
}

export function openHardwareTestJob(options: HardwareTestJobOptions): JobKind {
  const { job, testbed, base, server, calls, clock, log } = options;
  // The instance's own, whatever a job would see as /work and /input: they are shared with the service, and new.
  const instance = base.directory.replace(/\/[^/]*$/, "");
  const inputDirectory = `${instance}/input`;
  const output = `${instance}/work`;
  const runner = openSpRunnerApi({ http: server.http, baseurl: testbed.sp_runner_url });
  const before = parseRecord(base.readRunnerRecord());
  let outputs: string[] = [];

  const record: HardwareTest["record"] = (state) => {
    try {
      base.recordRunner(state);
    } catch (error) {
      // Without it the factory waits until the board is proved idle.
      if (state.phase !== "ended" || !(error instanceof AgentError)) throw error;
      log.warn(error.message);
    }
  };

  return {
    place: {
      inputDirectory,
      locate: (path) => (/^\/(?:work|input)(?:\/|$)/.test(path) ? `${instance}${path}` : path),
      within: [output, inputDirectory],
    },
    needsInputs: before === null,
    runTask: async (task, { put, taken }) => {
      if (task !== job.tasks[0]) {
        await put("worker", "sp-runner: not run, a job is one hardware test", task.id);
        return null;
      }
      const tell: HardwareTest["tell"] = (stream, payload) => {
        log.info(payload);
        return put(stream, payload, task.id);
      };
      const test = { testbed, tasks: job.tasks, runner, calls, clock, output, before, record, tell, taken };
      const verdict = await runHardwareTest(test);
      outputs = verdict.files.map((name) => `/work/${name}`);
      return verdict.isGood ? null : "the hardware test failed";
    },
    outputs: () => outputs,
  };
}
