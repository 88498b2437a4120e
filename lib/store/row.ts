/** Turns an instance into the columns of its row, and back. */
import type { Database } from "bun:sqlite";
import { z } from "zod";
import { type Instance, instanceName, type Moment, phases, rustState } from "../words/domain.ts";
import type { Place, RustPlace } from "../words/place.ts";
import { type EndCause, endCauses } from "../words/end-cause.ts";
import { errorText, FactoryError } from "../words/failure.ts";
import { Secret } from "../words/secret.ts";

/** A value in a column of text. */
export const json = <T>(schema: z.ZodType<T>): z.ZodType<T> =>
  z.preprocess((text, context): unknown => {
    try {
      return typeof text === "string" ? JSON.parse(text) : text;
    } catch (error) {
      context.addIssue({ code: "custom", message: errorText(error) });
      return z.NEVER;
    }
  }, schema) as z.ZodType<T>;
export const momentSchema = z.object({ bootId: z.string(), uptimeMs: z.number() });
const located = { directory: z.string(), agent: z.enum(["external", "built-in"]) };
const sshHost = z.object({
  host: z.string(),
  user: z.string(),
  port: z.number().nullable(),
  key: z.string().nullable(),
  hostKey: z.string().nullable(),
  elevation: z.enum(["sudo", "pfexec", "root"]).nullable(),
  uid: z.number(),
  machine: z.string().optional(),
});
export const placeSchema = z.discriminatedUnion("way", [
  z.object({ ...located, way: z.literal("local") }),
  z.object({ ...located, way: z.literal("ssh"), ssh: sshHost }),
  z.object({ ...located, way: z.literal("sp-runner"), spRunnerUrl: z.string() }),
]);
const rustPlaceSchema = z
  .object({ ...located, way: z.enum(["local", "ssh", "sp-runner", "unknown"]) })
  .transform(({ way: at, ...rest }) => ({ ...rest, way: "rust" as const, at }));
const rowSchema = z.object({
  testbed_name: z.string(),
  seq: z.number().int(),
  phase: z.enum(phases),
  target: z.string(),
  job: z.string().nullable(),
  is_bound: z.number(),
  cookie: z.string(),
  place: json(z.record(z.string(), z.unknown())),
  leased_at: json(momentSchema),
  create_sent_at: json(momentSchema.nullable()),
  worker: z.string().nullable(),
  bootstrap: z.string().nullable(),
  went_at: json(momentSchema.nullable()),
  is_online: z.number(),
  is_flushed: z.number(),
  limits: json(
    z.object({
      startTimeoutMs: z.number(),
      jobTimeoutMs: z.number().nullable(),
      silenceTimeoutMs: z.number().nullable(),
      // Earlier versions do not write it.
      announced: z.partialRecord(z.enum(["job_timeout", "silence_timeout"]), momentSchema).default({}),
    }),
  ),
  end_reason: z.string().nullable(),
  // An older file that is only read lacks this column, and a newer version may have written other causes.
  end_cause: z.enum(endCauses).nullable().catch(null),
  untold: z.string().nullable(),
  begun_ms: z.number(),
  ended_ms: z.number().nullable(),
});

/** For rows of older versions, which stored only the text. */
const causesOfTexts: Record<string, EndCause> = {
  "the job is done": "job done",
  "the server recycles the worker": "worker recycled",
};

/** Adds the row; throws if the testbed has an open one. */
export function insert(database: Database, instance: Instance): void {
  const columns = columnsOf(instance);
  const names = Object.keys(columns);
  database
    .query(
      `INSERT INTO factory_instance (testbed_name, seq, ${names.join(", ")})
       VALUES ($testbed_name, $seq, ${names.map((name) => `$${name}`).join(", ")})`,
    )
    .run({ testbed_name: instance.testbed, seq: instance.seq, ...columns });
}

/** Overwrites only the record `before`: an older record must not undo a later commit. */
export function overwrite(database: Database, before: Instance, instance: Instance): void {
  const columns = columnsOf(instance);
  const sets = Object.keys(columns).map((name) => `${name} = $${name}`);
  const { changes } = database
    .query(
      `UPDATE factory_instance SET ${sets.join(", ")}
       WHERE testbed_name = $testbed_name AND seq = $seq AND phase = $before`,
    )
    .run({ testbed_name: instance.testbed, seq: instance.seq, before: before.phase, ...columns });
  if (changes !== 1) throw new Error(`${instanceName(instance)} is not ${before.phase} in the database`);
  const state = rustState(instance.phase);
  if (state === null || instance.worker === null) return;
  database
    .query(
      `INSERT INTO instance VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET state = excluded.state, flushed = excluded.flushed`,
    )
    .run(
      instance.testbed,
      instance.seq,
      instance.worker,
      instance.target,
      state,
      instance.bootstrap?.reveal() ?? "",
      Number(instance.isFlushed),
    );
}

