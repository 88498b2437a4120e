/** Limits on what a job may make large and on how often it starts, and what happens where nothing can be written. */
import { afterEach, expect, setDefaultTimeout } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from "node:fs";
import type { ArmSpec } from "../../../lib/hosts/minder/specification.ts";
import { kill, type Lab, openLab, readText, rolesOf, test, until } from "./minder-lab.ts";

setDefaultTimeout(60_000);
let lab: Lab;
afterEach(() => lab.close());

async function started(agent: string, changes: Partial<ArmSpec> = {}): Promise<ArmSpec> {
  lab = openLab();
  const spec = lab.spec({ agent: [lab.agent(`${agent}; echo ready; exec sleep 1000`)], ...changes });
  await lab.minder.arm(spec);
  await lab.minder.go({ directory: spec.directory, worker: "W", agentJson: "{}" });
  await until(() => readText(`${spec.directory}/agent.log`).includes("ready"));
  return spec;
}

test("a log that cannot be cut, as on a full disk, stays whole", async () => {
  const { directory } = await started(
    "i=0; while [ $i -lt 9000 ]; do echo a line of a flood $i; i=$((i+1)); done",
    {
      logCapBytes: 100_000,
    },
  );
  const log = readText(`${directory}/agent.log`);
  expect(log.length).toBeGreaterThan(100_000);
  mkdirSync(`${directory}/minder/log.cut`);
  await lab.minder.look([directory]);
  expect(readText(`${directory}/agent.log`)).toBe(log);
  rmdirSync(`${directory}/minder/log.cut`);
  await lab.minder.look([directory]);
  expect(readText(`${directory}/agent.log`).length).toBeLessThan(60_000);
  expect(readdirSync(`${directory}/minder`)).not.toContain("log.cut");
  await lab.minder.stop(directory, { graceMs: 0 });
});

test("of a job's name only the first 200 characters are read, and of its record the first 100 kB", async () => {
  const { directory } = await started(":");
  const long = "x".repeat(1000);
  const record = (before: string): void =>
    writeFileSync(
      `${directory}/opt/etc/job.json`,
      JSON.stringify({ before, job: { id: "J", name: long } }, null, 2),
    );
  const name = async (): Promise<string | undefined> =>
    (await lab.minder.look([directory], new Set([directory])))[0]?.jobName;
  record("");
  expect(await name()).toBe("x".repeat(200));
  record("y".repeat(100_000));
  expect(await name()).toBeUndefined();
  await lab.minder.stop(directory, { graceMs: 0 });
});

test("an agent that was started is not started again, whatever wakes its first process", async () => {
  lab = openLab();
  const spec = lab.spec({ agent: [lab.agent("echo again; exec sleep 1000")] });
  const { directory, cookie } = spec;
  await lab.minder.arm(spec);
  writeFileSync(`${directory}/minder/started`, "");
  writeFileSync(`${directory}/minder/claim`, 'go\n{"worker":"W"}\n');
  const log = (): string => readText(`${directory}/agent.log`);
  for (const pid of rolesOf(cookie).minder) kill(pid);
  await until(() => rolesOf(cookie).first.length === 0 || log() !== "");
  expect(log()).toBe("");
  await lab.minder.stop(directory, { graceMs: 0 });
});

test("an ended instance whose record a power cut tore can still be removed by its cookie", async () => {
  const { directory, cookie } = await started(":");
  await lab.minder.stop(directory, { cookie, graceMs: 0 });
  writeFileSync(`${directory}/minder/minder`, "torn\n");
  expect(await lab.minder.tidy(directory, cookie)).toMatchObject({ kind: "tidied" });
  expect(await lab.minder.remove(directory, cookie)).toEqual({ kind: "tidied", left: null });
});

test("go() that meets the expiry leaves no secret", async () => {
  lab = openLab();
  const { base, locks } = lab;
  const edit = (script: string): string =>
    script.replace("      claim go ", "      claim expired; claim go ");
  const late = openLab({ base, locks, edit });
  const spec = late.spec({ agent: [late.agent("exec sleep 1000")] });
  const { directory } = spec;
  await late.minder.arm(spec);
  const went = await late.minder.go({ directory, worker: "W", agentJson: '{"token":"T"}' });
  expect(went).toEqual({ kind: "expired" });
  expect(existsSync(`${directory}/opt/etc/agent.json`)).toBe(false);
  await late.minder.stop(directory, { graceMs: 0 });
});

test("go() starts nothing while the agent's secret cannot be written, and can be called again", async () => {
  lab = openLab();
  const spec = lab.spec({ agent: [lab.agent("exec sleep 1000")] });
  const { directory } = spec;
  await lab.minder.arm(spec);
  rmdirSync(`${directory}/opt/etc`);
  const go = { directory, worker: "W", agentJson: "{}" };
  expect((await lab.minder.go(go)).kind).toBe("cannot tell");
  mkdirSync(`${directory}/opt/etc`);
  expect((await lab.minder.go(go)).kind).toBe("went");
  await lab.minder.stop(directory, { graceMs: 0 });
});
