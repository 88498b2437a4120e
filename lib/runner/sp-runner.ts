/**
 * An sp-runner service as its client sees it (lib/runner/README.md "The sp-runner service"): it runs the hardware tests of a
 * testbed, and has files in common with the client instead of transfers. Paths in its answers are the service's own.
 */
import { z } from "zod";
import { type Answer, callServer, type Server } from "../server/call.ts";

export interface Submission {
  testbed: string;
  input_dir: string;
  output_dir: string;
  baseline: string;
  test_type: string;
  disable_watchdog: boolean;
}

const healthSchema = z.object({ status: z.string() });
const boardSchema = z.object({
  name: z.string(),
  /** `available`, `busy`, `offline`, `failed-needs-recovery`, or a word of a later version. */
  status: z.string(),
  current_job: z.string().nullish(),
});
const testbedsSchema = z.object({ testbeds: z.array(z.unknown()) });
const submittedSchema = z.object({ job_id: z.string().min(1) });
/** Fields that are only displayed may be missing or have another form. */
const shownText = z.string().nullish().catch(null);
const shownNumber = z.number().nullish().catch(null);
const statusSchema = z.object({
  /** `pending`, `running`, `completed`, `failed`; any other word says nothing. */
  status: z.string(),
  progress: shownText,
  testbed: z.string().nullish(),
  error: shownText,
});
const resultSchema = z.object({
  /** Only `passed` is success. */
  outcome: z.string(),
  report_path: z.string().nullish(),
  summary_path: z.string().nullish(),
  log_path: z.string().nullish(),
  duration_secs: shownNumber,
  tests_run: shownNumber,
  error: shownText,
});
const recoverySchema = z.object({ status: z.string(), message: shownText });

export type Board = z.infer<typeof boardSchema>;
export type RunnerStatus = z.infer<typeof statusSchema>;
export type RunnerResult = z.infer<typeof resultSchema>;

export interface SpRunnerApi {
  health(): Promise<Answer<{ status: string }>>;
  /** An answer that is shared says when it was asked for, at `sinceMs` or later. */
  boards(sinceMs?: number): Promise<Answer<Board[]> & { askedAtMs?: number }>;
  submit(submission: Submission): Promise<Answer<string>>;
  status(job: string): Promise<Answer<RunnerStatus>>;
  result(job: string): Promise<Answer<RunnerResult>>;
  recover(board: string): Promise<Answer<{ status: string; message?: string | null | undefined }>>;
}

/** Whether it is a job of another board's that has this name. */
export function isOthers({ testbed }: RunnerStatus, board: string): boolean {
  return (testbed ?? board) !== board;
}

/** Whether the service has the job and is not done with it. */
export function isActive({ status }: RunnerStatus): boolean {
  return status === "pending" || status === "running";
}

export function isTerminal({ status }: RunnerStatus): boolean {
  return status === "completed" || status === "failed";
}

/** As long as the service's own client waits: it may get the board ready before it answers. */
const submitTimeoutMs = 3_600_000;
const recoverTimeoutMs = 600_000;

export function openSpRunnerApi(server: Omit<Server, "token">): SpRunnerApi {
  const at: Server = { ...server, token: null };
  const get = <T>(path: string, reply: z.ZodType<T>): Promise<Answer<T>> =>
    callServer(at, { method: "GET", path, reply });
  const post = <T>(path: string, body: unknown, reply: z.ZodType<T>, timeoutMs: number): Promise<Answer<T>> =>
    callServer(at, { method: "POST", path, body, reply, timeoutMs });
  const job = (id: string): string => `/job/${encodeURIComponent(id)}`;
  return {
    health: () => get("/health", healthSchema),
    boards: async () => {
      const answer = await get("/testbeds", testbedsSchema);
      if (!answer.ok) return answer;
      // A board that cannot be read does not hide the others.
      const parsed = answer.value.testbeds.map((each) => boardSchema.safeParse(each));
      return { ok: true, value: parsed.flatMap(({ data }) => (data === undefined ? [] : [data])) };
    },
    submit: async (submission) => {
      const answer = await post("/job", submission, submittedSchema, submitTimeoutMs);
      return answer.ok ? { ok: true, value: answer.value.job_id } : answer;
    },
    status: (id) => get(`${job(id)}/status`, statusSchema),
    result: (id) => get(`${job(id)}/result`, resultSchema),
    recover: (board) =>
      post(
        `/testbed/${encodeURIComponent(board)}/recover`,
        { force: false },
        recoverySchema,
        recoverTimeoutMs,
      ),
  };
}
