/** What a running factory read from its configuration. The store keeps it, because the file may change later. Pure. */
import { createHash } from "node:crypto";
import { z } from "zod";
import type { Config, Target, Testbed } from "./config.ts";

/** The fields of a testbed that `status` shows. */
export type ShownTestbed = Pick<
  Testbed,
  "name" | "spType" | "targets" | "enabled" | "host" | "spRunnerUrl" | "note"
>;

export interface ConfigSummary {
  /** Covers everything that was read, including the token. */
  hash: string;
  testbeds: (ShownTestbed & { hash: string })[];
  targets: Target[];
}

export function summaryOf({ general, targets, testbeds, token, web }: Config): ConfigSummary {
  return {
    hash: hashOf([general, targets, testbeds, token.reveal(), web]),
    testbeds: testbeds.map((testbed) => {
      const { name, spType, enabled, host, spRunnerUrl, note } = testbed;
      const shown = { name, spType, targets: testbed.targets, enabled, host, spRunnerUrl, note };
      return { ...shown, hash: hashOf(testbed) };
    }),
    targets,
  };
}

const summarySchema = z.object({
  hash: z.string(),
  testbeds: z.array(
    z.object({
      name: z.string(),
      spType: z.enum(["gimlet", "grapefruit", "sidecar", "psc"]),
      targets: z.array(z.string()),
      enabled: z.boolean(),
      host: z.string().nullable(),
      spRunnerUrl: z.string().nullable(),
      note: z.string(),
      hash: z.string(),
    }),
  ),
  targets: z.array(z.object({ name: z.string(), id: z.string().nullable() })),
});

/** Null if another version wrote it in another form. */
export function parseSummary(text: string): ConfigSummary | null {
  try {
    return summarySchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

/** How each testbed in the file differs from what was read. Unchanged ones are left out. */
export function compareSummaries(
  read: ConfigSummary,
  now: ConfigSummary,
): { testbeds: Map<string, "added" | "removed" | "changed">; isChanged: boolean } {
  const before = new Map(read.testbeds.map(({ name, hash }) => [name, hash]));
  const after = new Map(now.testbeds.map(({ name, hash }) => [name, hash]));
  const testbeds = new Map<string, "added" | "removed" | "changed">();
  for (const [name, hash] of after) {
    if (before.get(name) !== hash) testbeds.set(name, before.has(name) ? "changed" : "added");
  }
  for (const name of before.keys()) if (!after.has(name)) testbeds.set(name, "removed");
  return { testbeds, isChanged: read.hash !== now.hash };
}

/** Cut short: enough to notice a change, and the token cannot be derived from it. */
function hashOf(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 16);
}
