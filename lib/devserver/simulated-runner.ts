/**
 * A simulated sp-runner service, for the demo and benchmarks: no hardware, no real tests. A job takes a while, tells its progress,
 * passes, and writes what the real service writes. test/lab/moody-runner.ts makes it misbehave.
 */
import type { Clock } from "../doors/clock.ts";
import type { Random } from "../doors/random.ts";
import type { Submission } from "../runner/sp-runner.ts";
import { createUlids } from "../words/ulid.ts";

export type BoardStatus = "available" | "busy" | "offline" | "failed-needs-recovery";

/** `broken`: the lab itself failed, without a result. */
export type RunnerOutcome = "passed" | "failed" | "error" | "broken";

export interface RunnerOptions {
  clock: Clock;
  random: Random;
  /** Names of its testbeds. */
  boards: string[];
  /** How long a job takes. */
  runMs?: number;
}

export interface RunnerJob {
  submission: Submission;
  /** Uptime. */
  begunMs: number;
  isOver: boolean;
  outcome: RunnerOutcome;
  /** Ends when its results are written; null: not begun. */
  end: Promise<void> | null;
}

export interface SimulatedService {
  boards: Map<string, { status: BoardStatus }>;
  /** By id, in the order of their submission. */
  jobs: Map<string, RunnerJob>;
  answer(request: Request): Promise<Response>;
}

export interface Runner {
  /** Without a slash at the end. */
  url: string;
  stop(): Promise<void>;
}

export function startRunner(options: RunnerOptions): Runner {
  return serveRunner(createService(options).answer);
}

export function serveRunner(answer: (request: Request) => Promise<Response>): Runner {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, idleTimeout: 0, fetch: answer });
  return { url: `http://127.0.0.1:${server.port}`, stop: () => server.stop(true) };
}

export function createService({
  clock,
  random,
  boards: names,
  runMs = 300,
}: RunnerOptions): SimulatedService {
  const createId = createUlids({ clock, random });
  const boards: SimulatedService["boards"] = new Map(names.map((name) => [name, { status: "available" }]));
  const jobs = new Map<string, RunnerJob>();

  const jobOn = (board: string): [string, RunnerJob] | undefined =>
    [...jobs].find(([, job]) => job.submission.testbed === board && !job.isOver);

  async function endJobs(): Promise<void> {
    for (const job of jobs.values()) {
      if (job.isOver || clock.uptimeMs() - job.begunMs < runMs) continue;
      job.end ??= writeResults(job);
      await job.end;
      job.isOver = true;
    }
  }

  function submit(submission: Submission): Response {
    if (!boards.has(submission.testbed)) return new Response("no such testbed", { status: 404 });
    if (jobOn(submission.testbed) !== undefined) return new Response("the testbed is busy", { status: 409 });
    const id = createId();
    jobs.set(id, { submission, begunMs: clock.uptimeMs(), isOver: false, outcome: "passed", end: null });
    return Response.json({ job_id: id });
  }

  function statusOf({ outcome, isOver, begunMs, submission }: RunnerJob): Response {
    const isBroken = isOver && outcome === "broken";
    const step = 1 + Math.min(2, Math.floor(((clock.uptimeMs() - begunMs) / runMs) * 3));
    return Response.json({
      status: isBroken ? "failed" : isOver ? "completed" : "running",
      progress: isOver ? "done" : `step ${Math.max(1, step)} of 3`,
      testbed: submission.testbed,
      ...(isBroken ? { error: "the probe fell off" } : {}),
    });
  }

  function resultOf({ outcome, isOver, submission: { output_dir: output } }: RunnerJob): Response {
    if (!isOver) return new Response("the job still runs", { status: 409 });
    return Response.json({
      outcome: outcome === "broken" ? "error" : outcome,
      report_path: `${output}/test-report.json`,
      summary_path: `${output}/test-summary.json`,
      log_path: `${output}/sp-runner.log`,
      duration_secs: Math.round(runMs / 1000),
      tests_run: 3,
      ...(outcome === "passed" ? {} : { error: "one test of three failed" }),
    });
  }

  function showBoards(): Response {
    const testbeds = [...boards].map(([name, { status }]) => {
      const [id] = jobOn(name) ?? [];
      return { name, board: "simulated", status: id === undefined ? status : "busy", current_job: id };
    });
    return Response.json({ testbeds });
  }

  async function answer(request: Request): Promise<Response> {
    await endJobs();
    const [, kind, id = "", what] = new URL(request.url).pathname.split("/").map(decodeURIComponent);
    if (request.method === "POST" && kind === "job") return submit((await request.json()) as Submission);
    if (kind === "testbeds") return showBoards();
    if (kind === "health") {
      const free = [...boards.values()].filter(({ status }) => status === "available").length;
      const running = [...jobs.values()].filter(({ isOver }) => !isOver).length;
      const health = { status: "healthy", version: "simulated", testbeds_available: free };
      return Response.json({ ...health, jobs_running: running });
    }
    const board = boards.get(id);
    if (kind === "testbed" && what === "recover" && board !== undefined) {
      board.status = "available";
      return Response.json({ status: "completed", message: "recovered" });
    }
    const job = jobs.get(id);
    if (kind !== "job" || job === undefined) return new Response("not found", { status: 404 });
    return what === "status" ? statusOf(job) : resultOf(job);
  }

  return { boards, jobs, answer };
}

async function writeResults(job: RunnerJob): Promise<void> {
  const { outcome, submission } = job;
  const { output_dir: output, test_type: type, baseline } = submission;
  if (outcome === "broken") return;
  try {
    await Bun.write(`${output}/test-report.json`, JSON.stringify({ test_type: type, baseline, outcome }));
    await Bun.write(`${output}/test-summary.json`, JSON.stringify({ outcome }));
    await Bun.write(`${output}/sp-runner.log`, `ran ${type} from ${baseline}\n`);
  } catch {
    // The directory may be gone, or belong to another user.
    job.outcome = "broken";
  }
}
