/** Why an instance ends. What follows from each cause, and its text for people, is in `lib/policy/end-causes.ts`. */

export const endCauses = [
  /** The server has acknowledged the job's end. */
  "job done",
  /** The server has no such worker any more. */
  "worker gone",
  /** The server wants the worker deleted: the job was cancelled, or it is over. */
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
  // The testbed cannot be got ready for its job.
  "not configured",
  "target not served",
  /** The minder found that another factory holds the testbed or its host. */
  "in use elsewhere",
  /** Another instance already has its name in the work directory. */
  "name taken",
  "preflight failed",
  "check failed",
  /** The lease ended while the testbed was being got ready. */
  "not ready in time",
  // The server gives no worker for its job.
  "lease lost",
  "lease not renewed",
  "job taken",
  "worker refused",
  /** The server answered with a worker that another instance has. */
  "worker of another",
  /** The answer to the request was lost, and no worker came of it. */
  "request lost",
] as const;

export type EndCause = (typeof endCauses)[number];

export interface End {
  cause: EndCause;
  /** Completes the text: a limit that passed, what another program said. */
  detail?: string;
}
