/** The one line that the log has of an instance's end. Pure. */
import { showDuration } from "../words/duration.ts";
import type { JobEntry, JobResult } from "../words/journal.ts";

const words: Record<JobResult, string> = {
  passed: "completed",
  failed: "failed",
  cancelled: "was cancelled",
  lost: "was lost",
  ended: "ended",
  "not begun": "was not begun",
};

export function describeEnd({
  testbed,
  jobName,
  result,
  reason,
  isStarted,
  wentMs,
  endedMs,
}: Pick<JobEntry, "testbed" | "jobName" | "result" | "reason" | "isStarted" | "wentMs" | "endedMs">): string {
  const job = jobName === null ? "the job" : `job ${JSON.stringify(jobName)}`;
  const ran = wentMs === null ? "" : ` after ${showDuration(endedMs - wentMs)}`;
  const when = isStarted ? ran : " before it was started";
  return `${testbed}: ${job} ${words[result]}${when}${reason === null || reason === "" ? "" : `: ${reason}`}`;
}
