/** Why an instance ends. `lib/policy/end-causes.ts` has the consequences of each cause and its text for people. */

export const endCauses = [
  /** The server has acknowledged the job's end. */
  "job done",
  /** The server no longer has the worker. */
  "worker gone",
  /** The server wants the worker deleted: the job was cancelled or is over. */
  "worker recycled",
  /** The agent ended by itself before its job did. */
  "agent exited",
  /** The agent was killed, or its host restarted. */
  "agent killed",
  /** The agent was started, and nothing of it is left. */
  "agent lost",
  /** The agent was started by the Rust factory, and ended with it. */
  "agent ended with its factory",
  /** start_timeout passed. */
  "never online",
  /** job_timeout passed. */
  "job too long",
  /** silence_timeout passed. */
  "job silent",
  /** An operator vouches that nothing of it is left running. */
  "cleared",
  // From here: the testbed cannot be made ready for its job.
  "not configured",
  "target not served",
  /** The minder found that another factory holds the testbed or its host. */
  "in use elsewhere",
  /** Another instance already has its name in the work directory. */
  "name taken",
  "preflight failed",
  "check failed",
  /** An operator paused, reserved or quarantined it. */
  "withheld",
  /** The lease ended while the testbed was being made ready. */
  "not ready in time",
  // From here: the server does not give a worker for the job.
  "lease lost",
  "lease not renewed",
  "job taken",
  "worker refused",
  /** The server answered with a worker that belongs to another instance. */
  "worker of another",
  /** The answer to the request was lost, and there is no worker from it. */
  "request lost",
] as const;

export type EndCause = (typeof endCauses)[number];

export interface End {
  cause: EndCause;
  /** Completes the text, for example with the limit that passed or with another program's message. */
  detail?: string;
}
