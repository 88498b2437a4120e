/**
 * One small job through the real server to one testbed: what it proves, step by step, with times. It waits for an input until the
 * factory knows whose it is, so that no other testbed can take it before.
 */
import type { Clock } from "../../doors/clock.ts";
import type { Job, UserApi } from "../../devserver/customer.ts";

export interface SmallJob {
  testbed: string;
  target: { name: string; id: string };
}

export interface SmallJobDoors {
  api: Pick<UserApi, "submitJob" | "targetOf" | "uploadInput" | "job" | "events" | "outputs" | "cancel">;
  clock: Pick<Clock, "sleep" | "uptimeMs">;
  /** Tells the factory that only this testbed may have the job; why it cannot, or null. */
  claim(job: string, testbed: string): Promise<string | null>;
  /** Why the testbed takes no job now; null: it does, or has it. */
  whyNot(testbed: string): Promise<string | null>;
  signal: AbortSignal;
}

/** `steps`: what was proved, with times. `fault`: what was not, and what to do about it; null: all was. */
export interface Proof {
  job: string | null;
  steps: string[];
  fault: string | null;
}

const limits = { lookMs: 250, leaseMs: 90_000, endMs: 15 * 60_000 };

const mark = "selftest:";
/** For every agent: the built-in one and others write the testbed's facts to the same file. */
const script = `echo "${mark} $(tr -d "\\n" <"$HOME/testbed.json" 2>/dev/null || echo "{\\"testbed\\":\\"$SP_TESTBED\\"}")"
echo well >/work/selftest.txt`;

export async function proveBySmallJob({ testbed, target }: SmallJob, doors: SmallJobDoors): Promise<Proof> {
  const { api } = doors;
  const steps: string[] = [];
  const submitted = await api.submitJob({
    name: `selftest-${testbed}`,
    target: target.name,
    output_rules: ["/work/selftest.txt"],
    tasks: [{ name: "selftest", script, env_clear: false, env: {} }],
    inputs: ["selftest"],
  });
  if (!submitted.ok) {
    const hint =
      submitted.refusal === "unauthorised"
        ? "the token in --token-file is not a user's token of this server"
        : `does the server have a target "${target.name}"?`;
    return {
      job: null,
      steps,
      fault: `the server does not take a job for it: ${submitted.message}; ${hint}`,
    };
  }
  const job = submitted.value.id;
  try {
    const fault = await follow(job, { testbed, target }, doors, steps);
    if (fault === null) return { job, steps, fault };
    const left = await cancel(job, api);
    return { job, steps, fault: left === null ? fault : `${fault}; ${left}` };
  } catch (error) {
    await cancel(job, api);
    throw error;
  }
}

/** A job that nobody takes would wait for ever. Null: it is over; else what is left, for people. */
async function cancel(job: string, api: SmallJobDoors["api"]): Promise<string | null> {
  const found = await api.job(job);
  if (found.ok && isOver(found.value)) return null;
  const cancelled = await api.cancel(job);
  return cancelled.ok ? null : `job ${job} is left on the server: ${cancelled.message}`;
}

function isOver({ state }: Job): boolean {
  return state === "completed" || state === "failed";
}

async function follow(
  job: string,
  { testbed, target }: SmallJob,
  doors: SmallJobDoors,
  steps: string[],
): Promise<string | null> {
  const { api, clock, signal } = doors;
  const resolved = await api.targetOf(job);
  if (resolved.ok && resolved.value !== null && resolved.value !== target.id) {
    return `wrong target id: the server's target "${target.name}" is ${resolved.value}, and config.toml has ${target.id}; set target.${target.name}.id to the server's`;
  }
  steps.push(`target ${target.name} has the id that config.toml names`);
  const unclaimed = await doors.claim(job, testbed);
  if (unclaimed !== null) return unclaimed;
  const uploaded = await api.uploadInput(job, "selftest", new TextEncoder().encode("selftest\n"));
  if (!uploaded.ok) return `the server does not take the job's input: ${uploaded.message}`;
  const releasedMs = clock.uptimeMs();
  for (;;) {
    if (signal.aborted) return "cancelled";
    const read = await api.job(job);
    if (read.ok && isOver(read.value)) {
      return await judge(read.value, testbed, doors, steps);
    }
    const waitedMs = clock.uptimeMs() - releasedMs;
    const isRunning = read.ok && read.value.state === "running";
    if (!isRunning && waitedMs > limits.leaseMs) {
      const why = await doors.whyNot(testbed);
      return `nobody took the job for ${Math.round(waitedMs / 1_000)} s: ${why ?? "the factory asks for jobs of this target, and the server gives it none"}`;
    }
    if (waitedMs > limits.endMs) return `the job did not end within ${limits.endMs / 60_000} min`;
    await clock.sleep(limits.lookMs, signal);
  }
}

async function judge(
  job: Job,
  testbed: string,
  { api }: SmallJobDoors,
  steps: string[],
): Promise<string | null> {
  const took = spans(job);
  if (took.leased !== null) steps.push(`the factory took the job after ${seconds(took.leased)}`);
  const events = await api.events(job.id);
  const lines = events.ok ? events.value.map(({ payload }) => payload) : [];
  const said = lines.findLast((line) => line.startsWith(mark));
  const assigned = lines.find((line) => line.startsWith("job assigned to worker")) ?? "";
  if (job.state === "failed") {
    const last = lines.slice(-3).join(" | ");
    return `the job failed${said === undefined ? " before its task printed anything" : ""}: ${last}`;
  }
  const ranOn = said === undefined ? null : nameIn(said);
  if (ranOn !== null && ranOn !== testbed) return `${ranOn} took the job (${assigned})`;
  const isHardwareTest = said === undefined;
  steps.push(
    isHardwareTest
      ? `its service ran a hardware test, which took ${seconds(took.ran)}`
      : `an agent started on ${ranOn ?? testbed}, its task ran and its lines came back, in ${seconds(took.ran)}`,
  );
  const outputs = await api.outputs(job.id);
  const isBack = outputs.ok && outputs.value.some(({ path }) => path === "/work/selftest.txt");
  if (!isBack && !isHardwareTest) return "the job's output /work/selftest.txt did not reach the server";
  if (isBack) steps.push("its output was uploaded");
  return null;
}

/** From being ready to being assigned, and from then to the end, in ms; null: not known. */
function spans({ times }: Job): { leased: number | null; ran: number | null } {
  const at = (name: string): number | null => {
    const text = times[name];
    return text === undefined ? null : Date.parse(text);
  };
  const between = (from: number | null, to: number | null): number | null =>
    from === null || to === null ? null : Math.max(0, to - from);
  return {
    leased: between(at("ready") ?? at("submit"), at("assigned")),
    ran: between(at("assigned"), at("complete")),
  };
}

const seconds = (ms: number | null): string =>
  ms === null ? "an unknown time" : `${(ms / 1_000).toFixed(1)} s`;

function nameIn(said: string): string | null {
  return /"(?:testbed|name)"\s*:\s*"([^"]+)"/.exec(said)?.[1] ?? null;
}
