/** The built-in agent as a process, for a testbed that a simulated sp-runner service works on. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type MoodyRunner, startMoodyRunner } from "../../lab/moody-runner.ts";
import { openClock } from "../../../lib/doors/clock.ts";
import { openRandom } from "../../../lib/doors/random.ts";
import { type AgentLab, type AgentProcess, openAgentLab } from "../../lab/agent-lab.ts";
import { given } from "../../devserver/stage.ts";
import { until } from "../../lab/until.ts";

let lab: AgentLab;
let runner: MoodyRunner;
/** How many agents were started: the lab names their directories so. */
let count = 0;
beforeAll(async () => {
  lab = await openAgentLab();
});
beforeEach(() => {
  runner = startMoodyRunner({ clock: openClock(), random: openRandom(), boards: ["bed"] });
});
afterEach(async () => {
  lab.proxy.reset();
  await runner.stop();
});
afterAll(() => lab.close());

/** An agent for the job, whose instance directory is the lab's next one. */
async function start(job: string): Promise<AgentProcess> {
  const instance = join(lab.directory, String(count++));
  for (const name of ["work", "input"]) mkdirSync(join(instance, name), { recursive: true });
  const testbed = {
    testbed: "bed",
    sp_runner_url: runner.url,
    input_dir: join(instance, "input"),
    output_dir: join(instance, "work"),
    test_type: "smoke",
    baseline: "v1",
    disable_watchdog: false,
  };
  return await lab.start(job, { testbed });
}

function startAgain(agent: AgentProcess): AgentProcess {
  count += 1;
  return lab.relaunch(agent);
}

async function kill(agent: AgentProcess): Promise<void> {
  agent.child.kill("SIGKILL");
  await agent.child.exited;
}

const paths = async (job: string): Promise<string[]> =>
  given(await lab.user.outputs(job))
    .map(({ path }) => path)
    .toSorted();
const report = ["/work/sp-runner.log", "/work/test-report.json", "/work/test-summary.json"];

test("an agent shares its instance's own directories with the service, whatever the job's rules are", async () => {
  const job = await lab.submit(
    ["echo never"],
    { output_rules: ["!/work/*", "=/input/image"] },
    { image: new TextEncoder().encode("an image") },
  );
  const agent = await start(job);
  expect(await lab.ended(job)).toMatchObject({ state: "completed" });
  expect(readFileSync(join(agent.instance, "input/image"), "utf8")).toBe("an image");
  expect(existsSync(agent.input)).toBe(false);
  expect(await paths(job)).toEqual(["/input/image", ...report]);
  expect(await lab.said(job, "stdout")).not.toContain("never");
  await agent.stop();
});

test("an agent started again before anything was submitted starts from the beginning", async () => {
  const job = await lab.submit(["true"]);
  const release = runner.occupy("bed");
  const agent = await start(job);
  await until("it waits", async () =>
    (await lab.said(job, "worker")).join().includes("waiting for the board"),
  );
  await kill(agent);
  const again = startAgain(agent);
  release();
  expect(await lab.ended(job)).toMatchObject({ state: "completed" });
  expect(await lab.said(job, "worker")).toContain("the agent was started again, and goes on");
  expect(runner.submissions()).toHaveLength(1);
  await again.stop();
});

test("a job is one hardware test: its further tasks are not run, and say so", async () => {
  const job = await lab.submit(["true", "true"]);
  const agent = await start(job);
  expect(await lab.ended(job)).toMatchObject({ state: "completed" });
  expect(runner.submissions()).toHaveLength(1);
  expect(await lab.said(job, "worker")).toContain("sp-runner: not run, a job is one hardware test");
  await agent.stop();
});

test("an agent started again while the service works follows the same job and does not touch its inputs", async () => {
  runner.mood.isHeld = true;
  const job = await lab.submit(["true"], {}, { image: new TextEncoder().encode("an image") });
  const agent = await start(job);
  await until("it is submitted", () => agent.file("etc/sp-runner.json")?.includes("submitted") === true);
  await kill(agent);
  const again = startAgain(agent);
  await until("it goes on", async () => (await lab.said(job, "worker")).join().includes("goes on"));
  runner.mood.isHeld = false;
  expect(await lab.ended(job)).toMatchObject({ state: "completed" });
  expect(runner.submissions()).toHaveLength(1);
  const downloads = (await lab.said(job, "worker")).filter((line) => line.startsWith("downloading"));
  expect(downloads).toEqual(["downloading input: /input/image"]);
  expect(await paths(job)).toEqual(report);
  await until("it is done", () => again.file("etc/job-done.json") !== null);
  await again.stop();
});

test.each(["passed", "failed"] as const)(
  "an agent started again in mid-upload of a job that %s ends it so, with its files",
  async (outcome) => {
    runner.mood.outcome = outcome;
    const job = await lab.submit(["true", "true"]);
    let outputs = 0;
    lab.proxy.fate = (call) => (call.endsWith("/output") && ++outputs > 2 ? "bad gateway" : "pass");
    const agent = await start(job);
    await until("it uploads", () => outputs > 3);
    await kill(agent);
    await runner.stop();
    lab.proxy.reset();
    const again = startAgain(agent);
    expect(await lab.ended(job)).toMatchObject({ state: outcome === "passed" ? "completed" : "failed" });
    expect(await paths(job)).toEqual(report);
    await again.stop();
  },
);

test("an agent started again after its job's end changes no verdict", async () => {
  const job = await lab.submit(["true"]);
  lab.proxy.fate = (call) => (call.endsWith(`${job}/complete`) ? "lose answer" : "pass");
  const agent = await start(job);
  expect(await lab.ended(job)).toMatchObject({ state: "completed" });
  await kill(agent);
  lab.proxy.reset();
  const pings = lab.proxy.calls.length;
  const again = startAgain(agent);
  await until(
    "it pings",
    () => lab.proxy.calls.slice(pings).filter((call) => call.endsWith("/ping")).length > 1,
  );
  expect(await lab.ended(job)).toMatchObject({ state: "completed" });
  expect(given(await lab.admin.adminWorker(agent.worker)).hold).toBeNull();
  expect(lab.proxy.calls.slice(pings)).not.toContain("POST /0/worker/fail");
  await again.stop();
});

test("an agent started again on an unreadable record fails the job", async () => {
  runner.mood.isHeld = true;
  const job = await lab.submit(["true"]);
  const agent = await start(job);
  await until("it is submitted", () => runner.submissions().length === 1);
  await kill(agent);
  writeFileSync(join(agent.base, "etc/job.json"), "{");
  const again = startAgain(agent);
  expect(await lab.ended(job)).toMatchObject({ state: "failed" });
  await again.stop();
});

test.each(["{", '{"sp_runner_url": 7}', null])(
  "an agent exits 1 if testbed.json is %j: no script runs in the service's place",
  async (text) => {
    const job = await lab.submit(["echo never"]);
    const agent = await start(job);
    await kill(agent);
    const path = join(agent.home, "testbed.json");
    rmSync(path);
    if (text === null) mkdirSync(path);
    else writeFileSync(path, text);
    const again = startAgain(agent);
    expect(await again.child.exited).toBe(1);
    expect(again.log()).toContain("testbed.json");
  },
);
