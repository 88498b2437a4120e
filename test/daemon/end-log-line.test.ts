/** What the log says of an instance's end: each kind of end reads differently. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeEnd } from "../../lib/daemon/end-log-line.ts";
import { judgeEnd } from "../../lib/daemon/job-entry.ts";
import type { EndRecord } from "../../lib/hosts/minder/minder-answer.ts";
import { readTidy } from "../../lib/hosts/minder/answer-parser.ts";
import type { EndCause } from "../../lib/words/end-cause.ts";
import type { JobResult } from "../../lib/words/journal.ts";
import { type FactoryProcess, type Lab, must, openLab } from "../lab/lab.ts";
import { openRunnerLab } from "../lab/sp-runner-lab.ts";
import { until } from "../lab/until.ts";

setDefaultTimeout(60_000);

const named: EndRecord = { jobName: "power on", verdict: null };
const done = (is: "completed" | "failed", why = ""): EndRecord => ({ ...named, verdict: { is, why } });

const judged = (
  endCause: EndCause,
  record: EndRecord | null,
  {
    isStarted = true,
    wentMs = isStarted ? 1_000 : null,
  }: { isStarted?: boolean; wentMs?: number | null } = {},
): { result: JobResult; line: string } => {
  const end = judgeEnd({ endCause, endReason: "the agent was killed" }, isStarted, record);
  return {
    result: end.result,
    line: describeEnd({ ...end, testbed: "bed-1", isStarted, wentMs, endedMs: 13_000 }),
  };
};

test.each<[string, JobResult, EndCause, EndRecord | null]>([
  ['bed-1: job "power on" completed after 12 s', "passed", "job done", done("completed")],
  ['bed-1: job "power on" completed after 12 s', "passed", "worker recycled", done("completed")],
  [
    'bed-1: job "power on" failed after 12 s: task "x": exit code 3',
    "failed",
    "job done",
    done("failed", 'task "x": exit code 3'),
  ],
  ['bed-1: job "power on" ended after 12 s', "ended", "job done", named],
  [
    `bed-1: job "power on" was cancelled after 12 s: by its owner, an administrator or the server's time limit`,
    "cancelled",
    "worker recycled",
    named,
  ],
  // Without the agent's files a job that failed looks like one that was cancelled.
  ["bed-1: the job ended after 12 s", "ended", "worker recycled", { jobName: null, verdict: null }],
  ["bed-1: the job ended after 12 s", "ended", "worker recycled", null],
  ["bed-1: the job was lost after 12 s: the agent was killed", "lost", "agent killed", null],
])("describeEnd() and the journal agree: %s", (line, result, endCause, record) => {
  expect(judged(endCause, record)).toEqual({ line, result });
});

test("describeEnd() claims no time that nobody knows, and says that a job was never started", () => {
  expect(judged("job too long", named, { wentMs: null }).line).toBe(
    'bed-1: job "power on" was lost: the agent was killed',
  );
  expect(judged("job too long", null, { isStarted: false }).line).toBe(
    "bed-1: the job was lost before it was started: the agent was killed",
  );
  expect(judged("worker recycled", null, { isStarted: false }).line).toMatch(
    /^bed-1: the job was cancelled before it was started: /,
  );
});

test.each([
  ['a \\"quoted\\" one\\\\", more', 'a "quoted" one\\'],
  ["caf\\u00e9", "café"],
  ["cut off \\u00e", "cut off "],
  ["cut off \\", "cut off "],
  ['", nothing', null],
])("readTidy() reads a job's name as JSON writes it: %j", (raw, jobName) => {
  expect(readTidy(["tidied", `job ${raw}`])).toEqual({
    kind: "tidied",
    left: null,
    end: { jobName, verdict: null },
  });
});

/** What the log says of the end of a job, once it is there. */
async function endOf(factory: FactoryProcess, job: string): Promise<{ message: string; level: string }> {
  const lines = await until("the end is logged", () => {
    const found = factory
      .log()
      .filter((line) => "job" in line && line.job === job && /: (?:the )?job /.test(line.message));
    return found.length > 0 ? found : null;
  });
  expect(lines).toHaveLength(1);
  return lines[0] as { message: string; level: string };
}

async function stopped(factory: FactoryProcess): Promise<void> {
  factory.kill("SIGUSR1");
  expect(await factory.exited).toBe(0);
}

const waitFor = ({ directory }: Lab): string =>
  `echo started; while [ ! -e '${directory}/end' ]; do sleep 0.05; done`;

test.concurrent("success, exit 3 and cancel of the built-in agent's jobs read differently, with the job's name", async () => {
  await using it = await openLab({ agent: "builtin" });
  const factory = it.start();
  const good = await it.submit("true", { name: 'power "on"' });
  expect((await endOf(factory, good)).message).toMatch(/^bed-1: job "power \\"on\\"" completed after \S+ s$/);
  const bad = await it.submit("exit 3", { name: "flash" });
  expect((await endOf(factory, bad)).message).toMatch(
    /^bed-1: job "flash" failed after \S+ s: task "task-0": exit code 3$/,
  );
  const bare = await it.submit("true", { name: "bare", rules: ["=/nowhere/report"] });
  expect((await endOf(factory, bare)).message).toMatch(
    /failed after \S+ s: its outputs cannot all be uploaded: rule "\/nowhere\/report" required a match, but was not used$/,
  );
  const cancelled = await it.submit(waitFor(it), { name: "long" });
  await until("it runs", async () => (await it.said(cancelled, "stdout")).includes("started"));
  must(await it.user.cancel(cancelled));
  expect((await endOf(factory, cancelled)).message).toMatch(
    /^bed-1: job "long" was cancelled after \S+ s: by its owner/,
  );
  await stopped(factory);
});

test.concurrent("of the external agent's jobs only the end is known", async () => {
  await using it = await openLab();
  const factory = it.start();
  const id = await it.submit("exit 3", { name: "flash" });
  expect((await endOf(factory, id)).message).toMatch(/^bed-1: job "flash" ended after \S+ s$/);
  await stopped(factory);
});

test.concurrent("a job whose agent died was lost, which is a warning with the reason", async () => {
  await using it = await openLab();
  const agent = join(it.directory, "dying-agent");
  writeFileSync(agent, "#!/bin/sh\nexit 3\n", { mode: 0o755 });
  it.configure({ agent });
  const factory = it.start();
  const id = await it.submit("echo never");
  const { message, level } = await endOf(factory, id);
  expect(message).toMatch(
    /^bed-1: the job was lost after \S+ s: the agent ended before the job did: exit code 3$/,
  );
  expect(level).toBe("warn");
  await stopped(factory);
});

test.concurrent("of a hardware test at an sp-runner service the log says how it came out", async () => {
  await using it = await openRunnerLab();
  const factory = it.start();
  const good = await it.submit("true", { name: "update" });
  expect((await endOf(factory, good)).message).toMatch(/^bed-1: job "update" completed after \S+ s$/);
  it.runner.mood.outcome = "failed";
  const bad = await it.submit("true", { name: "rollback" });
  expect((await endOf(factory, bad)).message).toMatch(
    /^bed-1: job "rollback" failed after \S+ s: the hardware test failed$/,
  );
  await stopped(factory);
});
