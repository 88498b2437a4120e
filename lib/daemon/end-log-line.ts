/** The one line that the log has of an instance's end. Pure. */
import type { Instance } from "../words/domain.ts";
import { showDuration } from "../words/duration.ts";
import type { EndRecord } from "../hosts/minder/minder-answer.ts";

/** `ranMs`: from the agent's start to the decision to end it; null if it was never started, or nobody knows. */
export function describeEnd(
  { testbed, endCause, endReason, wentAt }: Pick<Instance, "testbed" | "endCause" | "endReason" | "wentAt">,
  record: EndRecord | null,
  ranMs: number | null,
): { isLost: boolean; line: string } {
  const { jobName, verdict } = record ?? { jobName: null, verdict: null };
  const job = jobName === null ? "the job" : `job ${JSON.stringify(jobName)}`;
  const ran = ranMs === null ? "" : ` after ${showDuration(ranMs)}`;
  const when = wentAt === null ? " before it was started" : ran;
  const say = (what: string, why: string | null, isLost = false) => ({
    isLost,
    line: `${testbed}: ${job} ${what}${when}${why === null || why === "" ? "" : `: ${why}`}`,
  });
  if (verdict !== null) return say(verdict.is, verdict.why);
  // Neither the external agent nor the server tells a factory whether the job was good.
  if (endCause === "job done") return say("ended", null);
  // The server recycles the worker of a job that was completed, too: without the agent's files both look alike.
  if (endCause === "worker recycled" && wentAt !== null && jobName === null) return say("ended", null);
  if (endCause === "worker recycled")
    return say("was cancelled", "by its owner, an administrator or the server's time limit");
  return say("was lost", endReason, true);
}
