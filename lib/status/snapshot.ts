/**
 * What is known of the lab at one moment: what `status`, the page and the metrics show. A running factory makes it of what it
 * knows; without one it is made of the files. All times are wall-clock ms.
 */
import { z } from "zod";
import { intentKinds } from "../words/intent.ts";
import { jobResults } from "../words/journal.ts";

/** A testbed in one word. It is `free` only if a job for one of its targets would be taken now. */
export const testbedStates = [
  "free",
  /** A job is leased; its agent was not told to go yet. */
  "preparing",
  "running",
  /** The end is decided; what is left of the job is being stopped, or its worker deleted. */
  "ending",
  /** Its worker is held on the server: nothing is touched. */
  "held",
  /** Takes no further job: the factory drains, or another version takes over. */
  "draining",
  "paused",
  "reserved",
  /** The lab failed on it three times in a row, or an operator said so. */
  "quarantined",
  /** No job for a moment: the lab failed on it once or twice, or a lease came to nothing. */
  "backing off",
  /** Another factory uses it, or another instance its host. */
  "in use",
  /** Its host or its sp-runner service does not answer. */
  "unreachable",
  /** Its agent, its host's disk, its board, its `check` or the database is at fault. */
  "unavailable",
  /** The server does not answer, or refuses the token. */
  "no server",
  /** No factory is running. */
  "no factory",
  /** A factory is running, and does not say. */
  "not known",
  "disabled",
  /** As it is configured, no job can be asked for; or the running factory has not read its section. */
  "not served",
] as const;
export type TestbedState = (typeof testbedStates)[number];

const time = z.number().nullable();
const text = z.string().nullable();

const jobSchema = z.object({
  id: text.describe("ULID; null: the Rust factory did not record it"),
  name: text,
  instance: z.string(),
  worker: text,
  queuedMs: time.describe("when it was submitted to the server"),
  leasedMs: z.number(),
  wentMs: time.describe("when its agent was told to go; null: not yet, or before this host was booted"),
  endReason: text.describe("why it ends; null: nothing ends it"),
  stuck: text.describe("what keeps it from going on; null: nothing"),
  silentMs: time.describe(
    "for how long it has printed nothing, if no job of its name was ever silent for so long",
  ),
});
export type RunningJob = z.infer<typeof jobSchema>;

const testbedSchema = z.object({
  testbed: z.string(),
  type: z.string().nullable().describe("null: no longer configured"),
  targets: z.array(z.string()),
  host: text.describe("null: this host"),
  service: text.describe("URL of its sp-runner service"),
  state: z.enum(testbedStates),
  sinceMs: time,
  whyNot: text.describe("why it takes no job now; null: it does"),
  whyNotNext: text.describe("if a job runs: why it takes none after it; null: it will"),
  untilMs: time.describe("when an operator's word, a quarantine or a back-off ends"),
  note: z.string().describe("of the configuration"),
  intent: z
    .object({
      kind: z.enum(intentKinds),
      who: z.string(),
      note: z.string(),
      sinceMs: z.number(),
      untilMs: time,
      isAfterJob: z.boolean().describe("it begins when the job has ended"),
    })
    .nullable()
    .describe("what an operator wants of it"),
  health: z
    .object({
      strikes: z.number().describe("failures of the lab in a row"),
      untilMs: time.describe("no job before; null: that is over"),
      reason: z.string().describe("of the last failure"),
    })
    .nullable(),
  job: jobSchema.nullable(),
  freeAt: z
    .object({
      ms: z.number(),
      earliestMs: z.number(),
      latestMs: z.number(),
      jobs: z.number().describe("how many jobs this is known from"),
    })
    .nullable()
    .describe(
      "when its job is likely to be over, from how long jobs of its name took there; null: not known",
    ),
  recent: z.array(z.enum(jobResults)).describe("of its last jobs, the latest last"),
});
export type TestbedSnapshot = z.infer<typeof testbedSchema>;

export const snapshotSchema = z.object({
  format: z.literal(1).describe("counts up when a field changes its meaning"),
  madeMs: z.number().describe("when; all times are milliseconds since 1970"),
  source: z.enum(["factory", "files"]).describe("the running factory's memory, or its files alone"),
  factory: z.object({
    isRunning: z.boolean(),
    version: text,
    mode: z.enum(["run", "drain", "hand over"]).nullable(),
    startedMs: time,
    database: z.string(),
  }),
  server: z.object({
    url: text,
    is: z.enum(["answers", "does not answer", "refuses the token", "not asked yet", "not known"]),
    sinceMs: time,
    reason: text,
    leases: z.number().describe("jobs leased for which no testbed is chosen yet"),
  }),
  remarks: z.array(z.string()).describe("about config.toml: a mistake, or what of it is not in use yet"),
  shared: z
    .array(z.object({ reason: z.string(), testbeds: z.array(z.string()) }))
    .describe("what keeps jobs from several testbeds at once"),
  ifStopped: text.describe("what would become of the jobs if the factory stopped now"),
  testbeds: z.array(testbedSchema),
});
export type Snapshot = z.infer<typeof snapshotSchema>;

/** For programs that read `status --json`. Fields may be added without a new format. */
export function snapshotJsonSchema(): object {
  return z.toJSONSchema(snapshotSchema, { io: "input" });
}
