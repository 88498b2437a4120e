/**
 * A simulated sp-runner service, for the demo and tests: no hardware, no real tests. A job takes a while, tells its progress
 * and writes what the real service writes. It can be told to misbehave, and knows whether a board was ever given two jobs.
 */
import type { Clock } from "../doors/clock.ts";
import type { Random } from "../doors/random.ts";
import type { Submission } from "../runner/sp-runner.ts";
import { createUlids } from "../words/ulid.ts";

export type BoardStatus = "available" | "busy" | "offline" | "failed-needs-recovery";

export interface RunnerOptions {
  clock: Clock;
  random: Random;
  /** Names of its testbeds. */
  boards: string[];
  /** How long a job takes. */
  runMs?: number;
  port?: number;
}

/** `broken`: the lab's own failure, without a result. */
export type RunnerOutcome = "passed" | "failed" | "error" | "broken";

/** How it misbehaves; set at any time. */
export interface RunnerMood {
  /** What a job comes to, decided when it begins. */
  outcome: RunnerOutcome | ((submission: Submission) => RunnerOutcome);
  /** No job ends. */
  isHeld: boolean;
  /** The reply to a submission is lost, after the job began or before. */
  submit: "answered" | "begun in silence" | "not begun in silence";
  /** Answers of every other call. */
  answers: "true" | "500" | "garbage" | "unknown word";
  /** Whether recovering a board helps. */
  recovery: "helps" | "in vain";
  /** Where the result says that the report is, perhaps by the output directory. */
  reportAt: "output" | "relative" | "elsewhere" | "nowhere" | ((output: string) => string);
  /** Whether a job leaves what it should. */
  files: "written" | "none";
  /** Replies that are not sent until this is set otherwise. */
  stalled: "none" | "submissions" | "all";
  /** What it says of a job that it does not know. */
  unknownJob: 404 | 400 | 410 | 500;
  /** What boards say of themselves while they work. */
  workingBoard: "busy" | "available";
  progress: "steps" | "null" | "huge";
}

export interface Runner {
  /** Without a slash at the end. */
  url: string;
  mood: RunnerMood;
  board(name: string): { status: BoardStatus };
  /** Puts another client's job on a board, until the function that it gives is called. */
  occupy(name: string): () => void;
  /** Everything that was submitted, in order. */
  submissions(): Submission[];
  /** Whether a board was ever given a job while it had one. */
  hasDoubled(): boolean;
  /** As a restart: no job is known any more, and every board is idle. What had not ended never does, and is told. */
  forget(): Submission[];
  stop(): Promise<void>;
}

interface Job {
  id: string;
  submission: Submission;
  begunMs: number;
  isOver: boolean;
  /** Its results are being written. */
  end: Promise<void> | null;
  outcome: RunnerOutcome;
  /** Another client's: it ends when that one says so. */
  isForeign: boolean;
}

/** How often a reply that is held back is thought of again. */
const stallMs = 20;

