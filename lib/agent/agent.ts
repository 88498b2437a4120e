/**
 * The built-in job agent as a program: it bootstraps, pings, takes one job and then only pings, for ever
 * (lib/agent/README.md "A job's calls in order"). Unlike the real one it ends a job's processes when the job is over for it.
 */
import { type Answer, type Server } from "../server/call.ts";
import type { Clock } from "../doors/clock.ts";
import type { Http } from "../doors/http.ts";
import type { Random } from "../doors/random.ts";
import type { Log } from "../words/logger.ts";
import { openWorkerApi, type Ping, type WorkerApi } from "../server/worker-side.ts";
import { AgentError, type AgentBase, openBase } from "./agent-files.ts";
import { type Children, openChildren } from "./task/child.ts";
import { listenControl } from "./bmat/control-server.ts";
import type { ControlReply, ControlRequest } from "./bmat/messages.ts";
import { boundHttp, type Caller, retryMs } from "./job-calls.ts";
import { answerControl, type JobAccess } from "./bmat/answers.ts";
import { readRunner } from "./hardware-test/testbed.ts";
import { openOutputSign } from "./task/output-sign.ts";
import { type CurrentJob, openCurrentJob } from "./current-job.ts";

export interface AgentOptions {
  clock: Clock;
  random: Random;
  http: Http;
  log: Log;
  /**
   * BUILDOMAT_OPT, BUILDOMAT_NONROOT, HOME and USER are used, and BUILDOMAT_OWN_RUN: "yes" if /var/run is this
   * agent's own. Nothing else of it reaches a job.
   */
  env: Record<string, string | undefined>;
  /** What `bin/bmat` runs, if there is none yet. */
  bmat: string[];
  /** Where inputs are written; jobs know it as /input. */
  inputDirectory: string;
  /** Ends the agent and its task's processes. */
  signal: AbortSignal;
}

/** After SIGTERM, as a shell counts it. */
const exitStopped = 143;
const idlePingMs = 1000;
const busyPingMs = 5000;
/** Longer than a process group's grace, and a little shorter than the factory waits for the agent. */
const stopWithinMs = 7000;

/** Resolves with the exit code: 1 if it cannot start or cannot record a job. Otherwise it ends only when `signal` aborts. */
export async function runAgent(options: AgentOptions): Promise<number> {
  const { clock, env, log } = options;
  const directory = (env["BUILDOMAT_OPT"] ?? "/opt/buildomat").replace(/\/+$/, "");
  try {
    const base = openBase({ directory, home: env["HOME"] ?? "/tmp" });
    const agent = createAgent(options, base);
    base.provideBmat(options.bmat);
    const children = openChildren({ clock, directory: base.runDirectory });
    const answer = (request: ControlRequest, caller: Caller): Promise<ControlReply> =>
      answerControl(request, caller, agent.view());
    const controls = [listenControl({ path: `${base.runDirectory}/buildomat.sock`, answer })];
    try {
      if (env["BUILDOMAT_OWN_RUN"] === "yes") {
        controls.push(listenControl({ path: "/var/run/buildomat.sock", answer }));
      }
      await agent.run(children);
      return exitStopped;
    } finally {
      for (const control of controls) control.close();
      children.close();
    }
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    log.error(error.message);
    return 1;
  }
}

interface Agent {
  run(children: Children): Promise<void>;
  /** What bmat may know. */
  view(): { ping: Ping | null; job: JobAccess | null };
}

