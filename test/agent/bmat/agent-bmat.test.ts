import { afterAll, beforeAll, expect, test } from "bun:test";
import { type AgentLab, openAgentLab } from "../../lab/agent-lab.ts";
import { processesNaming } from "../../lab/leavings.ts";

let lab: AgentLab;
beforeAll(async () => {
  lab = await openAgentLab();
});
afterAll(() => lab.close());

test("processes that a task starts with bmat end with the task, and their exit codes do not fail the job", async () => {
  const mark = `${lab.directory}/mark`;
  /** Only processes of this test sleep for this long. */
  const nap = `1000.${process.pid}`;
  const wait = `until [ -e ${mark} ]; do sleep 0.01; done`;
  const task = (script: string, more: object = {}) => ({
    name: "t",
    script,
    env_clear: false,
    env: {},
    ...more,
  });
  const bmat = `${lab.directory}/0/opt/bin/bmat`;
  const job = await lab.submit([], {
    tasks: [
      // A process that knows of the other's end makes the mark.
      task(
        `cd /usr; export V=1 BUN_CONFIG_VERBOSE_FETCH=curl
         bmat process start web sh -c 'echo "$PWD $V $BUILDOMAT_TASK_ID $BUN_CONFIG_VERBOSE_FETCH"; exit 7'
         bmat process start mark sh -c 'sleep 0.3; touch ${mark}; exec sleep ${nap}'
         bmat process start web true; ${wait}`,
      ),
      task(
        `echo $(env | cut -d= -f1 | sort); cd /; ${bmat} process start web /bin/sh -c 'echo "[$V$HOME]"; exec /bin/sleep ${nap}'
         ${bmat} store put name value; ${bmat} store get name; ${bmat} factory name; ${bmat} address ls -o name,first`,
        { env_clear: true, env: { PATH: "/usr/bin:/bin" } },
      ),
      task("exit 1"),
    ],
  });
  const agent = await lab.start(job);
  expect(await lab.ended(job)).toMatchObject({
    state: "failed",
    tasks: [{ state: "completed" }, { state: "completed" }, { state: "failed" }],
  });
  const events = await lab.events(job);
  const of = (task: number, stream: RegExp): string[] =>
    events
      .filter((event) => event.task === task && stream.test(event.stream))
      .map((event) => `${event.stream}: ${event.payload.replace(/duration \d+/, "duration D")}`);
  expect(of(0, /^bg\./)).toEqual([
    "bg.web.stdout: /usr 1 0 curl",
    "bg.web: process exited: duration D ms, exit code 7",
  ]);
  expect(of(0, /^stderr$/)).toEqual([
    'stderr: Error: could not start process: background process "web" is already running',
  ]);
  expect(of(1, /^bg\./)).toEqual(["bg.web.stdout: []"]);
  expect(of(1, /^std/)).toEqual([
    "stdout: PATH PWD SHLVL _",
    "stdout: value",
    "stdout: lab",
    "stdout: NAME             FIRST",
  ]);
  expect(processesNaming(nap)).toEqual([]);
  await agent.stop();
});
