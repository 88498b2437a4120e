/**
 * The door of a unix socket on which this program answers: HTTP/1.1, one request a connection, all of it bounded. It says who
 * asks, and knows nothing of what is asked. `Bun.listen` and not its HTTP server, because only there is the descriptor known.
 */
import { chmodSync, chownSync, lstatSync, mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "./clock.ts";
import { openPeers, type Peer } from "./peer.ts";
import { type SocketReply, headOf, partOf, lastPart, readRequest } from "./control-exchange.ts";

export interface SocketRequest {
  method: string;
  url: URL;
  body: string;
  peer: Peer;
  /** Aborts when the asker has gone. */
  signal: AbortSignal;
}

export interface ControlSocketOptions {
  /** Its directory is made; only this user may enter that, and `gid`. */
  path: string;
  /** A group that may ask as well; null: one that the directory was given by an administrator, if any. */
  gid: number | null;
  clock: Pick<Clock, "deadline" | "sleep">;
  /** What it throws is this program's own fault; the asker is answered with 500. */
  answer(request: SocketRequest): Promise<SocketReply>;
  /** An answer that failed. */
  onFault(error: unknown): void;
}

const most = {
  connections: 64,
  /** Of a request: all that has come is looked through at each. */
  pieces: 256,
  /** For the whole request, */
  sendMs: 10_000,
  /** and for taking any of what is answered. */
  takeMs: 30_000,
  /** What was asked before the end is answered within this. */
  endMs: 1_000,
};

interface Connection {
  received: Buffer;
  pieces: number;
  isAsked: boolean;
  gone: AbortController;
  /** The time that the asker has to send. */
  deadline: ReturnType<Clock["deadline"]>;
  drained: (() => void) | null;
}

type Socket = Bun.Socket<Connection>;

/** Throws an Error if there can be none. A long path is fine: the runtime goes through its directory's descriptor. */
export async function openControlSocket(options: ControlSocketOptions): Promise<{ close(): Promise<void> }> {
  const { path, clock } = options;
  const peers = openPeers();
  const open = new Set<Socket>();
  const answering = new Set<Promise<void>>();
  const access = prepareDirectory(dirname(path), options.gid);
  await removeStale(path);
  const listener = Bun.listen<Connection>({
    unix: path,
    socket: {
      open: (socket) => {
        const deadline = clock.deadline(most.sendMs);
        socket.data = {
          received: Buffer.alloc(0),
          pieces: 0,
          isAsked: false,
          gone: new AbortController(),
          deadline,
          drained: null,
        };
        if (open.size >= most.connections) return socket.terminate();
        open.add(socket);
        deadline.signal.addEventListener("abort", () => socket.terminate(), { once: true });
      },
      data: (socket, bytes) => {
        const { data } = socket;
        if (data.isAsked) return;
        data.received = Buffer.concat([data.received, bytes]);
        data.pieces += 1;
        const whole = readRequest(data.received);
        if (whole === "more" && data.pieces < most.pieces) return;
        const read = whole === "more" ? { status: 400, body: "the request is in too many pieces\n" } : whole;
        data.isAsked = true;
        data.deadline.release();
        const peer = peers(fileOf(socket));
        const failed = (error: unknown): void => {
          if (!data.gone.signal.aborted) options.onFault(error);
          socket.terminate();
        };
        const answered = replyTo(options, read, peer, data.gone.signal)
          .then((reply) => send(socket, reply, clock))
          .catch(failed)
          .finally(() => answering.delete(answered));
        answering.add(answered);
      },
      drain: (socket) => socket.data.drained?.(),
      close: (socket) => {
        open.delete(socket);
        socket.data.deadline.release();
        socket.data.gone.abort();
        socket.data.drained?.();
      },
      error: (socket) => socket.terminate(),
    },
  });
  try {
    if (access.gid !== null) chownSync(path, -1, access.gid);
    chmodSync(path, access.gid === null ? 0o600 : 0o660);
  } catch (error) {
    listener.stop(true);
    throw error;
  }
  return {
    close: async () => {
      listener.stop();
      const late = new AbortController();
      await Promise.race([Promise.all(answering), clock.sleep(most.endMs, late.signal)]);
      late.abort();
      for (const socket of open) socket.terminate();
    },
  };
}

async function replyTo(
  { answer, onFault }: ControlSocketOptions,
  read: Exclude<ReturnType<typeof readRequest>, "more">,
  peer: Peer | null,
  signal: AbortSignal,
): Promise<SocketReply> {
  if ("status" in read) return read;
  if (peer === null) return { status: 403, body: "the kernel does not say who asks\n" };
  try {
    return await answer({ ...read, peer, signal });
  } catch (error) {
    onFault(error);
    return { status: 500, body: "the answer failed; the log says why\n" };
  }
}

/** Bun's types lack it. */
function fileOf(socket: Socket): number {
  return (socket as unknown as { fd: number }).fd;
}

/** Whose the socket is to be. An administrator may give the directory a group of its own, with g+x, and keep it with g+s. */
function prepareDirectory(directory: string, gid: number | null): { gid: number | null } {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const found = lstatSync(directory);
  if (!found.isDirectory()) throw new Error(`${directory} is not a directory`);
  if (found.uid !== process.getuid?.()) throw new Error(`${directory} belongs to another user`);
  const isKept = (found.mode & 0o2010) === 0o2010;
  if (isKept || (gid === null && (found.mode & 0o010) !== 0)) return { gid: found.gid };
  if (gid !== null) chownSync(directory, -1, gid);
  chmodSync(directory, gid === null ? 0o700 : 0o710);
  return { gid };
}

/** A killed program leaves its socket's file behind. Throws if one that lives listens there. */
async function removeStale(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error(`${path} is not a socket`);
  try {
    const socket = await Bun.connect({ unix: path, socket: { data: () => undefined } });
    socket.terminate();
  } catch (error) {
    if ((error as { code?: unknown }).code !== "ECONNREFUSED") throw error;
    rmSync(path);
    return;
  }
  throw new Error(`another program listens on ${path}`);
}

async function send(socket: Socket, reply: SocketReply, clock: Pick<Clock, "deadline">): Promise<void> {
  const { body } = reply;
  const isWhole = typeof body === "string" || body instanceof Uint8Array;
  const whole = isWhole ? Buffer.from(body) : null;
  await write(
    socket,
    Buffer.concat([headOf(reply, whole?.byteLength ?? null), whole ?? Buffer.alloc(0)]),
    clock,
  );
  if (!isWhole) {
    for await (const part of body) {
      if (socket.data.gone.signal.aborted) return;
      // An empty part would be the last.
      if (part.length > 0) await write(socket, partOf(part), clock);
    }
    await write(socket, lastPart, clock);
  }
  socket.end();
}

/** Resolves once the kernel has taken all of it, or the asker has gone. */
async function write(socket: Socket, bytes: Buffer, clock: Pick<Clock, "deadline">): Promise<void> {
  const { data } = socket;
  let rest = bytes;
  while (rest.byteLength > 0 && !data.gone.signal.aborted) {
    const taken = socket.write(rest);
    if (taken < 0) return;
    rest = rest.subarray(taken);
    if (rest.byteLength === 0) return;
    const deadline = clock.deadline(most.takeMs);
    deadline.signal.addEventListener("abort", () => socket.terminate(), { once: true });
    await new Promise<void>((resolve) => (data.drained = resolve));
    deadline.release();
  }
}
