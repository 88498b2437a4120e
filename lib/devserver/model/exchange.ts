/** One HTTP exchange as the calls see it: what was asked, what is answered, and how a call is refused. */
import type { State } from "./state.ts";

export interface Exchange {
  state: State;
  headers: Headers;
  /** The values of the route's `{…}` parts. */
  params: Record<string, string>;
  query: URLSearchParams;
}

export function json(status: number, value: unknown, indent = 0): Response {
  return new Response(JSON.stringify(value, null, indent), {
    status,
    headers: { "content-type": "application/json" },
  });
}

export const created = (value: unknown): Response => json(201, value);

/** Thrown by a call that is refused. */
export class RefusedCall extends Error {
  readonly status: number;
  readonly code: string | undefined;

  constructor(status: number, code: string | undefined, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }

  /** The server's error body is indented, and has no `error_code` if there is none. */
  toResponse(requestId: string): Response {
    return json(this.status, { request_id: requestId, error_code: this.code, message: this.message }, 2);
  }
}

export const badRequest = (message: string): RefusedCall => new RefusedCall(400, undefined, message);
export const notAuthorised = (): RefusedCall => new RefusedCall(401, undefined, "not authorised");
export const forbidden = (message: string): RefusedCall => new RefusedCall(403, undefined, message);
export const conflict = (message: string): RefusedCall => new RefusedCall(409, "conflict", message);
/** Some conflicts carry no code. */
export const conflictWithoutCode = (message: string): RefusedCall => new RefusedCall(409, undefined, message);
/** A well-formed id that does not exist is a conflict for the server, never a 404. */
export const noSuchRow = (): RefusedCall => conflict("record not found");
export const internalError = (): RefusedCall => new RefusedCall(500, "Internal", "Internal Server Error");
