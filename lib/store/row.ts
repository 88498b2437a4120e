/** An instance as columns of its row, and back. */
import type { Database } from "bun:sqlite";
import { z } from "zod";
import { type Instance, type Moment, phases } from "../words/domain.ts";
import { type EndCause, endCauses } from "../words/end-cause.ts";
import { Secret } from "../words/secret.ts";

export const momentSchema = z.object({ bootId: z.string(), uptimeMs: z.number() });
export const placeSchema = z.object({
  way: z.enum(["local", "ssh", "sp-runner", "unknown", "cleared"]),
  directory: z.string(),
  agent: z.enum(["external", "built-in"]),
  ssh: z
    .object({
      host: z.string(),
      user: z.string(),
      port: z.number().nullable(),
      key: z.string().nullable(),
      hostKey: z.string().nullable(),
      elevation: z.enum(["sudo", "pfexec", "root"]).nullable(),
      uid: z.number(),
      // Rows of the first days of ssh do not have it.
      machine: z.string().default(""),
    })
    .optional(),
  spRunnerUrl: z.string().optional(),
});
const json = <T>(schema: z.ZodType<T>): z.ZodType<T> =>
  z.preprocess(
    (text): unknown => (typeof text === "string" ? JSON.parse(text) : text),
    schema,
  ) as z.ZodType<T>;
const rowSchema = z.object({
  testbed_name: z.string(),
  seq: z.number().int(),
  phase: z.enum(phases),
  target: z.string(),
  job: z.string().nullable(),
  is_bound: z.number(),
  cookie: z.string(),
  place: json(placeSchema),
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
    }),
  ),
  end_reason: z.string().nullable(),
  // A read-only look at an older file finds no such column; a newer version may have further causes.
  end_cause: z.enum(endCauses).nullable().catch(null),
  untold: z.string().nullable(),
  begun_ms: z.number(),
  ended_ms: z.number().nullable(),
});

/** In rows of versions that committed only the text. */
const causesOfTexts: Record<string, EndCause> = {
  "the job is done": "job done",
  "the server recycles the worker": "worker recycled",
};

/** Adds the row; throws where the testbed has an open one. */
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

export function columnsOf(instance: Instance): Record<string, string | number | null> {
  const moment = (value: Moment | null): string | null => (value === null ? null : JSON.stringify(value));
  const { startTimeoutMs, jobTimeoutMs, silenceTimeoutMs } = instance;
  return {
    phase: instance.phase,
    target: instance.target,
    job: instance.job,
    is_bound: Number(instance.isBound),
    cookie: instance.cookie,
    place: JSON.stringify(instance.place),
    leased_at: moment(instance.leasedAt),
    create_sent_at: moment(instance.createSentAt),
    worker: instance.worker,
    bootstrap: instance.bootstrap?.reveal() ?? null,
    went_at: moment(instance.wentAt),
    is_online: Number(instance.isOnline),
    is_flushed: Number(instance.isFlushed),
    limits: JSON.stringify({ startTimeoutMs, jobTimeoutMs, silenceTimeoutMs }),
    end_reason: instance.endReason,
    end_cause: instance.endCause,
    untold: instance.untold,
    begun_ms: instance.begunMs,
    ended_ms: instance.endedMs,
  };
}

export function instanceOf(row: unknown): Instance {
  const columns = rowSchema.parse(row);
  return {
    testbed: columns.testbed_name,
    seq: columns.seq,
    phase: columns.phase,
    target: columns.target,
    job: columns.job,
    isBound: columns.is_bound !== 0,
    cookie: columns.cookie,
    place: columns.place,
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
  };
}
