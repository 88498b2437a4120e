/** How the demo's jobs ended, and how they should have. */
import { createHash } from "node:crypto";
import type { CustomerApi, Job } from "../../devserver/customer.ts";
import { FactoryError } from "../../words/failure.ts";
import { alignColumns } from "../../words/columns.ts";
import type { DemoJob } from "./jobs.ts";

export interface DemoRun {
  job: DemoJob;
  id: string;
  state: string;
  last: Job | null;
}

interface Verdict {
  testbed: string;
  waited: string;
  ran: string;
  result: string;
  /** What is not as expected; null: nothing. */
  fault: string | null;
}

async function judge(run: DemoRun, user: CustomerApi, admin: CustomerApi): Promise<Verdict> {
  const job = must(await user.job(run.id));
  const events = must(await user.events(run.id));
  const assigned = events
    .map(({ payload }) => /^job assigned to worker (\w+)/.exec(payload)?.[1])
    .find(Boolean);
  const place = assigned === undefined ? null : must(await admin.adminWorker(assigned)).factory_private;
  const faults: string[] = [];
  if (job.state !== run.job.expected) faults.push(`${job.state} instead of ${run.job.expected}`);
  if (job.cancelled !== run.job.isCancelled) faults.push("cancelled");
  const { says } = run.job;
  if (says !== null && !events.some(({ stream, payload }) => stream === "stdout" && payload === says)) {
    faults.push(`did not say "${says}"`);
  }
  const outputs = must(await user.outputs(run.id));
  for (const [path, sha256] of Object.entries(run.job.outputs)) {
    const output = outputs.find((each) => each.path === path);
    const bytes = output === undefined ? null : must(await user.downloadOutput(run.id, output.id));
    const found = bytes === null ? null : createHash("sha256").update(bytes).digest("hex");
    if (found !== sha256) faults.push(`${path} is ${found === null ? "missing" : "not what was written"}`);
  }
  return {
    testbed: place?.replace(/\/\d+$/, "") ?? "-",
    waited: between(job.times["submit"], job.times["assigned"]),
    ran: between(job.times["assigned"], job.times["complete"]),
    result: job.cancelled ? "cancelled" : job.state,
    fault: faults.length === 0 ? null : faults.join(", "),
  };
}

function between(from: string | undefined, to: string | undefined): string {
  if (from === undefined || to === undefined) return "-";
  return `${((Date.parse(to) - Date.parse(from)) / 1000).toFixed(1)} s`;
}

/** Prints how each job ended, and the output of those that did not end as they should; resolves with their number. */
export async function showVerdicts(
  runs: DemoRun[],
  { user, admin, print }: { user: CustomerApi; admin: CustomerApi; print(line: string): void },
): Promise<number> {
  const judged = await Promise.all(runs.map(async (run) => ({ run, ...(await judge(run, user, admin)) })));
  const rows = judged.map(({ run, testbed, waited, ran, result, fault }) => {
    const { title } = run.job;
    return [title, testbed, waited, ran, result, fault ?? "yes"];
  });
  const titles = ["job", "testbed", "waited", "ran", "result", "as expected"];
  print(["", ...alignColumns([titles, ...rows]), ""].join("\n"));
  const wrong = judged.filter(({ fault }) => fault !== null);
  for (const { run } of wrong) {
    const events = must(await user.events(run.id));
    const lines = alignColumns(events.map(({ stream, payload }) => ["", stream, payload.trimEnd()]));
    print([`Output of ${run.job.title}:`, ...lines, ""].join("\n"));
  }
  return wrong.length;
}

/** The embedded server refuses nothing that the demo asks. */
export function must<T>(answer: { ok: true; value: T } | { ok: false; message: string }): T {
  if (answer.ok) return answer.value;
  throw new FactoryError(`The demo's server refused a call: ${answer.message}`, { exitCode: 1 });
}
