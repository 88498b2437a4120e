/**
 * A job's output files on their way to the server, one after another, a piece at a time (lib/agent/README.md "Output
 * rules").
 */
import { constants } from "node:fs";
import { open, realpath, stat, type FileHandle } from "node:fs/promises";
import type { Answer } from "../../server/call.ts";
import type { Clock } from "../../doors/clock.ts";
import type { Commit, PingJob, WorkerApi } from "../../server/worker-side.ts";
import type { JobCalls } from "../job-calls.ts";
import { debugOsError, debugText, errorCode } from "../os-error.ts";
import { type OutputFile, type OutputScan, scanOutputs } from "./rules.ts";
import type { Locate } from "./walk.ts";

export interface Upload {
  job: PingJob;
  api: WorkerApi;
  calls: JobCalls;
  clock: Clock;
  createUlid: () => string;
  put(stream: string, payload: string): Promise<void>;
  /** The real place of the file that the job names `path`. */
  locate?: Locate;
  /** Real directories; nothing outside of them is a file of the job's. */
  within?: string[];
  /** Uploaded if they exist, whatever the rules say; they may change. Paths are the job's. */
  wanted?: string[];
  /** An agent before this one may have uploaded some: the server then refuses a second time and has the first. */
  isResumed?: boolean;
}

const chunkBytes = 5 * 1024 * 1024;
/** The server commits in milliseconds, and its first answer is always "not yet". The last is the real agent's step. */
const commitPollsMs = [20, 50, 100, 200, 500, 1000];

/** Uploads what the job's rules name. Returns the first error, or null; each was put as an event. */
export async function uploadOutputs(upload: Upload): Promise<string | null> {
  let fault: string | null = null;
  const report = async (error: string): Promise<void> => {
    fault ??= error;
    await upload.put("worker", `upload error: ${error}`);
  };
  const named = await scanOutputs(upload.job.output_rules, report, upload.locate);
  const scan = await addWanted(upload, await keepInside(upload, named, report));
  await upload.put("worker", `found ${scan.files.length} output files`);
  const uploaded: string[] = [];
  for (const file of scan.files) {
    const error = await uploadFile(upload, file, scan);
    if (error === null) {
      uploaded.push(file.path);
      await upload.put("worker", `uploaded: ${file.path}`);
    } else if ("warning" in error) {
      await upload.put("worker", `upload warning: ${error.warning}`);
    } else {
      await report(error.error);
    }
  }
  for (const error of scan.unused(uploaded)) await report(error);
  return fault;
}

/** A service's job has the factory's user read for it, and may name what is its own alone. */
async function keepInside(
  { locate, within }: Upload,
  scan: OutputScan,
  report: (error: string) => Promise<void>,
): Promise<OutputScan> {
  if (within === undefined) return scan;
  const roots = await Promise.all(within.map((root) => realpath(root).catch(() => root)));
  const files: OutputFile[] = [];
  for (const file of scan.files) {
    const real = await realpath(locate?.(file.path) ?? file.path).catch(() => "");
    if (roots.some((root) => real.startsWith(`${root}/`))) files.push(file);
    else await report(`file ${debugText(file.path)} is not in the job's own directories`);
  }
  return { ...scan, files };
}

async function addWanted({ locate, wanted = [] }: Upload, scan: OutputScan): Promise<OutputScan> {
  const files = [...scan.files];
  for (const path of wanted) {
    const found = await stat(locate?.(path) ?? path).catch(() => null);
    if (found?.isFile() !== true || files.some((file) => file.path === path)) continue;
    files.push({ path, sizeBytes: found.size });
  }
  return { ...scan, files, mayChange: (path) => wanted.includes(path) || scan.mayChange(path) };
}

type Failure = { error: string } | { warning: string };

