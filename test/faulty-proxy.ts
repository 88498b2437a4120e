/** Stands between the factory and the server, and does to a call what a network can do to it. */
export type Fate =
  | "pass"
  /** The connection breaks before the server sees the call. */
  | "refuse"
  /** The server does it, and the answer is lost. */
  | "lose answer"
  /** A gateway answers in the server's place. */
  | "bad gateway";

export interface FaultyProxy {
  url: string;
  /** Decides the fate of each call: method and path, as in `POST /0/factory/worker`. */
  fate: (call: string) => Fate;
  /** All calls so far. */
  calls: string[];
  stop(): Promise<void>;
}

export function startFaultyProxy(serverUrl: string): FaultyProxy {
  const proxy: FaultyProxy = { url: "", fate: () => "pass", calls: [], stop: () => server.stop(true) };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 60,
    fetch: async (request) => {
      const url = new URL(request.url);
      const call = `${request.method} ${url.pathname}`;
      proxy.calls.push(call);
      const fate = proxy.fate(call);
      if (fate === "bad gateway") return new Response("<html>bad gateway</html>", { status: 502 });
      if (fate === "refuse") return broken();
      const reply = await fetch(`${serverUrl}${url.pathname}${url.search}`, {
        method: request.method,
        headers: request.headers,
        ...(request.method === "GET" ? {} : { body: await request.arrayBuffer() }),
      });
      const body = await reply.arrayBuffer();
      if (fate === "lose answer") return broken();
      const headers = new Headers(reply.headers);
      headers.delete("content-length");
      return new Response(reply.status === 204 ? null : body, { status: reply.status, headers });
    },
  });
  proxy.url = `http://127.0.0.1:${server.port}`;
  return proxy;
}

/** A reply whose body breaks off: the client has no answer that it can use. */
function broken(): Response {
  return new Response(
    new ReadableStream({
      start: (controller) => controller.error(new Error("the connection broke, as the test wanted")),
    }),
  );
}
