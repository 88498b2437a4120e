/**
 * What goes over the socket between bmat and the agent (lib/agent/README.md "The control socket"): frames of a version, a
 * length and JSON, both ways, and the messages in them. No sockets here.
 */
import { z } from "zod";

const version = 1;
const headerBytes = 8;
/** The protocol's own limit is 1 GiB. The longest that is meant is an environment, four characters for each of its 2 MiB. */
const longestFrameBytes = 16 * 1024 * 1024;

/** A text of the operating system's, which need not be UTF-8. */
const osStringSchema = z.strictObject({
  Unix: z.custom<number[]>((value) => Array.isArray(value) && value.every(isByte)),
});

function isByte(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 255;
}

const idSchema = z.int().min(0).max(0xffff_ffff);
const processStartSchema = z.object({
  name: z.string(),
  cmd: z.string(),
  args: z.array(z.string()),
  env: z.array(z.tuple([osStringSchema, osStringSchema])),
  pwd: z.string(),
  uid: idSchema,
  gid: idSchema,
});
export type ProcessStart = z.infer<typeof processStartSchema>;

export const requestSchema = z.union([
  z.literal("FactoryInfo"),
  z.strictObject({ StoreGet: z.string() }),
  z.strictObject({ StorePut: z.tuple([z.string(), z.string(), z.boolean()]) }),
  z.strictObject({ ProcessStart: processStartSchema }),
]);
export type ControlRequest = z.infer<typeof requestSchema>;

export const replySchema = z.union([
  z.literal("Ack"),
  z.strictObject({ Error: z.string() }),
  // Not the last reply: the call to the server failed for now, and is made again. Sent to those alone who ask for it.
  z.strictObject({ Retrying: z.string() }),
  z.strictObject({
    StoreGetResult: z.object({ name: z.string(), value: z.string(), secret: z.boolean() }).nullable(),
  }),
  z.strictObject({
    FactoryInfoResult: z.object({ id: z.string(), name: z.string(), private: z.string().nullable() }),
  }),
]);
export type ControlReply = z.infer<typeof replySchema>;

export interface Message<P> {
  id: number;
  payload: P;
  /** In a request: the caller wants to know when it takes longer. Another bmat than ours does not expect that. */
  progress?: boolean | undefined;
}

export function encodeFrame(message: Message<ControlRequest | ControlReply>): Uint8Array {
  const body = Buffer.from(JSON.stringify(message));
  const frame = Buffer.alloc(headerBytes + body.length);
  frame.writeUInt32LE(version, 0);
  frame.writeUInt32LE(body.length, 4);
  body.copy(frame, headerBytes);
  return frame;
}

/** Cuts what arrives into messages. Throws on the first that is none: what follows it cannot be told apart. */
export function createFrameReader<P>(payload: z.ZodType<P>): (bytes: Uint8Array) => Message<P>[] {
  const schema = z.object({ id: z.int().nonnegative(), payload, progress: z.boolean().optional() });
  let parts: Uint8Array[] = [];
  let length = 0;
  /** Bytes without which nothing can be cut: a long frame is put together once, not with each of its parts. */
  let wanted = headerBytes;
  return (bytes) => {
    parts.push(bytes.slice());
    length += bytes.byteLength;
    if (length < wanted) return [];
    const waiting = Buffer.concat(parts);
    const messages: Message<P>[] = [];
    let start = 0;
    wanted = headerBytes;
    while (waiting.length - start >= headerBytes) {
      if (waiting.readUInt32LE(start) !== version) throw new Error("a frame of another version");
      const body = waiting.readUInt32LE(start + 4);
      if (body > longestFrameBytes) throw new Error(`a frame of ${body} bytes`);
      const end = start + headerBytes + body;
      if (waiting.length < end) {
        wanted = headerBytes + body;
        break;
      }
      const text = waiting.toString("utf8", start + headerBytes, end);
      messages.push(schema.parse(JSON.parse(text)));
      start = end;
    }
    parts = [waiting.subarray(start)];
    length = waiting.length - start;
    return messages;
  };
}