function createAgent(options: AgentOptions, base: AgentBase): Agent {
  const { clock, http, log } = options;
  const identity = base.readIdentity();
  const testbed = base.readTestbed();
  const runner = readRunner(testbed);
  /** Aborts when the agent shall stop, or after an unexpected error. */
  const halt = new AbortController();
  let crash: { error: unknown } | null = null;
  const server: Server = {
    http: boundHttp(http, halt.signal),
    baseurl: identity.baseurl,
    token: identity.token,
  };
  const api = openWorkerApi(server);
  let lastPing: Ping | null = null;
  let current: CurrentJob | null = null;
  let isParked = false;
  /** Aborted to ping at once. */
  let nudge = new AbortController();
  let refusedPings = 0;
  let isOutage = false;

  function heed(answer: Answer<Ping>, job: CurrentJob): void {
    if (!answer.ok) {
      if (!isOutage) log.warn(`ping: ${answer.message}; tried again`);
      isOutage = true;
      refusedPings = answer.refusal === "unauthorised" ? refusedPings + 1 : 0;
      // Asked twice, because a server under repair may say so once.
      if (refusedPings >= 2) job.end("the server does not know this worker any more");
      return;
    }
    if (isOutage) log.info("ping: the server answers again");
    isOutage = false;
    refusedPings = 0;
    lastPing = answer.value;
    if (!answer.value.poweroff) return job.heed(answer.value);
    if (!isParked) log.info("the server has no further use for this worker");
    isParked = true;
    job.park();
    job.end("the server says power off: cancelled, recycled or out of time");
  }

  async function pause(ended: Promise<void> | null): Promise<void> {
    const wake = AbortSignal.any([halt.signal, nudge.signal]);
    if (ended === null || refusedPings > 0) return await clock.sleep(idlePingMs, wake);
    const early = new AbortController();
    void ended.then(() => early.abort());
    await clock.sleep(busyPingMs, AbortSignal.any([wake, early.signal]));
    if (early.signal.aborted) await clock.sleep(idlePingMs, wake);
  }

  async function stop(job: CurrentJob): Promise<void> {
    job.end("the agent is told to stop");
    const ended = job.ended();
    if (ended === null) return;
    const late = clock.deadline(stopWithinMs);
    await Promise.race([ended, clock.sleep(stopWithinMs, late.signal)]);
    late.release();
  }

  return {
    view: () => ({ ping: lastPing, job: current?.access() ?? null }),
    run: async (children) => {
      const halted = (): void => halt.abort();
      options.signal.addEventListener("abort", halted);
      if (options.signal.aborted) halted();
      const job = openCurrentJob({
        ...options,
        outputSign: openOutputSign({ clock, path: `${base.runDirectory}/printed` }),
        server,
        base,
        children,
        testbed,
        runner,
        askNow: () => nudge.abort(),
        crash: (error) => {
          crash = { error };
          halt.abort();
        },
      });
      current = job;
      const openJob = base.readOpenJob();
      base.forgetDoneJob();
      const bootstrapped = persist("bootstrap", halt.signal, options, () =>
        api.bootstrap(identity.bootstrap.reveal(), identity.token.reveal()),
      );
      // While the server answers.
      children.prepare();
      await bootstrapped;
      if (openJob !== null && !halt.signal.aborted && !(runner !== null && job.resume(openJob))) {
        job.park();
        log.error("a job was left unfinished here: it is reported as failed, and no other is taken");
        await reportFailure(api, halt.signal, options);
      }
      while (!halt.signal.aborted) {
        nudge = new AbortController();
        const answer = await api.ping();
        if (halt.signal.aborted) break;
        heed(answer, job);
        await pause(job.ended());
      }
      await stop(job);
      options.signal.removeEventListener("abort", halted);
      if (crash !== null) throw crash.error;
    },
  };
}

/** Repeats a call each second until it succeeds or `signal` aborts; the log hears of the first failure. */
async function persist<T>(
  what: string,
  signal: AbortSignal,
  { clock, log }: AgentOptions,
  call: () => Promise<Answer<T>>,
): Promise<void> {
  let hasFailed = false;
  while (!signal.aborted) {
    const answer = await call();
    if (answer.ok) return log.info(`${what}: done`);
    if (!hasFailed && !signal.aborted) log.warn(`${what}: ${answer.message}; tried again each second`);
    hasFailed = true;
    await clock.sleep(retryMs, signal);
  }
}

/** The server then fails the job and holds the worker. A refusal says that there is nothing left to fail. */
async function reportFailure(api: WorkerApi, signal: AbortSignal, options: AgentOptions): Promise<void> {
  await persist("fail", signal, options, async () => {
    const answer = await api.fail("agent started again");
    return answer.ok || answer.refusal === "no answer" ? answer : { ok: true, value: undefined };
  });
}
