/**
 * What a factory tells the agent about its host (lib/devserver/README.md "Associate"), with every key, as the server
 * gives it back.
 */
import {
  defaulted,
  listOf,
  only,
  optional,
  struct,
  text,
  truth,
  u32,
  type ShapeOf,
} from "../calls/json-body.ts";

export const metadataShape = struct("FactoryMetadataV1", {
  v: only("1"),
  addresses: defaulted(
    listOf(
      struct("FactoryAddresses", {
        name: text,
        cidr: text,
        first: text,
        count: u32,
        routed: truth,
        gateway: optional(text),
      }),
    ),
    () => [],
  ),
  root_password_hash: optional(text),
  root_authorized_keys: optional(text),
  dump_to_rpool: optional(u32),
  pre_job_diagnostic_script: optional(text),
  post_job_diagnostic_script: optional(text),
  rpool_disable_sync: optional(truth),
});
export type Metadata = ShapeOf<typeof metadataShape>;

/** Both are normalised, so that equal ones print alike once their keys are in one order. */
export function isSameMetadata(one: Metadata, other: Metadata): boolean {
  return Bun.deepEquals(one, other, true);
}
