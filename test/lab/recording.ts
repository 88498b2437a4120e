/** The recordings of the real server under test/wire/: their lines, and what their placeholders and byte bodies stand for. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

const lineSchema = z.object({
  /** Seconds from the recording's start. */
  t: z.number(),
  who: z.string(),
  method: z.enum(["GET", "POST", "PUT", "PATCH", "DELETE"]),
  path: z.string(),
  note: z.string().optional(),
  request_headers: z.record(z.string(), z.string()),
  request_body: z.unknown(),
  status: z.number(),
  response_headers: z.record(z.string(), z.string()),
  response_body: z.unknown(),
});
export type RecordedLine = z.infer<typeof lineSchema>;

const directory = join(import.meta.dir, "../wire");

export const recordingNames: string[] = readdirSync(directory).filter((name) => name.endsWith(".jsonl"));

export function readRecording(name: string): RecordedLine[] {
  const text = readFileSync(join(directory, name), "utf8");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => lineSchema.parse(JSON.parse(line)));
}

/** A line of the sp-runner's side, which the server has no part in. */
export function isSpRunnerLine(line: RecordedLine): boolean {
  return line.who.startsWith("factory-to-sp-runner");
}

/** An append that the recorded server took; the main line, and with it the embedded server, refuses the stream's name. */
export function isRefusedToday({ path, request_body: body }: RecordedLine): boolean {
  const isAppend = path.endsWith("/append") && typeof body === "object" && body !== null;
  return isAppend && "stream" in body && /[^A-Za-z0-9._-]/.test(String(body.stream));
}

/** A body of which only length and hash were kept. */
export interface DigestedBody {
  length: number;
  sha256: string;
}

export function isDigest(body: unknown): body is DigestedBody {
  return typeof body === "object" && body !== null && "sha256" in body && "length" in body;
}

export function sha256(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

/** JSON with the blanks of the program that sent it, as the recorded hashes of bodies have them. */
export function spacedJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spacedJson).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(([key, each]) => `${JSON.stringify(key)}: ${spacedJson(each)}`);
  return `{${members.join(", ")}}`;
}

const encode = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);

/** What the recorded job printed into its output file. */
const numbers = encode(Array.from({ length: 900_000 }, (_, index) => `${index + 1}\n`).join(""));
const knownBodies = [
  encode("hello"),
  encode(spacedJson({ supported_targets: [] })),
  encode(spacedJson({ value: "v".repeat(10_241), secret: false })),
  numbers.slice(0, 5_242_880),
  numbers.slice(5_242_880),
  numbers,
  numbers.slice(0, 100),
];
const bodiesByHash = new Map(knownBodies.map((bytes) => [sha256(bytes), bytes]));

/** The recorded bytes where they are known; any others of that length where not. */
export function bytesOf(digest: DigestedBody): { bytes: Uint8Array<ArrayBuffer>; isKnown: boolean } {
  const known = bodiesByHash.get(digest.sha256);
  if (known !== undefined) return { bytes: known, isKnown: true };
  return { bytes: new Uint8Array(digest.length).fill(0x20), isKnown: false };
}
