/**
 * What bmat asks of the agent, and the answers (lib/agent/README.md "The control socket"): one request is one HTTP POST,
 * and its answer one line of JSON. No sockets here.
 */
import { z } from "zod";

const idSchema = z.int().min(0).max(0xffff_ffff);
const processStartSchema = z.object({
  name: z.string(),
  cmd: z.string(),
  args: z.array(z.string()),
  env: z.record(z.string(), z.string()),
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

const answerSchema = z.union([
  z.literal("Ack"),
  z.strictObject({ Error: z.string() }),
  z.strictObject({
    StoreGetResult: z.object({ name: z.string(), value: z.string(), secret: z.boolean() }).nullable(),
  }),
  z.strictObject({
    FactoryInfoResult: z.object({ id: z.string(), name: z.string(), private: z.string().nullable() }),
  }),
]);
export type ControlReply = z.infer<typeof answerSchema>;

/** A line of an answer. Before the last one: the call to the server failed for now, and is made again. */
export const lineSchema = z.union([answerSchema, z.strictObject({ Retrying: z.string() })]);
