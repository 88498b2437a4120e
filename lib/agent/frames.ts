/**
 * What goes over the socket between bmat and the agent (protocol/agent.md §8): frames of a version, a length and JSON, both
 * ways, and the messages in them. No sockets here.
 */
import { z } from "zod";

const version = 1;
const headerBytes = 8;
/** The protocol's own limit is 1 GiB; nothing that is meant comes near this. */
const longestFrameBytes = 1024 * 1024;

const addressSchema = z.object({
  name: z.string(),
  cidr: z.string(),
  first: z.string(),
  count: z.number(),
  routed: z.boolean(),
  gateway: z.string().nullable(),
});
export const addressesSchema = z.array(addressSchema);

export const requestSchema = z.union([
  z.literal(["MetadataAddresses", "FactoryInfo"]),
  z.strictObject({ StoreGet: z.string() }),
  z.strictObject({ StorePut: z.tuple([z.string(), z.string(), z.boolean()]) }),
  z.strictObject({ ProcessStart: z.object({ name: z.string() }) }),
]);
export type ControlRequest = z.infer<typeof requestSchema>;

export const replySchema = z.union([
  z.literal("Ack"),
  z.strictObject({ Error: z.string() }),
  z.strictObject({
    StoreGetResult: z.object({ name: z.string(), value: z.string(), secret: z.boolean() }).nullable(),
  }),
  z.strictObject({ MetadataAddressesResult: addressesSchema }),
  z.strictObject({
    FactoryInfoResult: z.object({ id: z.string(), name: z.string(), private: z.string().nullable() }),
  }),
]);
export type ControlReply = z.infer<typeof replySchema>;

export interface Message<P> {
  id: number;
  payload: P;
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
  const schema = z.object({ id: z.int().nonnegative(), payload });
  let waiting = Buffer.alloc(0);
  return (bytes) => {
    waiting = Buffer.concat([waiting, bytes]);
    const messages: Message<P>[] = [];
    let start = 0;
    while (waiting.length - start >= headerBytes) {
      if (waiting.readUInt32LE(start) !== version) throw new Error("a frame of another version");
      const length = waiting.readUInt32LE(start + 4);
      if (length > longestFrameBytes) throw new Error(`a frame of ${length} bytes`);
      const end = start + headerBytes + length;
      if (waiting.length < end) break;
      const text = waiting.toString("utf8", start + headerBytes, end);
      messages.push(schema.parse(JSON.parse(text)));
      start = end;
    }
    waiting = waiting.subarray(start);
    return messages;
  };
}
