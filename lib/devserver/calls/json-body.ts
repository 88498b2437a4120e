/** What the fields of a request's JSON body can be, and how a body is refused (lib/devserver/README.md "Conventions"). */
import { z } from "zod";
import { badRequest } from "../model/exchange.ts";
import { errorText } from "../../words/failure.ts";
import { parseTime } from "../model/timestamps.ts";

export const text = z.string();
export const truth = z.boolean();
export const u32 = z
  .int()
  .min(0)
  .max(2 ** 32 - 1);
export const u64 = z.int().min(0);

/** A time with a zone; it is read as UTC. */
export const time = z.string().transform((given, context) => {
  const read = parseTime(given);
  if (read === null) context.addIssue("not an RFC 3339 time with a zone");
  return read ?? "";
});

/** Absent and null are the same: null. */
export function optional<T extends z.ZodType>(shape: T): z.ZodType<z.output<T> | null> {
  return shape.nullish().transform((value) => value ?? null);
}

/** Throws the refusal of a body that is not of this shape; unknown fields are ignored. */
export function readJsonBody<T>(body: string, shape: z.ZodType<T>): T {
  const read = shape.safeParse(parseFirstValue(body));
  if (read.success) return read.data;
  const { path, message } = read.error.issues[0] ?? { path: [], message: "" };
  const place = path.reduce<string>(
    (printed, step) => `${printed}${typeof step === "number" ? `[${step}]` : `.${String(step)}`}`,
    "",
  );
  throw badRequest(
    `unable to parse JSON body: ${place === "" ? "" : `${place.replace(/^\./, "")}: `}${message}`,
  );
}

/** As the server does, this ignores what follows the value. */
function parseFirstValue(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch (error) {
    const { values } = Bun.JSONL.parseChunk(body);
    if (values.length > 0) return values[0];
    throw badRequest(`unable to parse JSON body: ${errorText(error)}`);
  }
}