export function columnsOf(instance: Instance): Record<string, string | number | null> {
  const moment = (value: Moment | null): string | null => (value === null ? null : JSON.stringify(value));
  const { startTimeoutMs, jobTimeoutMs, silenceTimeoutMs, announced } = instance;
  return {
    phase: instance.phase,
    target: instance.target,
    job: instance.job,
    is_bound: Number(instance.isBound),
    cookie: instance.cookie ?? "",
    place: JSON.stringify(storedPlace(instance)),
    leased_at: moment(instance.leasedAt),
    create_sent_at: moment(instance.createSentAt),
    worker: instance.worker,
    bootstrap: instance.bootstrap?.reveal() ?? null,
    went_at: moment(instance.wentAt),
    is_online: Number(instance.isOnline),
    is_flushed: Number(instance.isFlushed),
    limits: JSON.stringify({ startTimeoutMs, jobTimeoutMs, silenceTimeoutMs, announced }),
    end_reason: instance.endReason,
    end_cause: instance.endCause,
    untold: instance.untold,
    begun_ms: instance.begunMs,
    ended_ms: instance.endedMs,
  };
}

/** If an operator cleared the instance, its way is stored as `cleared`, as earlier versions did. */
function storedPlace({ place, isCleared }: Instance): object {
  const { at, ...rest } = place.way === "rust" ? place : { ...place, at: place.way };
  return { ...rest, way: isCleared ? "cleared" : at };
}

/** The fields beside `cleared` show which way it was; in the Rust factory's rows none does. */
function readPlace(cookie: string, { way, ...rest }: Record<string, unknown>): Place | RustPlace {
  if (cookie === "") return rustPlaceSchema.parse({ ...rest, way: way === "cleared" ? "unknown" : way });
  const before =
    rest["ssh"] !== undefined ? "ssh" : rest["spRunnerUrl"] !== undefined ? "sp-runner" : "local";
  return placeSchema.parse({ ...rest, way: way === "cleared" ? before : way });
}

/** Throws a FactoryError that names the row if it is not a possible instance. */
export function instanceOf(row: unknown): Instance {
  try {
    return parseRow(row);
  } catch (error) {
    const { testbed_name: testbed, seq } = row as { testbed_name: string; seq: number };
    const why = error instanceof z.ZodError ? z.prettifyError(error).replaceAll("\n", "") : errorText(error);
    throw new FactoryError(`Cannot read ${instanceName({ testbed, seq })} in the database: ${why}`, {
      hint: "Move the database aside, but keep it; running agents are found again without it",
      cause: error,
    });
  }
}

/** Throws if an instance of this phase cannot have these fields. */
export function checked(
  fields: Omit<Instance, "cookie" | "place"> & { cookie: string | null; place: Place | RustPlace },
): Instance {
  const { phase, worker, cookie } = fields;
  const hasNone = phase === "preparing" || phase === "creating" || phase === "dropped";
  const mayHave = cookie !== null && (phase === "destroying" || phase === "stopped" || phase === "destroyed");
  const isRight = hasNone ? worker === null && cookie !== null : worker !== null || mayHave;
  if (!isRight) throw new Error(`it cannot be ${phase} with worker ${worker}`);
  return fields as Instance;
}

function parseRow(row: unknown): Instance {
  const columns = rowSchema.parse(row);
  return checked({
    testbed: columns.testbed_name,
    seq: columns.seq,
    phase: columns.phase,
    target: columns.target,
    job: columns.job,
    isBound: columns.is_bound !== 0,
    cookie: columns.cookie === "" ? null : columns.cookie,
    place: readPlace(columns.cookie, columns.place),
    isCleared: columns.place["way"] === "cleared",
    leasedAt: columns.leased_at,
    createSentAt: columns.create_sent_at,
    worker: columns.worker,
    bootstrap: columns.bootstrap === null ? null : new Secret(columns.bootstrap),
    wentAt: columns.went_at,
    isOnline: columns.is_online !== 0,
    isFlushed: columns.is_flushed !== 0,
    ...columns.limits,
    endReason: columns.end_reason,
    endCause: columns.end_cause ?? causesOfTexts[columns.end_reason ?? ""] ?? null,
    untold: columns.untold,
    begunMs: columns.begun_ms,
    endedMs: columns.ended_ms,
  });
}
