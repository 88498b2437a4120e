/** A static server on loopback that serves a directory, with the faults that a test asks for. */
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { join } from "node:path";

/** The fault of one reply; absent: none. */
export type MirrorFault =
  /** The connection breaks after this many bytes of the body. */
  | { kind: "cut"; afterBytes: number }
  /** Nothing more comes after this many bytes. */
  | { kind: "silent"; afterBytes: number }
  /** So many bytes at a time. */
  | { kind: "slow"; bytesEach: number; everyMs: number }
  /** It never ends, and has no length. */
  | { kind: "endless" }
  /** It is shorter or longer than the file. */
  | { kind: "length"; bytes: number }
  | { kind: "status"; status: number }
  | { kind: "redirect"; to: string }
  /** Other bytes of the same length. */
  | { kind: "garbage" }
  /** Ranges are ignored. */
  | { kind: "whole" };

export interface StaticMirror extends AsyncDisposable {
  url: string;
  /** Paths that were asked for, with the range. */
  asked: string[];
  /** The file of a request, from the directory if null, and its fault. */
  setFault(choose: (path: string, count: number) => MirrorFault | null): void;
}

export async function openStaticMirror(directory: string): Promise<StaticMirror> {
  let choose: (path: string, count: number) => MirrorFault | null = () => null;
  const asked: string[] = [];
  const counts = new Map<string, number>();
  const server = createServer((request, response) => {
    const path = (request.url ?? "/").slice(1);
    const count = (counts.get(path) ?? 0) + 1;
    counts.set(path, count);
    asked.push(`${path} ${request.headers.range ?? ""}`.trim());
    void answer(join(directory, path), request, response, choose(path, count));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    asked,
    setFault: (chosen) => {
      counts.clear();
      choose = chosen;
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

async function answer(
  file: string,
  request: IncomingMessage,
  response: ServerResponse,
  fault: MirrorFault | null,
): Promise<void> {
  if (fault?.kind === "status") return void response.writeHead(fault.status).end();
  if (fault?.kind === "redirect") return void response.writeHead(302, { location: fault.to }).end();
  if (!existsSync(file)) return void response.writeHead(404).end();
  let bytes: Buffer = readFileSync(file);
  if (fault?.kind === "garbage") bytes = Buffer.alloc(bytes.byteLength, 7);
  if (fault?.kind === "length")
    bytes = Buffer.concat([bytes, Buffer.alloc(fault.bytes)]).subarray(0, fault.bytes);
  const from =
    fault?.kind === "whole" ? 0 : Number(/^bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
  const body = bytes.subarray(from);
  const status = from === 0 ? 200 : 206;
  const range =
    from === 0 ? {} : { "content-range": `bytes ${from}-${bytes.byteLength - 1}/${bytes.byteLength}` };
  if (fault?.kind === "endless") {
    response.writeHead(200);
    const more = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(1 << 16)));
    };
    response.on("drain", more);
    more();
    return;
  }
  response.writeHead(status, { ...range, "content-length": body.byteLength });
  if (fault?.kind === "slow") {
    for (let at = 0; at < body.byteLength; at += fault.bytesEach) {
      response.write(body.subarray(at, at + fault.bytesEach));
      await Bun.sleep(fault.everyMs);
    }
    return void response.end();
  }
  if (fault?.kind !== "cut" && fault?.kind !== "silent") return void response.end(body);
  // In pieces, as from a network: a client may lose the piece before the break.
  for (let at = 0; at < fault.afterBytes; at += 100_000) {
    await new Promise((resolve) =>
      response.write(body.subarray(at, Math.min(at + 100_000, fault.afterBytes)), resolve),
    );
  }
  if (fault.kind === "cut") response.socket?.end();
}
