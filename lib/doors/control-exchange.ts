/** One HTTP/1.1 exchange as bytes: what control-socket.ts reads and writes. Pure. */

export interface SocketReply {
  status: number;
  /** The media type; plain text if there is none. */
  type?: string;
  headers?: Record<string, string>;
  /** What has no end yet is sent as it comes. */
  body: string | Uint8Array | AsyncIterable<string | Uint8Array>;
}

const most = { headBytes: 16 * 1024, bodyBytes: 64 * 1024 };

/** `more`: it is not whole yet. A reply: it cannot be answered in another way. */
export function readRequest(
  received: Buffer,
): { method: string; url: URL; body: string } | (SocketReply & { body: string }) | "more" {
  const end = received.indexOf("\r\n\r\n");
  if (end > most.headBytes || (end < 0 && received.byteLength > most.headBytes)) {
    return { status: 431, body: `the head is longer than ${most.headBytes} bytes\n` };
  }
  if (end < 0) return "more";
  const [first = "", ...lines] = received.toString("latin1", 0, end).split("\r\n");
  const [, method = "", target = ""] = /^([A-Z]{1,16}) (\/[\x21-\x7e]*) HTTP\/1\.[01]$/.exec(first) ?? [];
  const url = URL.parse(target, "http://control");
  if (url === null || target === "") return { status: 400, body: "not an HTTP/1.1 request\n" };
  if (lines.some((line) => /[\r\n\0]/.test(line))) return { status: 400, body: "not a header of HTTP/1.1\n" };
  const fields = lines.map(fieldOf);
  const valueOf = (name: string): string | undefined => fields.find(([field]) => field === name)?.[1];
  if (valueOf("transfer-encoding") !== undefined) return { status: 411, body: "Content-Length is missing\n" };
  const length = valueOf("content-length") ?? "0";
  if (!/^\d{1,15}$/.test(length)) return { status: 400, body: "Content-Length is not a number\n" };
  const bytes = Number(length);
  if (bytes > most.bodyBytes)
    return { status: 413, body: `the body is longer than ${most.bodyBytes} bytes\n` };
  const body = received.subarray(end + 4);
  if (body.byteLength < bytes) return "more";
  return { method, url, body: body.toString("utf8", 0, bytes) };
}

/** Not by one regular expression: those that skip spaces at both ends try long runs of them again and again. */
function fieldOf(line: string): [name: string, value: string] {
  const [name = ""] = line.split(":", 1);
  return [name.toLowerCase(), line.slice(name.length + 1).trim()];
}

/** `bytes`: of the whole body; null: it comes in parts. */
export function headOf(
  { status, type = "text/plain; charset=utf-8", headers = {} }: SocketReply,
  bytes: number | null,
): Buffer {
  const size = bytes === null ? "Transfer-Encoding: chunked" : `Content-Length: ${bytes}`;
  const own = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  const lines = [`HTTP/1.1 ${status} -`, `Content-Type: ${type}`, "Connection: close", size, ...own];
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`);
}

export function partOf(part: string | Uint8Array): Buffer {
  const bytes = Buffer.from(part);
  return Buffer.concat([Buffer.from(`${bytes.byteLength.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);
}

export const lastPart = Buffer.from("0\r\n\r\n");
