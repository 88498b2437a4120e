/**
 * The door of the port on which the page and the metrics are shown: GET and HEAD alone, and nothing of this host changes by it. It
 * knows nothing of what is shown.
 */
import { hostname } from "node:os";

export interface WebRequest {
  url: URL;
  headers: Headers;
  /** Aborts when the asker has gone. */
  signal: AbortSignal;
}

export interface WebReply {
  status: number;
  type: string;
  body: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;
  headers?: Record<string, string>;
}

export interface WebListenerOptions {
  host: string;
  /** 0: any that is free. */
  port: number;
  /** Names by which others reach this host, beside its own name and its addresses. */
  hosts: readonly string[];
  answer(request: WebRequest): WebReply | Promise<WebReply>;
  /** An answer that failed. */
  onFault(error: unknown): void;
}

const most = {
  /** Askers at once, those who only watch included. */
  askers: 512,
  bodyBytes: 1_024,
};

/** For every answer: no page of another site may read, frame or feed this one. */
const headers = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "cache-control": "no-store",
};

/** Throws an Error if it cannot listen. */
export function openWebListener(options: WebListenerOptions): { url: string; close(): void } {
  const names = new Set(["localhost", hostname(), ...options.hosts].map((name) => name.toLowerCase()));
  const listener = Bun.serve({
    hostname: options.host,
    port: options.port,
    development: false,
    maxRequestBodySize: most.bodyBytes,
    // Of a connection on which nothing moves. What watches gets a word now and then.
    idleTimeout: 60,
    fetch: async (request, server) => {
      const refuse = (status: number, text: string): Response =>
        new Response(`${text}\n`, { status, headers: { ...headers, "content-type": "text/plain" } });
      if (request.method !== "GET" && request.method !== "HEAD") return refuse(405, "only GET and HEAD");
      if (server.pendingRequests > most.askers) return refuse(503, "too many at once");
      const url = URL.parse(request.url);
      if (url === null || !isOurs(url.hostname, names)) {
        return refuse(421, "this host has no such name: web.hosts can name it");
      }
      try {
        const reply = await options.answer({ url, headers: request.headers, signal: request.signal });
        const isBodyWanted = request.method !== "HEAD";
        // What has no end would be made for nobody.
        if (!isBodyWanted && reply.body instanceof ReadableStream) await reply.body.cancel();
        return new Response(isBodyWanted ? reply.body : null, {
          status: reply.status,
          headers: { ...headers, "content-type": reply.type, ...reply.headers },
        });
      } catch (error) {
        options.onFault(error);
        return refuse(500, "a fault of this program's own: see its log");
      }
    },
  });
  const shown = options.host.includes(":") ? `[${options.host}]` : options.host;
  return {
    url: `http://${shown}:${listener.port}/`,
    close: () => void listener.stop(true),
  };
}

/** A site that leads its own name to this address could else read all of it. An address cannot be led anywhere. */
function isOurs(name: string, names: ReadonlySet<string>): boolean {
  return names.has(name.toLowerCase()) || /^(?:\d+\.\d+\.\d+\.\d+|\[[0-9a-f:.]+\])$/i.test(name);
}
