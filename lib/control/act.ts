/** What an operator asks of a factory, and what is answered: the body of `POST /act`. */
import { z } from "zod";
import { dayMs } from "../words/duration.ts";

export const actVerbs = [
  "pause",
  "resume",
  "reserve",
  "release",
  "quarantine",
  "trust",
  "drain",
  "reload",
  "recover",
  "clear",
  "cancel",
  "selftest",
] as const;
export type ActVerb = (typeof actVerbs)[number];

/** It goes into logs and to terminals. */
const lineOfText = z.string().regex(/^[^\p{Cc}]{0,500}$/u, "must be one line of up to 500 characters");

/** Ten years: what ends later is for good, and no clock shows any time there is. */
export const longestMs = 3_650 * dayMs;

export const actSchema = z.strictObject({
  verb: z.enum(actVerbs),
  /** Not for `drain` and `reload`, which are for all of the factory. */
  testbed: z.string().optional(),
  note: lineOfText.default(""),
  /** For so long; missing: until it is taken back. */
  forMs: z.number().int().positive().max(longestMs).optional(),
  /** It begins when the job that runs now, or the next one, has ended. */
  isAfterJob: z.boolean().default(false),
  /** Also what somebody else has reserved. */
  isForced: z.boolean().default(false),
  /** Of `clear`: the instances that were shown to the operator, and the reason that their jobs' owners read. */
  seqs: z.array(z.number().int().positive()).default([]),
  because: lineOfText.default(""),
  /** Of `selftest`: ULID of the job that only this testbed may have. */
  job: z.string().length(26).optional(),
});

export type Act = z.output<typeof actSchema>;
/** As it is asked for: what is missing is the usual. */
export type WantedAct = z.input<typeof actSchema>;

export const actAnswerSchema = z.object({
  isDone: z.boolean(),
  /** For people. */
  lines: z.array(z.string()),
});
export type ActAnswer = z.output<typeof actAnswerSchema>;

export const refused = (line: string): ActAnswer => ({ isDone: false, lines: [line] });
