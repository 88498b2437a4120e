/** Stored bytes as a reply, whole or in part (lib/devserver/README.md "Files as bytes"). */
import type { Exchange } from "../model/exchange.ts";
import type { StoredFile } from "../model/state.ts";

export function fileReply({ headers }: Exchange, { bytes }: StoredFile): Response {
  const asked = headers.get("range");
  const range = asked === null ? { start: 0, end: bytes.size } : parseRange(asked, bytes.size);
  if (range === null) {
    return new Response(null, { status: 416, headers: { "content-range": `bytes */${bytes.size}` } });
  }
  const { start, end } = range;
  return new Response(bytes.slice(start, end), {
    status: asked === null ? 200 : 206,
    headers: {
      "content-type": "application/octet-stream",
      "accept-ranges": "bytes",
      ...(asked !== null && { "content-range": `bytes ${start}-${end - 1}/${bytes.size}` }),
    },
  });
}

/** One range, from `start` up to, not including, `end`; null if it is not a range, or outside of these bytes. */
export function parseRange(asked: string, size: number): { start: number; end: number } | null {
  const match = /^bytes=(\d*)-(\d*)$/.exec(asked.trim());
  const [, first = "", last = ""] = match ?? [];
  if (match === null || (first === "" && last === "")) return null;
  const start = first === "" ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === "" || last === "" ? size : Math.min(size, Number(last) + 1);
  return start < end ? { start, end } : null;
}
