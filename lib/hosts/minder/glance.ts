/**
 * A cheap look from within this process for the usual case: an instance on this host has not changed. It reads the minder's
 * files and /proc. It can only prove that the agent is still at work; the minder finds out everything else.
 */
import { z } from "zod";
import type { Files } from "../../doors/files.ts";
import { readRecordedName } from "./answer-parser.ts";
import type { MinderView } from "./minder-answer.ts";

const identitySchema = z.object({ boot_id: z.string(), pid: z.number(), start_time: z.string() });

/** In bytes; the minder's own records are far shorter. */
const longestRecord = 4096;

/** The job's name is near the beginning of its record. */
const recordBytes = 100_000;

export interface GlanceOptions {
  files: Pick<Files, "readText" | "isThere" | "readPiece">;
  bootId: string;
  /** If the log is longer, a full look must cut it. */
  logCapBytes: number;
  /** The job's name is wanted. */
  isNameless: boolean;
}

/** What it shows of an agent that is certainly still at work; null if this cheap look cannot tell that. Never rejects. */
export async function glance(
  directory: string,
  { files, bootId, logCapBytes, isNameless }: GlanceOptions,
): Promise<Pick<MinderView, "output" | "jobName"> | null> {
  // A job could put a pipe there, and reading it would block the looks at all other instances.
  const read = async (path: string, maxBytes: number): Promise<string> => {
    const piece = await files.readPiece(`${directory}/${path}`, 0, maxBytes);
    return piece === null ? "" : new TextDecoder().decode(piece.bytes);
  };
  try {
    const identity = identitySchema.parse(JSON.parse(await read("minder/identity.json", longestRecord)));
    if (identity.boot_id !== bootId) return null;
    const stat = (await files.readText(`/proc/${identity.pid}/stat`)) ?? "";
    // The process's name may contain anything. After it, the state is the first word and the start time the twentieth.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (fields[19] !== identity.start_time || fields[0] === "Z" || fields[0] === "X") return null;
    if (!(await files.isThere(`${directory}/minder/started`))) return null;
    for (const end of ["minder/exit.json", "opt/etc/job-done.json"]) {
      if (await files.isThere(`${directory}/${end}`)) return null;
    }
    const log = await files.readPiece(`${directory}/agent.log`, 0, 0);
    if (log === null || log.size > logCapBytes) return null;
    // The built-in agent's, as the minder's look reads it.
    const [output = null] = /^(?:own|\d+)$/m.exec(await read("opt/run/printed", longestRecord)) ?? [];
    const jobName = isNameless ? readRecordedName(await read("opt/etc/job.json", recordBytes)) : null;
    return { output, ...(jobName === null ? {} : { jobName }) };
  } catch {
    return null;
  }
}
