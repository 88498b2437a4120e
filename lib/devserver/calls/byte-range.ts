/** Stored bytes as a reply, whole or in part (lib/devserver/README.md "Files as bytes"). */
import type { Exchange, Reply } from "../model/exchange.ts";
import type { StoredFile } from "../model/state.ts";

const type = "application/octet-stream";

/** The answer to a GET or HEAD of a file. */
export function fileReply({ method, headers }: Exchange, file: StoredFile): Reply {
  const asked = headers.get("range");
  if (asked === null) {
    return {
      status: 200,
      type,
      headers: { "accept-ranges": "bytes", "content-length": String(file.size) },
      body: method === "HEAD" ? null : bytesBetween(file, 0, file.size),
    };
  }
  const range = parseRange(asked, file.size);
  if (range === null) {
    return { status: 416, type: null, headers: { "content-range": `bytes */${file.size}` }, body: null };
  }
  return {
    status: 206,
    type,
    headers: {
      "accept-ranges": "bytes",
      "content-length": String(range.end - range.start),
      "content-range": `bytes ${range.start}-${range.end - 1}/${file.size}`,
    },
    body: method === "HEAD" ? null : bytesBetween(file, range.start, range.end),
  };
}

/** One range, from `start` up to, not including, `end`; null where it is none, or none of these bytes is in it. */
export function parseRange(asked: string, size: number): { start: number; end: number } | null {
  const match = /^bytes=(\d*)-(\d*)$/.exec(asked.trim());
  const [, first = "", last = ""] = match ?? [];
  if (match === null || (first === "" && last === "")) return null;
  const start = first === "" ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === "" || last === "" ? size : Math.min(size, Number(last) + 1);
  return start < end ? { start, end } : null;
}

/** Copies of the asked bytes alone: the runtime sends a length only with a body that it has whole. */
function bytesBetween(file: StoredFile, start: number, end: number): Blob {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let offset = 0;
  for (const chunk of file.chunks) {
    const part = chunk.subarray(Math.max(0, start - offset), Math.max(0, end - offset));
    offset += chunk.byteLength;
    if (part.byteLength > 0) parts.push(part);
  }
  return new Blob(parts);
}
