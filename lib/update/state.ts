/** What the updater remembers between steps and starts: one small file in the prefix. `service status` reads it too. */
import { z } from "zod";
import type { DurableFiles } from "../doors/durable-files.ts";

const textOrNull = z.string().nullable().default(null);

const stateSchema = z.object({
  /** The largest number of a manifest that was believed. */
  sequence: z.number().default(0),
  checkedAt: textOrNull,
  nextCheckAt: textOrNull,
  /** The version that the mirror has for this host. */
  offered: textOrNull,
  /** The version that is installed, has passed its self-test and waits to be started. */
  ready: textOrNull,
  /** How things were before the switch: the new version is not blamed for that. */
  before: z
    .object({ version: z.string(), isServerDown: z.boolean(), unseen: z.array(z.string()) })
    .nullable()
    .default(null),
  failure: z.object({ at: z.string(), text: z.string() }).nullable().default(null),
});

export type UpdateState = z.output<typeof stateSchema>;

const pathIn = (prefix: string): string => `${prefix}/update.json`;

/** A file that cannot be read counts as empty: what is installed does not depend on it. */
export async function readState(
  files: Pick<DurableFiles, "readBytes">,
  prefix: string,
): Promise<UpdateState> {
  const bytes = await files.readBytes(pathIn(prefix));
  try {
    return stateSchema.parse(JSON.parse(bytes === null ? "{}" : new TextDecoder().decode(bytes)));
  } catch {
    return stateSchema.parse({});
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
