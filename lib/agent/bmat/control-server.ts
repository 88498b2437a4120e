/** The agent's end of the control socket: the only file that listens on it. What the requests do is answers.ts's part. */
import { chmodSync, rmSync } from "node:fs";
import { errorText } from "../../words/failure.ts";
import { AgentError } from "../agent-files.ts";
import { type ControlReply, type ControlRequest, requestSchema } from "./messages.ts";
import type { Caller } from "../job-calls.ts";

/** What the smallest of the systems takes as a socket's path (macOS, illumos), without the final NUL; Linux takes 107. */
const longestPathBytes = 104;
/** The longest that is meant is an environment of 2 MiB, whose characters JSON may escape. */
const longestRequestBytes = 16 * 1024 * 1024;
/** A job may start many bmats at once; it may not have this agent hold any number of requests. */
const mostRequests = 200;

export interface Control {
  close(): void;
}

/** Throws AgentError if it cannot listen. */
export function listenControl({
  path,
  answer,
}: {
  path: string;
  answer: (request: ControlRequest, caller: Caller) => Promise<ControlReply>;
}): Control {
  const bytes = Buffer.byteLength(path);
  if (bytes > longestPathBytes) {
    throw new AgentError(
      `Cannot listen on ${path}: a socket's path has at most ${longestPathBytes} bytes, this has ${bytes}`,
    );
  }
  try {
    rmSync(path, { force: true });
    const listener = Bun.serve({
      unix: path,
      development: false,
      maxRequestBodySize: longestRequestBytes,
      // While the server is away, an answer takes as long as that. By its types Bun has no such limit for a unix socket, but it
      // has one of 10 s, which `server.timeout()` does not change (1.4.5).
      ...({ idleTimeout: 0 } as object),
      fetch: async (request, server) => {
        if (request.method !== "POST") return new Response();
        if (server.pendingRequests > mostRequests) return new Response("too many at once", { status: 503 });
        const payload = requestSchema.safeParse(await request.json().catch(() => null));
        if (!payload.success) return new Response("not a request", { status: 400 });
        return new Response(openAnswer(payload.data, request.signal, answer));
      },
    });
    chmodSync(path, 0o777);
    return {
      close: () => {
        void listener.stop(true);
        rmSync(path, { force: true });
      },
    };
  } catch (error) {
    throw new AgentError(`Cannot listen on ${path}: ${errorText(error)}`, { cause: error });
  }
}

/** `signal` aborts when whoever asked has gone. */
function openAnswer(
  request: ControlRequest,
  signal: AbortSignal,
  answer: Parameters<typeof listenControl>[0]["answer"],
): ReadableStream {
  return new ReadableStream({
    start: async (out) => {
      const say = (line: unknown): void => {
        if (!signal.aborted) out.enqueue(`${JSON.stringify(line)}\n`);
      };
      say(await answer(request, { signal, retrying: (why) => say({ Retrying: why }) }));
      if (!signal.aborted) out.close();
    },
  });
}
