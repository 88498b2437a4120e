/** Ends all processes of a group, also those that are stuck: TERM, a grace, KILL. */
import type { Clock } from "../../doors/clock.ts";
import { errorCode } from "../os-error.ts";

const lookMs = 20;
/** After KILL: only a process in the kernel's hands, or one that its parent has not collected, can still be there. */
const giveUpAfterMs = 1000;

/** Resolves when nobody of the group is left, or KILL did not help. */
export async function endProcessGroup(group: number, graceMs: number, clock: Clock): Promise<void> {
  const isGone = async (withinMs: number): Promise<boolean> => {
    for (let waited = 0; waited < withinMs; waited += lookMs) {
      if (!signalGroup(group, 0)) return true;
      await clock.sleep(lookMs);
    }
    return !signalGroup(group, 0);
  };
  signalGroup(group, "SIGTERM");
  if (await isGone(graceMs)) return;
  signalGroup(group, "SIGKILL");
  await isGone(giveUpAfterMs);
}

/** False if the group has no member. */
function signalGroup(group: number, signal: "SIGTERM" | "SIGKILL" | 0): boolean {
  try {
    process.kill(-group, signal);
    return true;
  } catch (error) {
    // EPERM: the group is there, but another user's.
    return errorCode(error) === "EPERM";
  }
}
