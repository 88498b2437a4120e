/** The agent's end of the control socket: the only file that listens on it. What the requests do is job-control.ts's part. */
import { chmodSync, rmSync } from "node:fs";
import { errorText } from "../../words/failure.ts";
import type { Log } from "../../words/logger.ts";
import { AgentError } from "../agent-files.ts";
import {
  type ControlReply,
  type ControlRequest,
  createFrameReader,
  encodeFrame,
  type Message,
  requestSchema,
} from "./frames.ts";
import type { Caller } from "../job-calls.ts";

interface Connection {
  read(bytes: Uint8Array): Message<ControlRequest>[];
  /** Replies that the socket has not taken yet. */
  unsent: Uint8Array[];
  /** Aborts when the connection is closed. */
  gone: AbortController;
}

/** What the smallest of the systems takes as a socket's path (macOS, illumos), without the final NUL; Linux takes 107. */
const longestPathBytes = 104;

/** A job may start many bmats at once; it may not have this agent hold any number of sockets. */
const mostConnections = 200;

export interface Control {
  close(): void;
}

/** Answers requests in the order in which their answers come. Throws AgentError where it cannot listen. */
export function listenControl({
  path,
  answer,
  log,
}: {
  path: string;
  answer: (request: ControlRequest, caller: Caller) => Promise<ControlReply>;
  log: Log;
}): Control {
  const bytes = Buffer.byteLength(path);
  if (bytes > longestPathBytes) {
    throw new AgentError(
      `Cannot listen on ${path}: a socket's path has at most ${longestPathBytes} bytes, this has ${bytes}`,
    );
  }
  let connections = 0;
  try {
    rmSync(path, { force: true });
    const listener = Bun.listen<Connection>({
      unix: path,
      socket: {
        open: (socket) => {
          socket.data = { read: createFrameReader(requestSchema), unsent: [], gone: new AbortController() };
          connections += 1;
          if (connections > mostConnections) socket.end();
        },
        data: (socket, part) => {
          const reply = async ({ id, payload, progress }: Message<ControlRequest>): Promise<void> => {
            let wantsProgress = progress === true;
            const retrying = (why: string): void => {
              // Once.
              if (wantsProgress) send(socket, encodeFrame({ id, payload: { Retrying: why } }));
              wantsProgress = false;
            };
            const { signal } = socket.data.gone;
            send(socket, encodeFrame({ id, payload: await answer(payload, { signal, retrying }) }));
          };
          try {
            for (const message of socket.data.read(part)) void reply(message);
          } catch (error) {
            log.warn(`bmat: the connection is closed: ${errorText(error).slice(0, 200)}`);
            socket.end();
          }
        },
        drain: (socket) => flush(socket),
        close: (socket) => {
          connections -= 1;
          socket.data.gone.abort();
        },
        error: (_, error) => log.warn(`bmat: ${error.message}`),
      },
    });
    chmodSync(path, 0o777);
    return {
      close: () => {
        listener.stop(true);
        rmSync(path, { force: true });
      },
    };
  } catch (error) {
    throw new AgentError(`Cannot listen on ${path}: ${errorText(error)}`, { cause: error });
  }
}

type Socket = Bun.Socket<Connection>;

function send(socket: Socket, frame: Uint8Array): void {
  socket.data.unsent.push(frame);
  flush(socket);
}

/** A socket takes what it has room for; `drain` says when there is more. */
function flush(socket: Socket): void {
  const { unsent, gone } = socket.data;
  while (!gone.signal.aborted && unsent[0] !== undefined) {
    const taken = Math.max(socket.write(unsent[0]), 0);
    if (taken < unsent[0].byteLength) {
      unsent[0] = unsent[0].subarray(taken);
      return;
    }
    unsent.shift();
  }
}
