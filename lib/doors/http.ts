/**
 * The network's door: one HTTP exchange at a time, with bounds on time and size. It knows no server's interface.
 */
import type { Clock } from "./clock.ts";

export interface HttpRequest {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  url: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array<ArrayBuffer>;
  /** Limit for the whole exchange, including the last byte. */
  timeoutMs: number;
  /** Decoded bytes of the reply's body; a longer one is a failure and the connection is dropped. */
  maxBytes: number;
  signal?: AbortSignal;
  /** The path of the socket that the server listens on; the URL's host is then only a name. */
  unix?: string;
}

export interface HttpReply {
  ok: true;
  status: number;
  headers: Headers;
  body: Uint8Array<ArrayBuffer>;
}

/** No reply that can be used: whether the server did what was asked is unknown. */
export interface HttpFailure {
  ok: false;
  reason: string;
  /** The system's or TLS's own word for it, as in `ECONNREFUSED`, if there is one; `ETIMEDOUT` for our own deadline, too. */
  code?: string;
}

export interface HttpDownload {
  ok: true;
  status: number;
  headers: Headers;
  /** The body's parts, in order; throws an Error when the connection breaks, the time is up or it is too long. */
  parts: AsyncIterable<Uint8Array<ArrayBuffer>>;
}

export interface Http {
  request(request: HttpRequest): Promise<HttpReply | HttpFailure>;
  /** As `request`, for a body that must not be held in memory whole. */
  download(request: HttpRequest): Promise<HttpDownload | HttpFailure>;
}

/**
 * The buildomat server closes a connection that was idle for 30 s (lib/server/README.md "Calls to the server"); ours are not
 * reused after 25.
 */
const reuseWithinMs = 25_000;

export function openHttp({ clock }: { clock: Clock }): Http {
  const lastUsed = new Map<string, number>();

  async function download(request: HttpRequest): Promise<HttpDownload | HttpFailure> {
    const deadline = clock.deadline(request.timeoutMs);
    const signals = request.signal === undefined ? [] : [request.signal];
    const signal = AbortSignal.any([deadline.signal, ...signals]);
    try {
      const origin = new URL(request.url).origin;
      const idleMs = clock.uptimeMs() - (lastUsed.get(origin) ?? Number.NEGATIVE_INFINITY);
      lastUsed.set(origin, clock.uptimeMs());
      const response = await fetch(request.url, {
        method: request.method,
        ...(request.headers === undefined ? {} : { headers: request.headers }),
        ...(request.body === undefined ? {} : { body: request.body }),
        // A redirect is a reply like any other: following it would hand the token to whoever it names.
        redirect: "manual",
        ...(request.unix === undefined ? {} : { unix: request.unix }),
        keepalive: idleMs < reuseWithinMs,
        signal,
      });
      return {
        ok: true,
        status: response.status,
        headers: response.headers,
        parts: readParts(response, request, deadline, signal),
      };
    } catch (error) {
      deadline.release();
      return failureOf(error, request, deadline.signal);
    }
  }

  async function request(wanted: HttpRequest): Promise<HttpReply | HttpFailure> {
    const reply = await download(wanted);
    if (!reply.ok) return reply;
    try {
      const parts: Uint8Array[] = [];
      for await (const part of reply.parts) parts.push(part);
      const body = new Uint8Array(Buffer.concat(parts));
      return { ok: true, status: reply.status, headers: reply.headers, body };
    } catch (error) {
      return error instanceof BrokenOff ? error.failure : { ok: false, reason: String(error) };
    }
  }

  return { request, download };
}

async function* readParts(
  response: Response,
  request: HttpRequest,
  deadline: ReturnType<Clock["deadline"]>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let received = 0;
  const reader = response.body?.getReader();
  try {
    while (reader !== undefined) {
      signal.throwIfAborted();
      const { done, value } = await reader.read();
      if (done) break;
      received += value.byteLength;
      if (received > request.maxBytes) {
        throw new Error(`the reply is longer than ${request.maxBytes} bytes`);
      }
      yield new Uint8Array(value);
    }
  } catch (error) {
    throw new BrokenOff(failureOf(error, request, deadline.signal), { cause: error });
  } finally {
    deadline.release();
    await reader?.cancel().catch(() => undefined);
  }
}

/** A reply that ended before its body did. */
class BrokenOff extends Error {
  readonly failure: HttpFailure;
  constructor(failure: HttpFailure, options: ErrorOptions) {
    super(failure.reason, options);
    this.failure = failure;
  }
}

function failureOf(error: unknown, request: HttpRequest, deadline: AbortSignal): HttpFailure {
  const late = `no full reply within ${request.timeoutMs / 1000} s`;
  if (deadline.aborted) return { ok: false, reason: late, code: "ETIMEDOUT" };
  if (request.signal?.aborted === true) return { ok: false, reason: "cancelled" };
  const text = error instanceof Error ? error.message : String(error);
  const code = error instanceof Error && "code" in error ? { code: String(error.code) } : {};
  // Bun's advice for programmers does not help an operator.
  const advice = / For more information, pass `verbose: true`.*| Is the computer able to access the url\?/;
  return { ok: false, reason: text.replace(advice, ""), ...code };
}