async function uploadFile(upload: Upload, file: OutputFile, scan: OutputScan): Promise<Failure | null> {
  const { api, calls, job, put } = upload;
  const named = debugText(file.path);
  await put("worker", `uploading: ${file.path} (${file.sizeBytes} bytes)`);
  const quota = await calls.insist("quota", "ends the job", () => api.quota(job.id));
  if (!quota.ok) return { error: `file ${named}: ${quota.message}` };
  const most = quota.value.max_bytes_per_output;
  const tooLarge = (bytes: number): Failure => {
    const limit = `larger than the maximum output size of ${most} bytes and cannot be uploaded at this time.`;
    return { error: `file ${named} is ${bytes} bytes in size, which is ${limit}` };
  };
  if (file.sizeBytes > most) return tooLarge(file.sizeBytes);
  const mayChange = scan.mayChange(file.path);
  const handle = await openOutput(upload.locate?.(file.path) ?? file.path);
  if ("error" in handle) {
    const isGone = errorCode(handle.error) === "ENOENT";
    if (mayChange && isGone) return { warning: `file ${named} disappeared between scan and upload` };
    return { error: `open ${named} failed: ${debugOsError(handle.error)}` };
  }
  try {
    // A file that grows faster than it is sent ends here too.
    const sent = await uploadChunks(upload, handle, most);
    if ("readError" in sent) return { error: `read ${named} failed: ${debugOsError(sent.readError)}` };
    if ("refusal" in sent) return { error: `file ${named}: ${sent.refusal}` };
    if (sent.bytes !== file.sizeBytes) {
      const change = `file ${named} changed size mid upload: ${file.sizeBytes} -> ${sent.bytes}`;
      if (!mayChange) return { error: change };
      await put("worker", `upload warning: ${change}`);
      if (sent.bytes > most) return tooLarge(sent.bytes);
    }
    return await commit(upload, file.path, sent);
  } finally {
    await handle.close();
  }
}

/** Anything but a regular file is an error: it was one when it was found, and a pipe would be read for ever. */
async function openOutput(path: string): Promise<FileHandle | { error: unknown }> {
  try {
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if ((await handle.stat()).isFile()) return handle;
    await handle.close();
    return { error: new Error("it is not a regular file any more") };
  } catch (error) {
    return { error };
  }
}

interface Sent {
  bytes: number;
  chunks: string[];
}

async function uploadChunks(
  { api, calls, job }: Upload,
  file: FileHandle,
  mostBytes: number,
): Promise<Sent | { readError: unknown } | { refusal: string }> {
  const sent: Sent = { bytes: 0, chunks: [] };
  while (sent.bytes <= mostBytes) {
    const chunk = await readChunk(file, sent.bytes);
    if ("readError" in chunk) return chunk;
    if (chunk.byteLength === 0) break;
    const stored = await calls.insist("chunk", "ends the job", () => api.chunk(job.id, chunk));
    if (!stored.ok) return { refusal: stored.message };
    sent.chunks.push(stored.value.id);
    sent.bytes += chunk.byteLength;
    if (chunk.byteLength < chunkBytes) break;
  }
  return sent;
}

/** A whole chunk, or what is left of the file. */
async function readChunk(
  file: FileHandle,
  position: number,
): Promise<Uint8Array<ArrayBuffer> | { readError: unknown }> {
  const buffer = new Uint8Array(chunkBytes);
  let length = 0;
  try {
    while (length < chunkBytes) {
      const { bytesRead } = await file.read(buffer, length, chunkBytes - length, position + length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
  } catch (readError) {
    return { readError };
  }
  return buffer.subarray(0, length);
}

/** What the server says of a second file of one name. */
const storedBefore = /UNIQUE constraint failed: job_output\./;

async function commit(
  { api, calls, clock, createUlid, job, isResumed = false }: Upload,
  path: string,
  { bytes, chunks }: Sent,
): Promise<Failure | null> {
  const output = { path, size: bytes, chunks, commit_id: createUlid() };
  for (let polls = 0; ; polls += 1) {
    const answer: Answer<Commit> = await calls.insist("output", "ends the job", () =>
      api.output(job.id, output),
    );
    if (!answer.ok) return { error: answer.message };
    const { complete: isComplete, error } = answer.value;
    if (isComplete) return error === null || (isResumed && storedBefore.test(error)) ? null : { error };
    await clock.sleep(commitPollsMs[Math.min(polls, commitPollsMs.length - 1)] as number, calls.signal);
  }
}
