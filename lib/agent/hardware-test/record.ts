/**
 * How far a hardware test has come, written down before it is done: what the factory knows of the board when the agent is
 * gone, and where another agent goes on.
 */
import { z } from "zod";
import type { Moment } from "../../words/domain.ts";

/** How a hardware test came out. */
export interface Verdict {
  isGood: boolean;
  /** Files to be uploaded whatever the job's rules say, relative to the output directory. */
  files: string[];
}

export type RunnerRecord =
  /** `cutOffAt`: when it was found that nobody waits for the answer any more; that it was cut off is not known before. */
  | { phase: "submitting"; cutOffAt?: Moment | undefined }
  /** It did not reach the service, or was refused because of the job on the board: it is submitted again, once the board is idle. */
  | { phase: "refused" }
  /** `isAdopted`: its name is the board's word, not the answer to the submission. */
  | { phase: "submitted"; job: string; isAdopted: boolean }
  /** `lines` are for the job's owner. The service said that the job is over, or took none, or the board was seen idle for long enough. */
  | { phase: "ended"; verdict: Verdict; lines: string[] };

const recordSchema = z.discriminatedUnion("phase", [
  z.object({
    phase: z.literal("submitting"),
    cutOffAt: z.object({ bootId: z.string(), uptimeMs: z.number() }).optional(),
  }),
  z.object({ phase: z.literal("refused") }),
  z.object({ phase: z.literal("submitted"), job: z.string().min(1), isAdopted: z.boolean() }),
  z.object({
    phase: z.literal("ended"),
    verdict: z.object({ isGood: z.boolean(), files: z.array(z.string()) }),
    lines: z.array(z.string()),
  }),
]);

/** Null where nothing was submitted. What cannot be read may have been submitted. */
export function parseRecord(text: string | null): RunnerRecord | null {
  if (text === null) return null;
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch {
    return { phase: "submitting" };
  }
}
