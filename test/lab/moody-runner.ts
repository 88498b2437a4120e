/** The simulated sp-runner service, which a test can have misbehave, and which knows whether a board was ever given two jobs. */
import { rmSync } from "node:fs";
import {
  type BoardStatus,
  createService,
  type Runner,
  type RunnerOptions,
  type RunnerOutcome,
  serveRunner,
} from "../../lib/devserver/simulated-runner.ts";
import { createUlids } from "../../lib/words/ulid.ts";
import type { Submission } from "../../lib/runner/sp-runner.ts";

/** How it misbehaves; a test sets it at any time. */
export interface RunnerMood {
  /** How a job ends, decided when it begins. */
  outcome: RunnerOutcome | ((submission: Submission) => RunnerOutcome);
  /** No job ends. */
  isHeld: boolean;
  /** The reply to a submission is lost, after the job began or before. */
  submit: "answered" | "begun in silence" | "not begun in silence";
  /** Answers of every other call. */
  answers: "true" | "500" | "garbage" | "unknown word";
  /** Whether recovering a board helps. */
  recovery: "helps" | "in vain";
  /** Where the result says that the report is; a function gets the output directory. */
  reportAt: "output" | "relative" | "elsewhere" | "nowhere" | ((output: string) => string);
  /** Whether a job leaves its files. */
  files: "written" | "none";
  /** Replies that are not sent until this is changed. */
  stalled: "none" | "submissions" | "all";
  /** The status of replies about an unknown job. */
  unknownJob: 404 | 400 | 410 | 500;
  /** The status of boards while they have a job. */
  workingBoard: "busy" | "available";
  progress: "steps" | "numbered" | "null" | "huge";
}

export interface MoodyRunner extends Runner {
  mood: RunnerMood;
  board(name: string): { status: BoardStatus };
  /** Puts another client's job on a board, until the returned function is called. */
  occupy(name: string): () => void;
  /** Everything that was submitted, in order. */
  submissions(): Submission[];
  /** Whether a board was ever given a job while it had one. */
  hasDoubled(): boolean;
  /** As after a restart: no job is known, and every board is idle. Gives what had not ended. */
  forget(): Submission[];
}

/** How often a stalled reply is tried again. */
const stallMs = 20;

export function startMoodyRunner(options: RunnerOptions): MoodyRunner {
  const { clock } = options;
  const createId = createUlids(options);
  const { boards, jobs, answer } = createService(options);
  const submitted: Submission[] = [];
  let lines = 0;
  let isDoubled = false;
  let isStopped = false;
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

  async function submit(request: Request): Promise<Response> {
    const lost = new Response("the gateway lost the answer", { status: 502 });
    if (mood.submit === "not begun in silence") return lost;
    const reply = await answer(request);
    isDoubled ||= reply.status === 409;
    if (!reply.ok) return reply;
    const { job_id: id } = (await reply.clone().json()) as { job_id: string };
    const job = jobs.get(id);
    if (job === undefined) return reply;
    submitted.push(job.submission);
    job.outcome = typeof mood.outcome === "string" ? mood.outcome : mood.outcome(job.submission);
    return mood.submit === "answered" ? reply : lost;
  }

  function distort(what: string | undefined, value: Record<string, unknown>): void {
    const { progress, reportAt } = mood;
    if (what === "status") {
      if (mood.answers === "unknown word") value["status"] = "meditating";
      if (progress === "numbered") value["progress"] = `line ${(lines += 1)}`;
      else if (progress !== "steps") value["progress"] = progress === "null" ? null : "x".repeat(1_000_000);
    } else if (what === "result") {
      const path = String(value["report_path"]);
      const output = path.slice(0, path.lastIndexOf("/"));
      const places = {
        output: path,
        relative: "test-report.json",
        elsewhere: "/etc/passwd",
        nowhere: undefined,
      };
      value["report_path"] = typeof reportAt === "string" ? places[reportAt] : reportAt(output);
    }
  }

  function removeFiles(): void {
    for (const { isOver, submission } of jobs.values()) {
      if (!isOver) continue;
      for (const name of ["test-report.json", "test-summary.json", "sp-runner.log"]) {
        rmSync(`${submission.output_dir}/${name}`, { force: true });
      }
    }
  }

  async function misbehave(request: Request): Promise<Response> {
    // A held job starts again when it is released.
    for (const job of jobs.values()) {
      if (mood.isHeld && !job.isOver) job.begunMs = Infinity;
      else if (job.begunMs === Infinity && submitted.includes(job.submission)) job.begunMs = clock.uptimeMs();
    }
    const [, kind, , what] = new URL(request.url).pathname.split("/");
    if (request.method === "POST" && kind === "job") return await submit(request);
    if (mood.answers === "500") return new Response("it is broken", { status: 500 });
    if (mood.answers === "garbage") return new Response("<html>", { status: 200 });
    if (what === "recover" && mood.recovery === "in vain") {
      return Response.json({ status: "completed", message: "recovered" });
    }
    const reply = await answer(request);
    if (mood.files === "none") removeFiles();
    if (reply.status === 404 && kind === "job") return new Response("not found", { status: mood.unknownJob });
    if (!reply.ok) return reply;
    const value = (await reply.json()) as Record<string, unknown>;
    if (kind === "testbeds") {
      for (const board of value["testbeds"] as { status: string }[]) {
        if (board.status === "busy") board.status = mood.workingBoard;
      }
    }
    distort(what, value);
    return Response.json(value);
  }

  const runner = serveRunner(async (request) => {
    const isSubmission = request.method === "POST" && new URL(request.url).pathname === "/job";
    const response = await misbehave(request);
    const isStalled = (): boolean =>
      mood.stalled === "all" || (mood.stalled === "submissions" && isSubmission);
    while (isStalled() && !isStopped) await clock.sleep(stallMs);
    return response;
  });

  return {
    url: runner.url,
    mood,
    board: (name) => {
      const board = boards.get(name);
      if (board === undefined) throw new Error(`there is no board ${name}`);
      return board;
    },
    occupy: (testbed) => {
      const none = { input_dir: "/none", output_dir: "/none", baseline: "v0", test_type: "other" };
      const submission = { testbed, ...none, disable_watchdog: false };
      const job = { submission, begunMs: Infinity, isOver: false, outcome: "passed" as const, end: null };
      jobs.set(createId(), job);
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
      await runner.stop();
    },
  };
}
