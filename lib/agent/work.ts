/**
 * What the agent does between its pings, one piece at a time: the lab's diagnostics, the one job, diagnostics again
 * (lib/agent/README.md "A job's calls in order"). It is told what each ping said, and never pings.
 */
import { z } from "zod";
import type { Server } from "../server/call.ts";
import { type Log, logAbout } from "../words/logger.ts";
import { createUlids } from "../words/ulid.ts";
import { openWorkerApi, type Ping, type PingJob, pingSchema } from "../server/worker-side.ts";
import type { AgentOptions } from "./agent.ts";
import type { Base } from "./agent-files.ts";
import type { Children } from "./task/child.ts";
import { runDiagnostics } from "./diagnostics.ts";
import { playJob } from "./job.ts";
import { boundHttp, createJobCalls, type JobCalls, JobOver } from "./job-calls.ts";
import { createPuts, type JobAccess } from "./bmat/job-control.ts";
import type { OutputSign } from "./task/output-sign.ts";

export interface WorkOptions extends Pick<
  AgentOptions,
  "clock" | "random" | "http" | "log" | "env" | "inputDirectory"
> {
  server: Server;
  base: Base;
  children: Children;
  outputSign: OutputSign;
  /** Text of testbed.json when the agent started, null where there is none: a job cannot change it for the next piece. */
  testbed: string | null;
  /** A ping should be made now. */
  askNow(): void;
  /** Nobody has thought of this error, or the agent cannot go on. */
  crash(error: unknown): void;
}

export interface Work {
  /** Begins what the ping asks for, if there is anything to begin. Throws AgentError where a job cannot be recorded. */
  heed(ping: Ping): void;
  /** Goes on with the job that an agent before this one took. False where its record cannot be read. */
  resume(recorded: string): boolean;
  /** Ends what is at work, with its processes; the first reason is logged. */
  end(reason: string): void;
  /** Nothing is begun any more. */
  park(): void;
  /** Resolves when what is at work has ended; null when nothing is. */
  ended(): Promise<void> | null;
  /** What bmat reaches. */
  job(): JobAccess | null;
}

/** The agent's host is the lab's own, and other jobs run there: what is meant for a machine of the job's own is not done. */
const notApplied = ["root_password_hash", "root_authorized_keys", "dump_to_rpool", "rpool_disable_sync"];

export function createWork(options: WorkOptions): Work {
  const { base, log } = options;
  let state: "ready" | "busy" | "over" = "ready";
  let current: { calls: JobCalls; ended: Promise<void> } | null = null;
  let access: JobAccess | null = null;
  /** The server waits for it once it was told that there is one. */
  let postScript: string | null = null;
  let isPreDone = false;
  let isMetadataSeen = false;

  /** One piece of work; it says what comes after it. */
  function begin(about: Log, piece: (calls: JobCalls) => Promise<"ready" | "over">): void {
    state = "busy";
    const calls = createJobCalls({ clock: options.clock, log: about, doubt: options.askNow });
    const ended = piece(calls)
      .catch((error: unknown): "over" => {
        if (!(error instanceof JobOver)) options.crash(error);
        return "over";
      })
      .then((next) => {
        if (state === "busy") state = next;
        current = null;
        access = null;
      });
    current = { calls, ended };
  }

  /** All of one piece of work, whose exchanges end with it. */
  function open(calls: JobCalls): { server: Server; api: ReturnType<typeof openWorkerApi> } {
    const server = { ...options.server, http: boundHttp(options.http, calls.signal) };
    return { server, api: openWorkerApi(server) };
  }

  async function prepare(
    scripts: { pre: string | null; post: string | null },
    calls: JobCalls,
  ): Promise<"ready" | "over"> {
    const { api } = open(calls);
    if (scripts.post !== null) {
      await calls.insist("diagnostics enable", "ends the job", () => api.enableDiagnostics());
      postScript = scripts.post;
    }
    if (scripts.pre !== null) {
      isPreDone = true;
      const finding = await runDiagnostics("pre", scripts.pre, { ...options, api, calls });
      const reason =
        finding === "fault" ? "pre-job diagnostics reported a fault" : "failed to start pre-diagnostics";
      if (finding !== "no fault") {
        log.error(`${reason}: no job is taken`);
        await calls.insist("fail", "is an answer", () => api.fail(reason));
        return "over";
      }
    }
    options.askNow();
    return "ready";
  }

  async function play(job: PingJob, about: Log, calls: JobCalls, isResumed: boolean): Promise<"over"> {
    const { server, api } = open(calls);
    access = { jobId: job.id, api, calls, background: null, puts: createPuts() };
    const createUlid = createUlids(options);
    await playJob({ ...options, job, server, access, createUlid, log: about, isResumed });
    access = null;
    if (postScript !== null) {
      const finding = await runDiagnostics("post", postScript, { ...options, api, calls });
      await calls.insist("diagnostics complete", "ends the job", () =>
        api.completeDiagnostics(finding === "fault"),
      );
    }
    // By this the factory knows the end, and it may end this agent at once.
    base.recordJobDone();
    return "over";
  }

  function beginJob(job: PingJob, isResumed: boolean): void {
    const about = logAbout(log, { job: job.id });
    begin(about, (calls) => play(job, about, calls, isResumed));
  }

  function readScripts(ping: Pick<Ping, "factory_metadata">): { pre: string | null; post: string | null } {
    const metadata = ping.factory_metadata ?? {};
    const asked = notApplied.filter((key) => (metadata[key] ?? null) !== null);
    if (!isMetadataSeen && asked.length > 0) log.warn(`the factory's ${asked.join(", ")} not applied here`);
    isMetadataSeen ||= ping.factory_metadata !== null;
    const read = (key: string, isWanted: boolean): string | null => {
      const script = metadata[key];
      return isWanted && typeof script === "string" ? script : null;
    };
    return {
      pre: read("pre_job_diagnostic_script", !isPreDone),
      post: read("post_job_diagnostic_script", postScript === null),
    };
  }

  return {
    heed: (ping) => {
      if (state !== "ready") return;
      const scripts = readScripts(ping);
      if (scripts.pre !== null || scripts.post !== null) {
        return begin(log, (calls) => prepare(scripts, calls));
      }
      const { job } = ping;
      if (job === null) return;
      base.recordJob(ping);
      beginJob(job, false);
    },
    resume: (recorded) => {
      const ping = readRecorded(recorded);
      if (ping === null) return false;
      // The server was told that there will be diagnostics before the job was taken.
      postScript = readScripts(ping).post;
      beginJob(ping.job, true);
      return true;
    },
    end: (reason) => current?.calls.end(reason),
    park: () => {
      state = "over";
    },
    ended: () => current?.ended ?? null,
    job: () => access,
  };
}

/** As locations.ts writes it: what is null in a ping is left out. */
const recordedSchema = z.object({
  job: pingSchema.shape.job.unwrap(),
  factory_metadata: z.record(z.string(), z.unknown()).default({}),
});

function readRecorded(text: string): z.output<typeof recordedSchema> | null {
  try {
    return recordedSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
