/** bmat's end of the control socket: one request after another. */
/* oxlint-disable no-restricted-globals -- bmat is a program of its own, and talks to its agent alone */
import { constants as system } from "node:os";
import { type ControlReply, type ControlRequest, lineSchema } from "./messages.ts";
import { errorCode, showOsError } from "../os-error.ts";
import { errorText } from "../../words/failure.ts";

export interface ControlClient {
  /** Rejects when the agent goes away or says what is not an answer. */
  request(payload: ControlRequest): Promise<ControlReply>;
}

/**
 * `retrying` is called when the agent makes a call to the server again. Rejects with the operating system's words if nobody
 * listens.
 */
export async function connectControl(path: string, retrying: (why: string) => void): Promise<ControlClient> {
  const ask = (options: RequestInit): Promise<Response> =>
    fetch("http://agent/", { ...options, unix: path, keepalive: false, timeout: false } as RequestInit);
  await ask({ method: "HEAD" }).catch((error: unknown) => {
    const code = errorCode(error);
    const errno = Object.entries(system.errno).find(([name]) => name === code)?.[1];
    const cause =
      code === null || errno === undefined ? error : Object.assign(new Error(code), { code, errno });
    throw new Error(showOsError(cause), { cause });
  });
  return {
    request: async (payload) => {
      try {
        const response = await ask({ method: "POST", body: JSON.stringify(payload) });
        if (!response.ok || response.body === null) throw new Error(await response.text());
        let text = "";
        for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
          const lines = (text + part).split("\n");
          text = lines.pop() ?? "";
          for (const line of lines) {
            const said = lineSchema.parse(JSON.parse(line));
            if (typeof said !== "object" || !("Retrying" in said)) return said;
            retrying(said.Retrying);
          }
        }
        throw new Error("stream ended before reply");
      } catch (error) {
        throw new Error(`could not talk to the agent: ${errorText(error)}`, { cause: error });
      }
    },
  };
}
