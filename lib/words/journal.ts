/**
 * The journal: what happened in the lab, for people. It decides nothing: instances, health and intents have rows of their own.
 * All times are wall-clock ms.
 */
import { z } from "zod";
import { endCauses } from "./end-cause.ts";

export const jobResults = [
  "passed",
  "failed",
  "cancelled",
  /** The lab failed it. */
  "lost",
  /** It is over, and neither the server nor its agent says how. */
  "ended",
  /** The lease came to nothing here: the job is untouched. */
  "not begun",
] as const;
export type JobResult = (typeof jobResults)[number];

const ms = z.number();
const time = ms.nullable();

const jobSchema = z.object({
  what: z.literal("job"),
  testbed: z.string(),
  /** The number of its instance. */
  seq: z.number(),
  /** ULID; null: not recorded, for example of the Rust factory's. */
  job: z.string().nullable(),
  /** Null: its agent did not get as far as that. */
  jobName: z.string().nullable(),
  target: z.string(),
  /** When the job was submitted to the server: the time in its ULID. */
  queuedMs: time,
  leasedMs: ms,
  /** Its agent was told to go. */
  isStarted: z.boolean(),
  /** When that was; null: it was not, or nobody knows. */
  wentMs: time,
  /** When its end was decided. The entry is made when its testbed is free. */
  endedMs: ms,
  result: z.enum(jobResults),
  /** Null: another version of this program knew it. */
  cause: z.enum(endCauses).nullable().catch(null),
  /** What failed, for people. */
  reason: z.string().nullable(),
  /** How long it printed nothing at the most; null: not watched. */
  silentMs: time,
});

const actSchema = z.object({
  what: z.literal("act"),
  verb: z.string(),
  /** Null: the factory as a whole. */
  testbed: z.string().nullable(),
  who: z.string(),
  note: z.string(),
  untilMs: time,
  /** What came of it. */
  answer: z.string(),
});

const healthSchema = z.object({
  what: z.literal("health"),
  /** Null: several at once, by a fault of what they share. */
  testbed: z.string().nullable(),
  is: z.string(),
  reason: z.string(),
});

const factorySchema = z.object({
  /** `config`: it was read anew. `server`: it went away, or answers again. `factory`: this program started or ended. */
  what: z.enum(["config", "server", "factory"]),
  is: z.string(),
  /** One a line, for people. */
  lines: z.array(z.string()),
});

export const entrySchema = z.discriminatedUnion("what", [jobSchema, actSchema, healthSchema, factorySchema]);

export type Entry = z.infer<typeof entrySchema>;
export type JobEntry = z.infer<typeof jobSchema>;
export type ActEntry = z.infer<typeof actSchema>;

export interface Noted {
  atMs: number;
  entry: Entry;
}

export interface Recorded extends Noted {
  /** Counts up. */
  id: number;
}

/** What `history` asks for. All that is null or missing is not a condition. */
export interface JournalQuery {
  testbed?: string;
  /** ULID, or the beginning of one. */
  job?: string;
  jobName?: string;
  what?: Entry["what"][];
  /** Wall-clock ms. */
  sinceMs?: number;
  /** Entries before this one only: the page before. */
  beforeId?: number;
  /** The latest so many. */
  most: number;
}
