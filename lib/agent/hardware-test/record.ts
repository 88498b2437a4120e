/**
 * How far a hardware test has come, written down before it is done: what the factory knows of the board when the agent is
 * gone, and where another agent goes on.
 */
import { z } from "zod";

/** How a hardware test came out. `files` are to be uploaded whatever the job's rules say, relative to the output directory. */
const verdictSchema = z.object({ isGood: z.boolean(), files: z.array(z.string()) });
export type Verdict = z.infer<typeof verdictSchema>;

const recordSchema = z.discriminatedUnion("phase", [
  // `cutOffAt`: when it was found that nobody waits for the answer any more; that it was cut off is not known before.
  z.object({
    phase: z.literal("submitting"),
    cutOffAt: z.object({ bootId: z.string(), uptimeMs: z.number() }).optional(),
  }),
  // It did not reach the service, or was refused because of the job on the board: it is submitted again, once the board is idle.
  z.object({ phase: z.literal("refused") }),
  // `isAdopted`: its name is the board's word, not the answer to the submission.
  z.object({ phase: z.literal("submitted"), job: z.string().min(1), isAdopted: z.boolean() }),
  // The service said that the job is over, or took none, or the board was idle for long enough. `lines` are for the job's owner.
  z.object({ phase: z.literal("ended"), verdict: verdictSchema, lines: z.array(z.string()) }),
]);
export type RunnerRecord = z.infer<typeof recordSchema>;

/** Null if nothing was submitted. What cannot be read may have been submitted. */
export function parseRecord(text: string | null): RunnerRecord | null {
  if (text === null) return null;
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch {
    return { phase: "submitting" };
  }
}
