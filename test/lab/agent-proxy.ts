/** Stands between an agent and the server: notes calls, loses or refuses them, or changes what is said. */
export type Fate =
  | "pass"
  /** The server does it, and the answer is lost. */
  | "lose answer"
  /** A gateway answers in the server's place. */
  | "bad gateway"
  /** The status, with an error of the server's form. */
  | number;

export interface AgentProxy {
  url: string;
  /** All calls so far, as in `POST /0/worker/bootstrap`. */
  calls: string[];
  /** Back to passing everything. */
  reset(): void;
  fate: (call: string, body: string) => Fate;
  rewriteReply: (call: string, body: string) => string;
  stop(): Promise<void>;
}

export function startAgentProxy(serverUrl: string): AgentProxy {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 60,
    fetch: async (request) => {
      const url = new URL(request.url);
      const call = `${request.method} ${url.pathname}`;
      proxy.calls.push(call);
      const sent = await request.arrayBuffer();
      const fate = proxy.fate(call, new TextDecoder().decode(sent.slice(0, 2_000_000)));
      if (typeof fate === "number") return Response.json({ message: "the test refuses" }, { status: fate });
      if (fate === "bad gateway") return badGateway();
      const reply = await fetch(`${serverUrl}${url.pathname}${url.search}`, {
        method: request.method,
        headers: request.headers,
        ...(request.method === "GET" ? {} : { body: sent }),
      });
      const bytes = await reply.arrayBuffer();
      if (fate === "lose answer") return badGateway();
      const headers = new Headers(reply.headers);
      headers.delete("content-length");
      if (reply.status === 204) return new Response(null, { status: 204, headers });
      const isJson = headers.get("content-type") === "application/json";
      const body = isJson ? proxy.rewriteReply(call, new TextDecoder().decode(bytes)) : bytes;
      return new Response(body, { status: reply.status, headers });
    },
  });
  const proxy: AgentProxy = {
    url: `http://127.0.0.1:${server.port}`,
    calls: [],
    reset: () => {
      proxy.fate = () => "pass";
      proxy.rewriteReply = (_, body) => body;
    },
    fate: () => "pass",
    rewriteReply: (_, body) => body,
    stop: () => server.stop(true),
  };
  return proxy;
}

function badGateway(): Response {
  return new Response("<html>bad gateway</html>", { status: 502 });
}
