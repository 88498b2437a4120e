/** Judges whether a new version has proved itself. Pure. */

/** A fault that shows later than this is not blamed on the update. */
export const trialMs = 120_000;
/** A version that is not confirmed by then has a fault that does not end it, for example it cannot reach the server. */
export const longestTrialMs = 600_000;

export interface TrialLook {
  /** Since this process started. */
  ranMs: number;
  /** Names of the running instances whose agents are not seen alive, now and before the switch. */
  unseen: string[];
  unseenBefore: string[];
  /** Those of `unseen` whose host does not answer. */
  away: string[];
  isServerDown: boolean;
  wasServerDown: boolean;
}

/** The reason of a roll-back is for people. */
export function judgeTrial(
  look: TrialLook,
): { kind: "go on" | "confirm" } | { kind: "roll back"; reason: string } {
  const lost = look.unseen.filter((name) => !look.unseenBefore.includes(name));
  const isDeaf = look.isServerDown && !look.wasServerDown;
  if (lost.length === 0 && !isDeaf) return { kind: look.ranMs >= trialMs ? "confirm" : "go on" };
  if (look.ranMs < longestTrialMs) return { kind: "go on" };
  // A host that is down or cut off is not the new version's fault.
  const blamed = lost.filter((name) => !look.away.includes(name));
  if (blamed.length === 0 && !isDeaf) return { kind: "confirm" };
  const reason = isDeaf ? "it does not reach the server" : `it did not find ${blamed.join(", ")} again`;
  return { kind: "roll back", reason: `${reason} within ${longestTrialMs / 60_000} minutes` };
}
