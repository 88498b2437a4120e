/**
 * Every number that steers what the factory does, each with its reason. Here so that one question has one answer; a test finds
 * a number elsewhere in policy/ and daemon/. What an operator sets is in config/, and what another program demands is with its client.
 */
const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;

export const limits = {
  // Leases
  /** How long a lease may be used before it is renewed, since it was asked for: well before the server forgets it. */
  leaseFreshMs: 45 * second,
  /** The server forgets a lease that is not renewed within this, and ignores what is sent under it later. */
  leaseLifeMs: minute,
  /** A testbed's `check` may take as long as a lease lives; a lease that is older than this is renewed meanwhile, */
  leaseRenewDuringCheckMs: 20 * second,
  /** and asked for again this often if the server does not answer. */
  leaseRenewAgainMs: 5 * second,

  // How often things are looked at again
  /** One list of workers serves all instances: a hold or a recycle is seen within this. */
  listWhileRunningMs: 3 * second,
  /** While nothing runs, the list can only show workers that we do not know. */
  listWhileIdleMs: minute,
  /** While the answer to a request for a worker is lost, the list is read this often, */
  listWhileLostMs: 5 * second,
  /** and this soon while another request could be mistaken for it. */
  listWhileUnclearMs: second,
  /** File events, and the line to another host, report sooner. */
  lookMs: 30 * second,
  /** A silence_timeout is noticed within a quarter of it, but no agent is looked at more often. */
  silenceLookMs: second,
  /** A job is told of its end by a time limit this long before: time to save what is wanted of it. */
  announceMs: 5 * minute,
  /** A board whose job may still run is looked at this often. */
  boardLookMs: 2 * second,
  /** Each other host and service with a free testbed. */
  reachMs: minute,
  /** One look for this host, however many testbeds it has: about 20 processes. */
  hostMs: minute,
  /** A testbed is back within 10 s of the fix, including the time of the look. */
  faultyHostMs: 8 * second,
  /** Locks that others hold on this host: a testbed that another factory frees is offered within this. */
  locksMs: 5 * second,
  /** With no free testbed nothing else proves that the token is good. */
  pingMs: 10 * second,
  /** After a refused token: an administrator may fix it on the server. */
  pingWhileRefusedMs: 30 * second,
  /** A `check` that failed is run again. */
  checkMs: 10 * second,
  /** An agent from before the start that cannot be asked is asked again. */
  recallMs: 5 * second,
  /** Two lists prove something only this far apart. */
  confirmMs: 10 * second,
  /** How often a held worker is looked at. */
  heldMs: 3 * second,
  /** A worker of an instance that we do not know, and that never came online, is deleted after this. */
  strangerMs: 10 * minute,
  /** After this, a request for a worker that the server has not settled holds up nothing else. */
  settleMs: 5 * minute,
  /** Longest sleep of the loop, so a missed wake-up costs no more. An operator's word causes no wake-up. */
  sleepMs: 2 * second,

  // The configuration
  /** Its file is looked at, so that one that was saved is read even if no file event came. */
  configMs: 10 * second,
  /** A file that is being written is read when it has been the same for so long. */
  configSettleMs: 500,

  // Agents
  /** A minder that is not told to go unlocks the testbed and exits. */
  armedMs: 2 * minute,
  /** A host's clock may run slower than ours, and the call that armed it may have come late. */
  armedMarginMs: minute,
  /** An agent ends at once on TERM unless it is stuck; after this it is killed. */
  killAfterMs: 10 * second,
  /** How long a stopping daemon waits for what is under way; the next start finishes the rest. */
  stopMs: 2 * second,
  /** The agent's log is cut to this. */
  logBytes: 100 * 1024 * 1024,
  /** The usual limit of a login. Bun raises its own soft limit, and programs that use select() misbehave above this. */
  openFiles: 1024,
  /** How much of the agent's log the owner sees of a job that the lab failed. */
  logTailBytes: 2_000,
  /** sun_path is 104 bytes on some systems, its final zero included. */
  socketPathBytes: 103,
  /** Give up on the agent of a hardware test after this many restarts. */
  agentRestarts: 3,
  /** Failed restarts before giving up, half a minute apart after the first few: the cause, e.g. a full disk, may pass. */
  restartFailures: 20,
  /** How many looks must fail to find out whether anything is left before an operator's word counts. */
  looksBeforeWord: 2,
  /** A board that is not back after this many recoveries needs a person. */
  boardRecoveries: 3,
  /** How long a recovery may take; until then the board is only looked at. */
  boardRecoveryMs: 2 * minute,

  // Failures
  /** After a failure of the lab, a testbed takes no job for this long, doubled at the next failure in a row. */
  strikeMs: 10 * second,
  /** This many failures in a row are a quarantine. */
  quarantineStrikes: 3,
  /** A quarantined testbed is tried again after this long, doubled at each failure, */
  quarantineMs: minute,
  /** up to this: a board that nobody repairs takes a job an hour. */
  longestQuarantineMs: hour,
  /** Testbeds that fail for one cause within this may fail by what they share: longer than a job's start takes on the next one. */
  sharedMs: 2 * minute,
  /** A failure this soon after the server came back may still be its absence's: agents, too, wait before they ask again. */
  serverBackMs: minute,
  /** No other wait after failures is longer. */
  longestRestMs: 10 * minute,
  /** If a job goes away before its agent is online, the next is asked for after this long, doubled each time. */
  restMs: second,
  /** A failed action is tried again after this long, doubled each time, */
  backOffMs: second,
  /** up to this. */
  longestBackOffMs: 30 * second,

  // Operators
  /** A reservation without a length. */
  reservationMs: hour,
  /** Its end is announced so long before. */
  remindMs: 10 * minute,
  /** An act that must wait for a step of its testbed is given up: its asker waits no longer. */
  actWaitMs: 30 * second,
  /** A service that is told to recover a board may answer when it is done. */
  recoverAnswerMs: 10 * second,

  // How much at once
  /** Jobs of self-tests that are kept in mind: some never come. */
  meantJobs: 1000,
  /** In each lane: bounds processes and connections, however many testbeds there are. */
  actionsInLane: 64,
  /** Instances that one log line names. */
  instancesNamed: 10,

  // Old directories and rows
  /** Old instance directories are looked through. */
  sweepMs: hour,
  /** Looking through a large work directory keeps its disk busy, and each host costs a process here. */
  hostsSweptAtOnce: 4,
  /** Rows outlive their directories: one that could not be removed, or whose host was away, is found by its row. */
  rowsMs: 90 * 24 * hour,
  /** The journal has no more entries: half a gigabyte, a week of 1,000 testbeds that are never idle. */
  journalEntries: 1_000_000,
  /** So many rows go with one commit; */
  rowsPerCommit: 1000,
  /** the loop runs on in between. */
  betweenCommitsMs: 50,
};
