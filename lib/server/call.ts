/**
 * How one call to a buildomat server is made and what its answer can be (lib/server/README.md "Calls to the server").
 * The calls themselves are in factory-side.ts, worker-side.ts and customer.ts.
 */
import type { z } from "zod";
import type { Http, HttpRequest } from "../doors/http.ts";
import { errorText } from "../words/failure.ts";
import type { Secret } from "../words/secret.ts";

export interface Server {
  http: Http;
  /** Scheme, host, port and perhaps a path, without a slash at the end. */
  baseurl: string;
  /** Sent as a bearer token; null if a call needs none. */
  token: Secret | null;
}

/** Why a call returned no value, and what that proves. */
export type Refusal =
  /** It is not known what the server did: it is unreachable, answers 5xx, or its reply does not have the call's form. */
  | "no answer"
  /** 401: a bad token, or a worker that is deleted or associated with something else. */
  | "unauthorised"
  /** 403: it exists and belongs to somebody else. */
  | "forbidden"
  /** 409: it contradicts the server's data, or there is no such row. */
  | "conflict"
  /** Any other 4xx: the call itself is wrong, so a repetition would fail too. */
  | "rejected";

/** `isUnsent`: the request reached nobody, so it was not done. */
export type Answer<T> =
  | { ok: true; value: T }
  | { ok: false; refusal: Refusal; status: number | null; message: string; isUnsent?: true };

export interface Call<T> {
  method: HttpRequest["method"];
  path: string;
  /** Sent as JSON; bytes are sent unchanged. */
  body?: unknown;
  /** The form of the body of a 200 or 201; null for a call whose success is 204. */
  reply: z.ZodType<T> | null;
  timeoutMs?: number;
  signal?: AbortSignal | undefined;
}

/** A whole call, and the longest JSON reply. 8 MiB is some 40,000 workers in one list. */
export const callTimeoutMs = 30_000;
export const maxReplyBytes = 8 * 1024 * 1024;

const unsentCodes = ["ECONNREFUSED", "ENOTFOUND"];

export async function callServer<T>(server: Server, call: Call<T>): Promise<Answer<T>> {
  const reply = await server.http.request(requestFor(server, call));
  if (!reply.ok) {
    const unsent = unsentCodes.includes(reply.code ?? "") ? { isUnsent: true as const } : {};
    return { ok: false, refusal: "no answer", status: null, message: reply.reason, ...unsent };
  }
  const text = new TextDecoder().decode(reply.body);
  if (reply.status < 200 || reply.status > 299) return refused(reply.status, text);
  if (call.reply === null) return { ok: true, value: undefined as T };
  try {
    const parsed = call.reply.safeParse(JSON.parse(text));
    if (parsed.success) return { ok: true, value: parsed.data };
    return unusable(reply.status, parsed.error.issues[0]?.message ?? "wrong form");
  } catch (error) {
    return unusable(reply.status, errorText(error));
  }
}

/** The request of a call, for callers that read the reply's body themselves. */
export function requestFor<T>(server: Server, call: Omit<Call<T>, "reply">): HttpRequest {
  const isBytes = call.body instanceof Uint8Array;
  const headers: Record<string, string> = {};
  if (server.token !== null) headers["authorization"] = `Bearer ${server.token.reveal()}`;
  if (call.body !== undefined) {
    headers["content-type"] = isBytes ? "application/octet-stream" : "application/json";
  }
  return {
    method: call.method,
    url: `${server.baseurl}${call.path}`,
    headers,
    ...(call.body === undefined
      ? {}
      : { body: isBytes ? (call.body as Uint8Array<ArrayBuffer>) : JSON.stringify(call.body) }),
    timeoutMs: call.timeoutMs ?? callTimeoutMs,
    maxBytes: maxReplyBytes,
    ...(call.signal === undefined ? {} : { signal: call.signal }),
  };
}

const longestMessage = 500;

/** The meaning of a status outside 2xx, with the server's own message if it sent one. */
export function refused(status: number, text: string): Answer<never> {
  const said = readMessage(text).slice(0, longestMessage);
  const message = said === "" ? `status ${status}` : said;
  const byStatus: Record<number, Refusal> = { 401: "unauthorised", 403: "forbidden", 409: "conflict" };
  const isFinal = status >= 400 && status <= 499 && status !== 408 && status !== 429;
  return { ok: false, refusal: byStatus[status] ?? (isFinal ? "rejected" : "no answer"), status, message };
}

/** The server's own message, or else the body, unless it is a proxy's page. */
function readMessage(text: string): string {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === "object" && body !== null && "message" in body) return String(body.message);
  } catch {
    // It is not JSON.
  }
  const plain = text.replace(/\p{Cc}+/gu, " ").trim();
  return plain.startsWith("<") ? "" : plain;
}

function unusable(status: number, why: string): Answer<never> {
  return { ok: false, refusal: "no answer", status, message: `the reply cannot be used: ${why}` };
}
