/** One HTTP exchange as the calls see it: what was asked, what is answered, and how a call is refused. */
import type { State } from "./state.ts";

/** What is sent back; the server adds the request's id. */
export interface Reply {
  status: number;
  type: string | null;
  body: string | Blob | ReadableStream<Uint8Array> | null;
  headers?: Record<string, string>;
}

export interface Exchange {
  state: State;
  method: string;
  headers: Headers;
  /** The values of the route's `{…}` parts. */
  params: Record<string, string>;
  query: URLSearchParams;
}

export function json(status: number, value: unknown): Reply {
  return { status, type: "application/json", body: JSON.stringify(value) };
}

export const nothing: Reply = { status: 204, type: null, body: null };

/** Thrown by a call that is refused. */
export class Refusal extends Error {
  readonly status: number;
  readonly code: string | null;

  constructor(status: number, code: string | null, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }

  /** The server's error body, pretty-printed, without the key of a code that is not there. */
  toReply(requestId: string): Reply {
    const code = this.code === null ? {} : { error_code: this.code };
    const body = JSON.stringify({ request_id: requestId, ...code, message: this.message }, null, 2);
    return { status: this.status, type: "application/json", body };
  }
}

export const badRequest = (message: string): Refusal => new Refusal(400, null, message);
export const notAuthorised = (): Refusal => new Refusal(401, null, "not authorised");
export const forbidden = (message: string): Refusal => new Refusal(403, null, message);
export const conflict = (message: string): Refusal => new Refusal(409, "conflict", message);
/** Some conflicts carry no code. */
export const conflictWithoutCode = (message: string): Refusal => new Refusal(409, null, message);
/** A valid id that is nobody's is a conflict with the server, never a 404. */
export const noSuchRow = (): Refusal => conflict("record not found");
export const internalError = (): Refusal => new Refusal(500, "Internal", "Internal Server Error");
