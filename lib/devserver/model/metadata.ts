/**
 * What a factory can say about its host (lib/devserver/README.md "Associate"), with every key, as the server gives it back to
 * the agent.
 */
import { z } from "zod";
import { optional, text, truth, u32 } from "../calls/json-body.ts";

const addressesShape = z.object({
  name: text,
  cidr: text,
  first: text,
  count: u32,
  routed: truth,
  gateway: optional(text),
});

export const metadataShape = z.object({
  v: z.literal("1"),
  addresses: z.array(addressesShape).default([]),
  root_password_hash: optional(text),
  root_authorized_keys: optional(text),
  dump_to_rpool: optional(u32),
  pre_job_diagnostic_script: optional(text),
  post_job_diagnostic_script: optional(text),
  rpool_disable_sync: optional(truth),
});
export type Metadata = z.output<typeof metadataShape>;
