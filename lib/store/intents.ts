/** What an operator wants of each testbed: one row a testbed. */
import type { Database } from "bun:sqlite";
import { z } from "zod";
import { type Intent, intentKinds } from "../words/intent.ts";
import { hasTable } from "./file.ts";
import { json, momentSchema } from "./row.ts";

const intentSchema: z.ZodType<Intent> = json(
  z.object({
    kind: z.enum(intentKinds),
    who: z.string(),
    note: z.string(),
    sinceMs: z.number(),
    until: z.object({ wallMs: z.number(), at: momentSchema }).nullable(),
    isAfterJob: z.boolean(),
    forMs: z.number().optional(),
    isReminded: z.boolean().optional(),
  }),
);

/** Another version wrote it in another form. What it wanted is not known: no job is the safe answer. */
const unreadable: Intent = {
  kind: "paused",
  who: "another version of this program",
  note: "this version cannot read what was wanted of it",
  sinceMs: 0,
  until: null,
  isAfterJob: false,
};

export function readIntents(database: Database): Map<string, Intent> {
  // An older version may have written the file and may still be running.
  if (!hasTable(database, "factory_intent")) return new Map();
  const rows = database
    .query<{ testbed_name: string; intent: string }, []>("SELECT testbed_name, intent FROM factory_intent")
    .all();
  return new Map(
    rows.map(({ testbed_name, intent }) => [testbed_name, intentSchema.safeParse(intent).data ?? unreadable]),
  );
}

/** Null: nothing any more. */
export function writeIntent(database: Database, testbed: string, intent: Intent | null): void {
  if (intent === null) {
    database.query("DELETE FROM factory_intent WHERE testbed_name = ?").run(testbed);
    return;
  }
  database
    .query("INSERT OR REPLACE INTO factory_intent (testbed_name, intent) VALUES (?, ?)")
    .run(testbed, JSON.stringify(intent));
}
