/**
 * A cheap look from within this process for the usual case: an instance on this host has not changed. It reads the minder's
 * files and /proc. It can only prove that the agent is still at work; the minder finds out everything else.
 */
import { z } from "zod";
import type { Files } from "../../doors/files.ts";

const identitySchema = z.object({ boot_id: z.string(), pid: z.number(), start_time: z.string() });

/** In bytes; the minder's own records are far shorter. */
const longestRecord = 4096;

export interface GlanceOptions {
  files: Pick<Files, "readText" | "isThere" | "readPiece">;
  bootId: string;
  /** If the log is longer, a full look must cut it. */
  logCapBytes: number;
}

/** Whether the agent is certainly still at work; false if this cheap look cannot tell. Never rejects. */
export async function isStillAtWork(
  directory: string,
  { files, bootId, logCapBytes }: GlanceOptions,
): Promise<boolean> {
  try {
    // A job could put a pipe there, and reading it would block the looks at all other instances.
    const record = await files.readPiece(`${directory}/minder/identity.json`, 0, longestRecord);
    const identity = identitySchema.parse(JSON.parse(new TextDecoder().decode(record?.bytes)));
    if (identity.boot_id !== bootId) return false;
    const stat = (await files.readText(`/proc/${identity.pid}/stat`)) ?? "";
    // The process's name may contain anything. After it, the state is the first word and the start time the twentieth.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (fields[19] !== identity.start_time || fields[0] === "Z" || fields[0] === "X") return false;
    if (!(await files.isThere(`${directory}/minder/started`))) return false;
    for (const end of ["minder/exit.json", "opt/etc/job-done.json"]) {
      if (await files.isThere(`${directory}/${end}`)) return false;
    }
    const log = await files.readPiece(`${directory}/agent.log`, 0, 0);
    return log !== null && log.size <= logCapBytes;
  } catch {
    return false;
  }
}
