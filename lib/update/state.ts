/** What the updater remembers between steps and starts: one small file in the prefix, for `service status` too. */
import { z } from "zod";
import type { DurableFiles } from "../doors/durable-files.ts";

const stateSchema = z.object({
  /** The largest number of a manifest that was believed. */
  sequence: z.number(),
  checkedAt: z.string().nullable(),
  nextCheckAt: z.string().nullable(),
  /** The version that the mirror has for this host. */
  offered: z.string().nullable(),
  /** It is in its place and has passed its self-test; it waits to be started. */
  ready: z.string().nullable(),
  /** How things were before the switch: a new version is not blamed for it. */
  before: z
    .object({ version: z.string(), isServerDown: z.boolean(), unseen: z.array(z.string()) })
    .nullable(),
  failure: z.object({ at: z.string(), text: z.string() }).nullable(),
});

export type UpdateState = z.output<typeof stateSchema>;

const fresh: UpdateState = {
  sequence: 0,
  checkedAt: null,
  nextCheckAt: null,
  offered: null,
  ready: null,
  before: null,
  failure: null,
};

const pathIn = (prefix: string): string => `${prefix}/update.json`;

/** A state that cannot be read is a fresh one: what is installed does not hang on it. */
export async function readState(
  files: Pick<DurableFiles, "readBytes">,
  prefix: string,
): Promise<UpdateState> {
  const bytes = await files.readBytes(pathIn(prefix));
  if (bytes === null) return fresh;
  try {
    return stateSchema.parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return fresh;
  }
}

export async function writeState(
  files: DurableFiles,
  prefix: string,
  changes: Partial<UpdateState>,
): Promise<void> {
  const state = { ...(await readState(files, prefix)), ...changes };
  await files.write(pathIn(prefix), `${JSON.stringify(state, null, 1)}\n`, 0o644);
}
