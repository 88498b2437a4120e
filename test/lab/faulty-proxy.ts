/** Stands between the factory and the server, and does to a call what a network can do to it. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Fate =
  | "pass"
  /** The connection breaks before the server sees the call. */
  | "refuse"
  /** The server does it, and the connection breaks before the answer. */
  | "lose answer"
  /** A gateway answers in the server's place. */
  | "bad gateway"
  /** A cache answers in the server's place: there is nothing. */
  | "empty list";

export interface FaultyProxy {
  url: string;
  /** Decides the fate of each call: method and path, as in `POST /0/factory/worker`. */
  fate: (call: string) => Fate;
  /** All calls so far. */
  calls: string[];
  /** The job of each lease that was given. */
  leased: string[];
  stop(): Promise<void>;
}

export async function startFaultyProxy(serverUrl: string): Promise<FaultyProxy> {
  const server = createServer((request, response) => {
    handle(request, response).catch(() => request.socket.destroy());
  });
  // As long as the real server; a shorter time would break a connection just as the factory uses it again.
  server.keepAliveTimeout = 30_000;
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  const proxy: FaultyProxy = {
    url: `http://127.0.0.1:${port}`,
    fate: () => "pass",
    calls: [],
    leased: [],
    stop: async () => {
      server.closeAllConnections();
      await new Promise<void>((closed) => server.close(() => closed()));
    },
  };

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "GET", url = "/" } = request;
    const call = `${method} ${url.replace(/\?.*/, "")}`;
    const fate = proxy.fate(call);
    proxy.calls.push(call);
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    if (fate === "refuse") return void request.socket.destroy();
    if (fate === "bad gateway") return void response.writeHead(502).end("<html>bad gateway</html>");
    if (fate === "empty list") {
      return void response.writeHead(200, { "content-type": "application/json" }).end("[]");
    }
    const headers = new Headers();
    for (const name of ["authorization", "content-type", "range"]) {
      const value = request.headers[name];
      if (typeof value === "string") headers.set(name, value);
    }
    const hasBody = method !== "GET" && parts.length > 0;
    const reply = await fetch(`${serverUrl}${url}`, {
      method,
      headers,
      ...(hasBody ? { body: Buffer.concat(parts) } : {}),
    });
    const body = Buffer.from(await reply.arrayBuffer());
    if (call === "POST /0/factory/lease" && reply.ok) {
      const { lease } = JSON.parse(body.toString()) as { lease: { job: string } | null };
      if (lease !== null) proxy.leased.push(lease.job);
    }
    if (fate === "lose answer") return void request.socket.destroy();
    response.writeHead(reply.status, Object.fromEntries(reply.headers)).end(body);
  }

  return proxy;
}
