import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { type AgentLab, type AgentProcess, openAgentLab } from "../lab/agent-lab.ts";
import { given } from "../devserver/stage.ts";
import { until } from "../lab/until.ts";

let lab: AgentLab;
let agent: AgentProcess;
beforeAll(async () => {
  lab = await openAgentLab();
});
afterEach(async () => {
  await agent.stop();
  // A worker left free would be given the next test's job.
  given(await lab.factory.deleteWorker(agent.worker));
  lab.proxy.reset();
  lab.proxy.calls.length = 0;
});
afterAll(() => lab.close());

const start = (job: string | null, pre: string | null, post: string | null): Promise<AgentProcess> =>
  lab.start(job, {
    metadata: { v: "1", pre_job_diagnostic_script: pre, post_job_diagnostic_script: post },
  });

/** Of the worker, as `stream: payload`. */
async function workerSaid(): Promise<string[]> {
  const events = given(await lab.admin.adminWorkerEvents(agent.worker));
  return events.map(({ stream, payload }) => `${stream}: ${payload.replace(/duration \d+/, "duration D")}`);
}

const holdReason = async (): Promise<string | null> =>
  given(await lab.admin.adminWorker(agent.worker)).hold?.reason ?? null;

describe("diagnostics", () => {
  test("run before and after a job, whose verdict they leave alone: a fault after it holds the worker", async () => {
    const job = await lab.submit(["echo hello"]);
    agent = await start(job, "echo pre check\n", "ls $BUILDOMAT_OPT/etc; exit 4\n");
    expect(await lab.ended(job)).toMatchObject({ state: "completed", tasks: [{ state: "completed" }] });
    await until("the worker is held", holdReason);
    expect(await holdReason()).toBe("post-job diagnostics reported a fault");
    expect(await workerSaid()).toEqual([
      "control: post-job diagnostics enabled",
      "diag.pre: starting pre-job diagnostics",
      "stdout: pre check",
      "diag.pre: process exited: duration D ms, exit code 0",
      "diag.post: starting post-job diagnostics",
      // By job-done.json the factory would know the end, and end the agent.
      "stdout: agent.json",
      "stdout: job-verdict",
      "stdout: job.json",
      "diag.post: process exited: duration D ms, exit code 4",
      "control: marked held: post-job diagnostics reported a fault",
    ]);
    const said = (await lab.events(job)).filter(({ stream }) => stream === "stdout");
    expect(said.map(({ payload }) => payload)).toEqual(["hello"]);
    await until("the factory can see the end", () => agent.file("etc/job-done.json") !== null);
    const order = lab.proxy.calls.map((call) => call.replace(/[0-9A-HJKMNP-TV-Z]{26}/g, "ID"));
    const places = [
      "POST /0/worker/bootstrap",
      "POST /0/worker/diagnostics/enable",
      "POST /0/worker/append",
      "POST /1/worker/job/ID/append",
      "POST /0/worker/job/ID/complete",
      "POST /0/worker/diagnostics/complete",
    ].map((call) => order.indexOf(call));
    expect(places).toEqual(places.toSorted((one, other) => one - other));
    expect(order.lastIndexOf("POST /0/worker/append")).toBeGreaterThan(places[4] as number);
  });

  test("find a fault before a job: it is not run, it fails with the worker, which is held", async () => {
    const job = await lab.submit(["echo never"]);
    agent = await start(job, "echo no board >&2; exit 1", null);
    expect(await lab.ended(job)).toMatchObject({ state: "failed" });
    expect(await holdReason()).toBe("pre-job diagnostics reported a fault during job execution");
    expect(await workerSaid()).toContain("stderr: no board");
    expect(await lab.said(job, "task")).toEqual([]);
    expect(agent.file("etc/job.json")).toBeNull();
    const pings = (): number => lab.proxy.calls.filter((call) => call.endsWith("/ping")).length;
    const before = pings();
    await until("it pings on", () => pings() > before);
    expect(agent.child.exitCode).toBeNull();
  });

  test("are waited for with pings, and find the environment of a task without its ids", async () => {
    agent = await start(null, "env | cut -d= -f1 | sort | tr '\\n' ' '; pwd; cat", null);
    await until("they are over", async () => (await workerSaid()).at(-1)?.startsWith("diag.pre: process"));
    expect((await workerSaid()).at(-2)).toBe(
      "stdout: BUILDOMAT_NONROOT BUILDOMAT_OPT HOME LANG LC_ALL LOGNAME PATH PWD SHLVL TZ USER _ /",
    );
    expect(await holdReason()).toBeNull();
  });

  test("that find nothing after a job let the worker go, and the rest of metadata is not applied", async () => {
    const job = await lab.submit(["exit 3"]);
    agent = await lab.start(job, {
      metadata: { v: "1", post_job_diagnostic_script: "true", root_password_hash: "x", dump_to_rpool: 1 },
    });
    expect(await lab.ended(job)).toMatchObject({ state: "failed" });
    await until("the worker is let go", async () => given(await lab.admin.adminWorker(agent.worker)).recycle);
    expect(await holdReason()).toBeNull();
    expect(agent.log()).toContain("the factory's root_password_hash, dump_to_rpool not applied here");
  });

  test("are not lost to a server in trouble", async () => {
    const failed = new Set<string>();
    lab.proxy.fate = (call) => {
      if (!/worker\/(?:append|fail)$/.test(call) || failed.has(call)) return "pass";
      failed.add(call);
      return "bad gateway";
    };
    agent = await start(null, "echo text; exit 1", "true");
    await until("the worker is held", holdReason);
    expect(await workerSaid()).toContain("stdout: text");
    expect(failed.size).toBe(2);
  });

  test("end with the agent", async () => {
    agent = await start(null, "echo up; sleep 1000", null);
    await until("they run", async () => (await workerSaid()).includes("stdout: up"));
    expect(await agent.stop()).toBe(143);
  });
});