export function startRunner({ clock, random, boards: names, runMs = 300, port = 0 }: RunnerOptions): Runner {
  const createId = createUlids({ clock, random });
  const boards = new Map<string, { status: BoardStatus }>(
    names.map((name) => [name, { status: "available" }]),
  );
  const jobs = new Map<string, Job>();
  const submitted: Submission[] = [];
  let isDoubled = false;
  const mood: RunnerMood = {
    outcome: "passed",
    isHeld: false,
    submit: "answered",
    answers: "true",
    recovery: "helps",
    reportAt: "output",
    files: "written",
    stalled: "none",
    unknownJob: 404,
    workingBoard: "busy",
    progress: "steps",
  };
  let isStopped = false;

  const jobOn = (board: string): Job | undefined =>
    [...jobs.values()].find((job) => job.submission.testbed === board && !job.isOver);

  /** Ends the jobs whose time has come. */
  async function settle(): Promise<void> {
    for (const job of jobs.values()) {
      if (job.isOver || job.isForeign || mood.isHeld || clock.uptimeMs() - job.begunMs < runMs) continue;
      job.end ??= writeResults(job);
      await job.end;
      job.isOver = true;
    }
  }

  async function writeResults(job: Job): Promise<void> {
    const { outcome, submission } = job;
    const { output_dir: output, test_type: type, baseline } = submission;
    if (outcome === "broken" || mood.files === "none") return;
    try {
      await Bun.write(`${output}/test-report.json`, JSON.stringify({ test_type: type, baseline, outcome }));
      await Bun.write(`${output}/test-summary.json`, JSON.stringify({ outcome }));
      await Bun.write(`${output}/sp-runner.log`, `ran ${type} from ${baseline}\n`);
    } catch {
      // The directory may be gone, or not be this user's.
      job.outcome = "broken";
    }
  }

  function begin(submission: Submission, isForeign: boolean): Job {
    const id = createId();
    const outcome = typeof mood.outcome === "string" ? mood.outcome : mood.outcome(submission);
    const begunMs = clock.uptimeMs();
    const job = { id, submission, begunMs, isOver: false, end: null, outcome, isForeign };
    jobs.set(id, job);
    return job;
  }

  function submit(submission: Submission): Response {
    if (!boards.has(submission.testbed)) return new Response("no such testbed", { status: 404 });
    if (mood.submit !== "not begun in silence") {
      if (jobOn(submission.testbed) !== undefined) {
        isDoubled = true;
        return new Response("the testbed is busy", { status: 409 });
      }
      submitted.push(submission);
      const { id } = begin(submission, false);
      if (mood.submit === "answered") return Response.json({ job_id: id });
    }
    return new Response("the gateway lost the answer", { status: 502 });
  }

  function statusOf(job: Job): object {
    const share = Math.min(1, (clock.uptimeMs() - job.begunMs) / runMs);
    const word = job.outcome === "broken" ? "failed" : "completed";
    const status = job.isOver ? word : "running";
    const step = job.isOver ? "done" : `step ${1 + Math.min(2, Math.floor(share * 3))} of 3`;
    return {
      status: mood.answers === "unknown word" ? "meditating" : status,
      progress: { null: null, huge: "x".repeat(1_000_000), steps: step }[mood.progress],
      testbed: job.submission.testbed,
      ...(status === "failed" ? { error: "the probe fell off" } : {}),
    };
  }

  function resultOf(job: Job): Response {
    if (!job.isOver) return new Response("the job still runs", { status: 409 });
    const { output_dir: output } = job.submission;
    const places = {
      output: `${output}/test-report.json`,
      relative: "test-report.json",
      elsewhere: "/etc/passwd",
      nowhere: undefined,
    };
    return Response.json({
      outcome: job.outcome === "broken" ? "error" : job.outcome,
      report_path: typeof mood.reportAt === "string" ? places[mood.reportAt] : mood.reportAt(output),
      summary_path: `${output}/test-summary.json`,
      log_path: `${output}/sp-runner.log`,
      duration_secs: Math.round(runMs / 1000),
      tests_run: 3,
      ...(job.outcome === "passed" ? {} : { error: "one test of three failed" }),
    });
  }

  async function answer(request: Request): Promise<Response> {
    await settle();
    const { pathname } = new URL(request.url);
    const [, kind = "", id = "", what] = pathname.split("/").map(decodeURIComponent);
    if (request.method === "POST" && kind === "job") return submit((await request.json()) as Submission);
    if (mood.answers === "500") return new Response("it is broken", { status: 500 });
    if (mood.answers === "garbage") return new Response("<html>", { status: 200 });
    if (kind === "health") {
      const running = [...jobs.values()].filter((job) => !job.isOver).length;
      const free = [...boards.values()].filter(({ status }) => status === "available").length;
      const health = { status: "healthy", version: "simulated", testbeds_available: free };
      return Response.json({ ...health, jobs_running: running });
    }
    if (kind === "testbeds") {
      const testbeds = [...boards].map(([name, { status }]) => {
        const job = jobOn(name);
        return {
          name,
          board: "simulated",
          status: job === undefined ? status : mood.workingBoard,
          current_job: job?.id,
        };
      });
      return Response.json({ testbeds });
    }
    const board = boards.get(id);
    if (kind === "testbed" && what === "recover" && board !== undefined) {
      if (mood.recovery === "helps") board.status = "available";
      return Response.json({ status: "completed", message: "recovered" });
    }
    const job = jobs.get(id);
    if (kind !== "job" || job === undefined) return new Response("not found", { status: mood.unknownJob });
    return what === "status" ? Response.json(statusOf(job)) : resultOf(job);
  }

  async function answerInTime(request: Request): Promise<Response> {
    const isSubmission = request.method === "POST" && new URL(request.url).pathname === "/job";
    const response = await answer(request);
    const isStalled = (): boolean =>
      mood.stalled === "all" || (mood.stalled === "submissions" && isSubmission);
    while (isStalled() && !isStopped) await clock.sleep(stallMs);
    return response;
  }

  const server = Bun.serve({ hostname: "127.0.0.1", port, idleTimeout: 0, fetch: answerInTime });
  return {
    url: `http://127.0.0.1:${server.port}`,
    mood,
    board: (name) => {
      const board = boards.get(name);
      if (board === undefined) throw new Error(`there is no board ${name}`);
      return board;
    },
    occupy: (testbed) => {
      const none = { input_dir: "/none", output_dir: "/none", baseline: "v0", test_type: "other" };
      const job = begin({ testbed, ...none, disable_watchdog: false }, true);
      return () => void (job.isOver = true);
    },
    submissions: () => [...submitted],
    hasDoubled: () => isDoubled,
    forget: () => {
      const unfinished = [...jobs.values()].filter(({ isOver }) => !isOver);
      jobs.clear();
      return unfinished.map(({ submission }) => submission);
    },
    stop: async () => {
      isStopped = true;
      await server.stop(true);
    },
  };
}
