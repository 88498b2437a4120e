/** A job's inputs, fetched one after another in the server's order, each through the disk's door in input-files.ts. */
import type { FileHandle } from "node:fs/promises";
import { type Answer, refused, requestFor, type Server } from "../../server/call.ts";
import { errorText } from "../../words/failure.ts";
import type { PingJob } from "../../server/worker-side.ts";
import { InputError, openInput } from "./input-files.ts";
import type { JobCalls } from "../job-calls.ts";
import { debugText, showOsError } from "../os-error.ts";

/** The real agent's limit for one exchange. */
const downloadTimeoutMs = 3_600_000;

export interface InputDownload {
  job: PingJob;
  server: Server;
  calls: JobCalls;
  inputDirectory: string;
  put(stream: string, payload: string): Promise<void>;
}

/** Whether all are there. If one cannot be had, an event says why. */
export async function downloadInputs(download: InputDownload): Promise<boolean> {
  for (const { name, id } of download.job.inputs) {
    // Whatever directory is used, a job knows it by this path.
    const shown = `/input/${name}`;
    try {
      await download.put("worker", `downloading input: ${shown}`);
      await downloadInput(download, name, id);
      await download.put("worker", `downloaded input: ${shown}`);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      const named = debugText(name.length > 200 ? `${name.slice(0, 200)}…` : name);
      await download.put("worker", `input error: cannot write input ${named}: ${error.message}`);
      return false;
    }
  }
  return true;
}

async function downloadInput(download: InputDownload, name: string, id: string): Promise<void> {
  const { calls, job, server } = download;
  const path = `/0/worker/job/${encodeURIComponent(job.id)}/inputs/${encodeURIComponent(id)}`;
  const answer = await calls.insist(`input ${id}`, "is an answer", () =>
    fetchInput(download, name, {
      ...requestFor(server, { method: "GET", path, timeoutMs: downloadTimeoutMs }),
      maxBytes: Number.MAX_SAFE_INTEGER,
    }),
  );
  if (!answer.ok) throw new InputError(`the server does not give it: ${answer.message}`);
}

/** One attempt, from the first byte. A broken connection is an answer, a disk that refuses is an InputError. */
async function fetchInput(
  { server, inputDirectory }: InputDownload,
  name: string,
  request: ReturnType<typeof requestFor>,
): Promise<Answer<void>> {
  // The name is judged before the server is asked, and the file is new for each attempt.
  const file = await openInput(inputDirectory, name);
  let parts: AsyncIterator<Uint8Array> | null = null;
  try {
    const reply = await server.http.download(request);
    if (!reply.ok) return noAnswer(reply.reason);
    if (reply.status !== 200) return refused(reply.status, await readMessage(reply.parts));
    parts = reply.parts[Symbol.asyncIterator]();
    let received = 0;
    for (;;) {
      const next = await parts.next().catch((error: unknown) => noAnswer(errorText(error)));
      if ("ok" in next) return next;
      if (next.done === true) break;
      received += next.value.byteLength;
      await writeAll(file, next.value);
    }
    const expected = reply.headers.get("content-length");
    const isCompressed = reply.headers.has("content-encoding");
    if (expected !== null && !isCompressed && Number(expected) !== received) {
      return noAnswer(`${received} of ${expected} bytes came`);
    }
    return { ok: true, value: undefined };
  } finally {
    // If the disk refused, the connection would stay open until its time is up.
    await parts?.return?.();
    await file.close();
  }
}

function noAnswer(message: string): Answer<never> {
  return { ok: false, refusal: "no answer", status: null, message };
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  try {
    for (let written = 0; written < bytes.byteLength;) {
      written += (await file.write(bytes, written)).bytesWritten;
    }
  } catch (error) {
    throw new InputError(showOsError(error), { cause: error });
  }
}

async function readMessage(parts: AsyncIterable<Uint8Array>): Promise<string> {
  const kept: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const part of parts) {
      kept.push(part);
      length += part.byteLength;
      if (length > 64 * 1024) break;
    }
  } catch {
    // The status has to do.
  }
  return Buffer.concat(kept).toString("utf8");
}
