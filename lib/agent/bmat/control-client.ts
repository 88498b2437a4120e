/** bmat's end of the control socket: one request after another. */
import {
  type ControlReply,
  type ControlRequest,
  createFrameReader,
  encodeFrame,
  replySchema,
} from "./frames.ts";
import { showOsError } from "../os-error.ts";

export interface ControlClient {
  /** Rejects when the agent goes away or says what is no reply. */
  request(payload: ControlRequest): Promise<ControlReply>;
  close(): void;
}

interface Waiting {
  id: number;
  resolve(reply: ControlReply): void;
  reject(error: Error): void;
}

/** `retrying` is called when the agent makes a call to the server again. Rejects with the operating system's words where nobody listens. */
export async function connectControl(path: string, retrying: (why: string) => void): Promise<ControlClient> {
  const read = createFrameReader(replySchema);
  let waiting: Waiting | null = null;
  let unsent: Uint8Array = new Uint8Array(0);
  let lastId = 0;
  const fail = (why: string): void => {
    waiting?.reject(new Error(`could not talk to the agent: ${why}`));
    waiting = null;
  };
  const flush = (socket: Bun.Socket): void => {
    if (unsent.byteLength > 0) unsent = unsent.subarray(Math.max(socket.write(unsent), 0));
  };
  const socket = await Bun.connect({
    unix: path,
    socket: {
      data: (_, part) => {
        try {
          for (const { id, payload } of read(part)) {
            if (id !== waiting?.id) throw new Error(`sent ID ${waiting?.id} but got reply with ID ${id}`);
            if (typeof payload === "object" && "Retrying" in payload) {
              retrying(payload.Retrying);
              continue;
            }
            waiting.resolve(payload);
            waiting = null;
          }
        } catch (error) {
          fail(error instanceof Error ? error.message : String(error));
        }
      },
      drain: flush,
      close: () => fail("stream ended before reply"),
      error: (_, error) => fail(error.message),
    },
  }).catch((error: unknown) => {
    throw new Error(showOsError(error), { cause: error });
  });
  return {
    request: (payload) =>
      new Promise((resolve, reject) => {
        lastId += 1;
        waiting = { id: lastId, resolve, reject };
        unsent = encodeFrame({ id: lastId, payload, progress: true });
        flush(socket);
      }),
    close: () => socket.end(),
  };
}
