/**
 * Files assembled from chunks: a client asks once, then polls with the same arguments until done (lib/devserver/README.md
 * "Chunks and commits"). A commit that is due is carried out when something asks for its result.
 */
import { z } from "zod";
import { badRequest, conflict, RefusedCall } from "./exchange.ts";
import { requireUlid } from "../calls/callers.ts";
import { text, u64 } from "../calls/json-body.ts";
import type { JobRecord, State, StoredFile } from "./state.ts";

/** The largest file that a job can have or leave. */
export const maxFileBytes = 1024 ** 3;

const uploadShape = z.object({ size: u64, chunks: z.array(text), commit_id: text });
export const outputShape = uploadShape.extend({ path: text });
export const inputShape = uploadShape.extend({ name: text });
type Upload = z.output<typeof uploadShape>;

/** What a poll answers. */
export interface CommitAnswer {
  complete: boolean;
  error: string | null;
}

export function addChunk(state: State, job: JobRecord, bytes: Uint8Array<ArrayBuffer>): string {
  const id = state.createId();
  job.chunks.set(id, bytes);
  return id;
}

export function commitOutput(state: State, job: JobRecord, asked: Upload & { path: string }): CommitAnswer {
  requireSize("output", asked.size);
  return pollCommit(state, job, `output ${asked.path}`, asked, {
    // The server forgets a job's commits when the job ends, and refuses a poll like a new commit.
    refuse: () => {
      if (!job.isComplete) return;
      throw new RefusedCall(400, "invalid", `job ${job.id} is already complete; cannot enqueue jobs`);
    },
    place: (file) => {
      if (job.outputs.some((output) => output.path === asked.path)) {
        return "UNIQUE constraint failed: job_output.job, job_output.path";
      }
      job.outputs.push({ ...file, path: asked.path });
      return null;
    },
  });
}

export function commitInput(state: State, job: JobRecord, asked: Upload & { name: string }): CommitAnswer {
  const { name } = asked;
  if (name.includes("/")) throw badRequest("name must not be a path");
  requireSize("input", asked.size);
  return pollCommit(state, job, `input ${name}`, asked, {
    refuse: (isKnown) => {
      if (isKnown) return;
      if (!job.isWaiting) throw conflict("cannot add inputs to a job that is not waiting");
      // The real server freezes here, for good.
      if (!job.inputs.has(name)) throw conflict(`job ${job.id} does not declare an input named "${name}"`);
    },
    place: (file) => {
      if ((job.inputs.get(name) ?? null) !== null) {
        return "UNIQUE constraint failed: job_input.job, job_input.name";
      }
      job.inputs.set(name, file);
      return null;
    },
  });
}

function requireSize(what: string, size: number): void {
  if (size <= maxFileBytes) return;
  throw badRequest(`${what} file size ${size} bigger than allowed maximum ${maxFileBytes} bytes`);
}

function pollCommit(
  state: State,
  job: JobRecord,
  what: string,
  asked: Upload,
  work: { refuse(isKnown: boolean): void; place(file: StoredFile): string | null },
): CommitAnswer {
  const id = requireUlid(asked.commit_id);
  const chunks = asked.chunks.map(requireUlid);
  settleCommits(state, job);
  const known = job.commits.get(id);
  const key = JSON.stringify([what, asked.size, chunks]);
  work.refuse(known !== undefined);
  if (known === undefined) {
    job.commits.set(id, {
      asked: key,
      dueUptimeMs: state.now().uptimeMs + state.settings.commitMs,
      run: () => assembleFile(state, job, asked.size, chunks, work.place),
      outcome: null,
    });
    return { complete: false, error: null };
  }
  if (known.asked !== key) {
    throw new RefusedCall(400, "invalid", `job ${job.id} reused commit ${id} with different arguments`);
  }
  return { complete: known.outcome !== null, error: known.outcome?.error ?? null };
}

function assembleFile(
  state: State,
  job: JobRecord,
  size: number,
  ids: string[],
  place: (file: StoredFile) => string | null,
): string | null {
  const chunks = ids.flatMap((id) => job.chunks.get(id) ?? []);
  if (chunks.length < ids.length) {
    return "HttpError(500 Internal Server Error): Internal Server Error (after 0ms)";
  }
  const bytes = new Blob(chunks);
  if (bytes.size !== size) {
    return `job ${job.id} file: expected size ${size} != chunk size ${bytes.size} (after 0ms)`;
  }
  const why = place({ id: state.createId(), bytes });
  return why === null ? null : `${why} (after 0ms)`;
}

/** Carries out the commits that are due, oldest first. */
export function settleCommits(state: State, job: JobRecord): void {
  if (job.commits.size === 0) return;
  const { uptimeMs } = state.now();
  for (const commit of job.commits.values()) {
    if (commit.outcome === null && commit.dueUptimeMs <= uptimeMs) commit.outcome = { error: commit.run() };
  }
}

export function hasOpenCommit(state: State, job: JobRecord): boolean {
  settleCommits(state, job);
  return [...job.commits.values()].some((commit) => commit.outcome === null);
}
