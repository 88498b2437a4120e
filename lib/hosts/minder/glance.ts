/**
 * A look from within this process, for the usual case: an instance of this host is as it was. It reads what the minder wrote,
 * and /proc. It proves nothing but that the agent is still at work; all else is the minder's to find out.
 */
import { z } from "zod";
import type { Files } from "../../doors/files.ts";

const identitySchema = z.object({ boot_id: z.string(), pid: z.number(), start_time: z.string() });

/** Bytes: the minder's own is far shorter. */
const longestRecord = 4096;

export interface GlanceOptions {
  files: Pick<Files, "readText" | "isThere" | "readPiece">;
  bootId: string;
  /** A log that is longer is for a look to cut. */
  logCapBytes: number;
}

/** False where it cannot be told so cheaply. Never rejects. */
export async function isStillAtWork(
  directory: string,
  { files, bootId, logCapBytes }: GlanceOptions,
): Promise<boolean> {
  try {
    // A job could put anything there: a pipe would keep the looks at all other instances waiting.
    const record = await files.readPiece(`${directory}/minder/identity.json`, 0, longestRecord);
    const identity = identitySchema.parse(JSON.parse(new TextDecoder().decode(record?.bytes)));
    if (identity.boot_id !== bootId) return false;
    const stat = (await files.readText(`/proc/${identity.pid}/stat`)) ?? "";
    // After the name, which may hold anything: the state is the first word, the start time the twentieth.
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
