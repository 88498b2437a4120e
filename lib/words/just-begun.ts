/** What is true of every instance that has just begun. */
export const justBegun = {
  isCleared: false,
  createSentAt: null,
  bootstrap: null,
  wentAt: null,
  isOnline: false,
  isFlushed: false,
  announced: {},
  endReason: null,
  endCause: null,
  untold: null,
  endedMs: null,
} as const;
