/** An Http door behind which there is only a recording: it answers what was recorded, and keeps what was asked. */
import type { Http, HttpReply, HttpRequest } from "../../lib/doors/http.ts";
import { bytesOf, isDigest, type RecordedLine } from "./recording.ts";

export interface RecordedDoor extends Http {
  asked: HttpRequest[];
}

/** One reply a line, in their order; after the last one, empty lists: the end of pages. */
export function openRecordedDoor(lines: RecordedLine[]): RecordedDoor {
  const asked: HttpRequest[] = [];
  const request = (each: HttpRequest): Promise<HttpReply> => {
    const line = lines[asked.length];
    asked.push(each);
    const headers = new Headers(line?.response_headers ?? {});
    const body = line === undefined ? new TextEncoder().encode("[]") : bodyOf(line);
    return Promise.resolve({ ok: true, status: line?.status ?? 200, headers, body });
  };
  return {
    asked,
    request,
    download: () => Promise.reject(new Error("no client reads a recorded stream")),
  };
}

function bodyOf({ response_body: body }: RecordedLine): Uint8Array<ArrayBuffer> {
  if (isDigest(body)) return bytesOf(body).bytes;
  return new TextEncoder().encode(body === null ? "" : JSON.stringify(body));
}
