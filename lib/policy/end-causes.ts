/** What follows from each cause of an end, and its text for people. No other file may decide by such a text. Pure. */
import type { Worker } from "../server/factory-side.ts";
import type { End, EndCause } from "../words/end-cause.ts";

/** What happens to a leased job that has no worker yet. */
export type LeaseThen =
  /** Another testbed may take it. */
  | "passed on"
  /** Another testbed may take it, or the same one with its next instance. */
  | "passed on, also here"
  /** It stays with this factory until the server forgets the lease, and its testbed rests as long. */
  | "lapses"
  /** It no longer belongs to this factory. */
  | "gone";

export interface EndRule {
  text(detail: string): string;
  /** The job's owner reads the text before anything is stopped, and the testbed has a strike if its agent was not at work. */
  isLabsFault: boolean;
  /** Whether the worker, read just before the end is decided, disproves a cause that comes from an older list. */
  isRefutedBy(worker: Worker): boolean;
  lease: LeaseThen;
}

const never = (): boolean => false;

/** If there is a worker already, the lab loses the job. */
function unready(text: EndRule["text"], lease: LeaseThen = "passed on"): EndRule {
  return { text, isLabsFault: true, isRefutedBy: never, lease };
}

function labs(text: EndRule["text"], isRefutedBy: EndRule["isRefutedBy"] = never): EndRule {
  return { text, isLabsFault: true, isRefutedBy, lease: "lapses" };
}

function nobodys(
  text: EndRule["text"],
  isRefutedBy: EndRule["isRefutedBy"] = never,
  lease: LeaseThen = "lapses",
): EndRule {
  return { text, isLabsFault: false, isRefutedBy, lease };
}

export const endRules: Record<EndCause, EndRule> = {
  "job done": nobodys(() => "the job is done"),
  "worker gone": nobodys(
    () => "the worker is gone",
    () => true,
  ),
  "worker recycled": nobodys(
    () => "the server recycles the worker",
    (worker) => !worker.recycle,
  ),
  "agent exited": labs((how) => `the agent ended before the job did${how === "" ? "" : `: ${how}`}`),
  "agent killed": labs(() => "the agent was killed, or its host restarted"),
  "agent lost": labs(() => "its agent was started, but nothing of it is left"),
  "agent ended with its factory": labs(
    () => "its agent was started by the previous factory program, and ended with it",
  ),
  "never online": labs(
    (limit) => `the agent did not reach the server within start_timeout (${limit})`,
    (worker) => worker.online,
  ),
  "job too long": labs((limit) => `the job ran longer than job_timeout (${limit})`),
  "job silent": labs((times) => `the job printed nothing for ${times}`),
  cleared: labs((because) => `an operator cleared the testbed: ${because}`),
  "not configured": unready(() => "the testbed is no longer configured"),
  "target not served": unready(() => "the testbed no longer serves the target"),
  "in use elsewhere": unready((owner) => `the testbed is in use elsewhere: ${owner}`),
  "name taken": unready((reason) => reason, "passed on, also here"),
  "preflight failed": unready((reason) => `preflight failed: ${reason}`),
  "check failed": unready((reason) => `its check fails: ${reason}`),
  withheld: nobodys((how) => `the testbed is ${how}`, never, "passed on"),
  "not ready in time": nobodys(() => "the testbed was not ready before the lease ended"),
  "lease lost": nobodys(() => "the server no longer leases the job to us", never, "gone"),
  "lease not renewed": nobodys((reason) => `the server does not renew the lease: ${reason}`),
  "job taken": nobodys((reason) => `another worker has the job: ${reason}`, never, "gone"),
  "worker refused": nobodys((reason) => `the server refused a worker: ${reason}`),
  "worker of another": nobodys(() => "its worker belongs to another instance"),
  "request lost": nobodys(() => "the request did not lead to a worker"),
};

export function endText({ cause, detail = "" }: End): string {
  return endRules[cause].text(detail);
}

/** The end in an instance's record. */
export function endedBy(end: End): { endCause: EndCause; endReason: string } {
  return { endCause: end.cause, endReason: endText(end) };
}

/** The text for the job's owner; null: none, because the lab did not fail the job. */
export function toldOwner(end: End): string | null {
  return endRules[end.cause].isLabsFault ? endText(end) : null;
}
