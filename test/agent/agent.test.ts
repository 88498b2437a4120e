import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type AgentLab, openAgentLab } from "../lab/agent-lab.ts";
import { given } from "../devserver/stage.ts";
import { processesNaming } from "../lab/leavings.ts";
import { until } from "../lab/until.ts";

let lab: AgentLab;
let work: string;
beforeAll(async () => {
  lab = await openAgentLab();
  work = join(lab.directory, "work");
  mkdirSync(work);
});
afterAll(() => lab.close());

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe("the built-in agent", () => {
  test("plays a job from inputs to outputs, with the real agent's events", async () => {
    const input = crypto.getRandomValues(new Uint8Array(60_000));
    const out = join(work, "play");
    const job = await lab.submit(
      [
        `mkdir ${out}; cat ${lab.directory}/0/in/notes.bin > ${out}/copy; : > ${out}/empty; echo one`,
        `echo two; head -c 12000000 /dev/urandom > ${out}/large; ln -s large ${out}/link; echo x > ${out}/skip`,
      ],
      { output_rules: [`=${out}/*`, `!${out}/skip`] },
      { "notes.bin": input },
    );
    const agent = await lab.start(job);
    expect(await lab.ended(job)).toMatchObject({
      state: "completed",
      tasks: [{ state: "completed" }, { state: "completed" }],
    });
    const outputs = given(await lab.user.outputs(job));
    expect(outputs.map(({ path }) => path.replace(out, "")).toSorted()).toEqual([
      "/copy",
      "/empty",
      "/large",
      "/link",
    ]);
    for (const output of outputs) {
      const stored = given(await lab.user.downloadOutput(job, output.id));
      expect(sha256(stored)).toBe(sha256(readFileSync(output.path)));
    }
    const events = (await lab.events(job)).filter(({ stream }) => stream !== "control");
    // To the nanosecond, as the real agent's; the server drops what is zero at the end.
    const exact = events.filter(({ time_remote }) => /\.\d{9}Z$/.test(time_remote ?? ""));
    expect(exact.length).toBeGreaterThan(events.length / 2);
    const said = events.map(({ task, stream, payload }) => `${task} ${stream} ${payload}`);
    const size = (name: string): string =>
      `(${outputs.find(({ path }) => path === `${out}/${name}`)?.size} bytes)`;
    expect(said.map((line) => line.replace(/duration \d+/, "duration D"))).toEqual([
      "null worker downloading input: /input/notes.bin",
      "null worker downloaded input: /input/notes.bin",
      '0 task starting task 0: "task-0"',
      "0 stdout one",
      "0 task process exited: duration D ms, exit code 0",
      '1 task starting task 1: "task-1"',
      "1 stdout two",
      "1 task process exited: duration D ms, exit code 0",
      "null worker found 4 output files",
      ...["copy", "empty", "large", "link"].flatMap((name) => [
        `null worker uploading: ${out}/${name} ${size(name)}`,
        `null worker uploaded: ${out}/${name}`,
      ]),
    ]);
    expect(agent.file("etc/job.json")).toBeNull();
    expect(JSON.parse(agent.file("etc/job-done.json") ?? "")).toMatchObject({ job: { id: job } });
    await agent.stop();
  });

  test("runs no further task after one that fails, still uploads outputs, and fails the job", async () => {
    const out = join(work, "after-failure");
    const job = await lab.submit([`echo x > ${out}; exit 3`, "echo never"], { output_rules: [out] });
    expect(await lab.play(job)).toMatchObject({
      state: "failed",
      tasks: [{ state: "failed" }, { state: "failed" }],
    });
    expect(await lab.said(job, "stdout")).toEqual([]);
    expect(given(await lab.user.outputs(job))).toHaveLength(1);
  });

  test("fails a job whose task cannot be started, and starts no other task", async () => {
    const tasks = ["/none", "/"].map((workdir, index) => ({
      name: `t${index}`,
      script: "echo ran",
      env_clear: false,
      env: {},
      workdir,
    }));
    const job = await lab.submit([], { tasks });
    expect(await lab.play(job)).toMatchObject({
      state: "failed",
      tasks: [{ state: "failed" }, { state: "failed" }],
    });
    expect(await lab.said(job, "agent")).toEqual([
      'ERROR: exec: cannot start task 0 in directory "/none": No such file or directory (os error 2)',
    ]);
    expect(await lab.said(job, "stdout")).toEqual([]);
    expect(await lab.said(job, "worker")).toEqual(["found 0 output files"]);
  });

  test("fails a job for upload errors alone, reports each, and uploads the rest", async () => {
    const out = join(work, "errors");
    mkdirSync(out);
    writeFileSync(join(out, "good"), "x");
    symlinkSync("nowhere", join(out, "link"));
    const job = await lab.submit(["true"], { output_rules: [`${out}/*`, `=${out}/none`] });
    expect(await lab.play(job)).toMatchObject({ state: "failed", tasks: [{ state: "completed" }] });
    expect(await lab.said(job, "worker")).toEqual([
      `upload error: glob WorkerPingOutputRule { ignore: false, require_match: false, rule: "${out}/*", size_change_ok: false } stat error: Os { code: 2, kind: NotFound, message: "No such file or directory" }`,
      "found 1 output files",
      `uploading: ${out}/good (1 bytes)`,
      `uploaded: ${out}/good`,
      `upload error: rule "${out}/none" required a match, but was not used`,
    ]);
  });

  test("sends a line of 20 MB without an end whole and in order", async () => {
    const job = await lab.submit(["seq 1 10000000 | tr -d '\\n' | head -c 20000000; echo end >&2"]);
    expect(await lab.play(job)).toMatchObject({ state: "completed" });
    const expected = Bun.spawnSync(["bash", "-c", "seq 1 10000000 | tr -d '\\n' | head -c 20000000"]).stdout;
    const pieces = await lab.said(job, "stdout");
    expect(sha256(Buffer.from(pieces.join("")))).toBe(sha256(expected));
    expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThanOrEqual(65_536);
  }, 30_000);

  test("sends any bytes that a job prints", async () => {
    const job = await lab.submit([
      String.raw`printf 'a\0b\xff\n\n \xc3'; for i in {1..3000}; do echo $i; done`,
    ]);
    expect(await lab.play(job)).toMatchObject({ state: "completed" });
    expect((await lab.said(job, "stdout")).slice(0, 4)).toEqual(["a\0b\ufffd", "", " \ufffd1", "2"]);
    expect(await lab.said(job, "stdout")).toHaveLength(3002);
  });

  test("gives scripts the testbed's variables, unless a task wants an empty environment", async () => {
    const task = {
      name: "t",
      script: "env | grep -E '^(SP_|BUN|HOME)' | sort; type -p bmat || true",
      env: {},
    };
    const job = await lab.submit([], {
      tasks: [
        { ...task, env_clear: false, env: { SP_TYPE: "mine" } },
        { ...task, env_clear: true },
      ],
    });
    const testbed = { testbed: "bed-9", sp_type: "gimlet", target: "sp-test", baseline: "v16", extra: 1 };
    const agent = await lab.start(job, { env: { BUN_SECRET: "x" }, testbed });
    expect(await lab.ended(job)).toMatchObject({ state: "completed" });
    expect(await lab.said(job, "stdout")).toEqual([
      `HOME=${agent.home}`,
      "SP_BASELINE=v16",
      "SP_TARGET=sp-test",
      "SP_TESTBED=bed-9",
      "SP_TYPE=mine",
      `${agent.base}/bin/bmat`,
    ]);
    await agent.stop();
  });
});

describe("a job that is over for its agent", () => {
  test("by cancellation: the next ping ends all of the task's processes, job.json stays, and no other job is taken", async () => {
    const job = await lab.submit([
      "(sleep 1000) & (sleep 1000 | sleep 1000) & echo up; sleep 1000; echo never",
    ]);
    const agent = await lab.start(job);
    await until("the task runs", async () => (await lab.said(job, "stdout")).includes("up"));
    const ofTask = (): number[] => processesNaming(`BUILDOMAT_JOB_ID=${job}`);
    await until("all of it runs", () => ofTask().length > 4);
    given(await lab.user.cancel(job));
    await until("no process of the task is left", () => ofTask().length === 0);
    expect(agent.file("etc/job.json")).not.toBeNull();
    expect(agent.file("etc/job-done.json")).toBeNull();
    expect(agent.log()).toContain("the job is over for this agent: the server says power off");
    const pings = (): number => lab.proxy.calls.filter((call) => call === "GET /0/worker/ping").length;
    const before = pings();
    await until("it pings on", () => pings() > before + 1);
    expect(agent.child.exitCode).toBeNull();
    expect(await lab.said(job, "stdout")).toEqual(["up"]);
    expect(await agent.stop()).toBe(143);
  }, 40_000);

  test("by cancellation while its task prints: refused events end it before the next ping", async () => {
    const job = await lab.submit(["while true; do echo tick; sleep 0.05; done"]);
    const agent = await lab.start(job);
    await until("the task runs", async () => (await lab.said(job, "stdout")).length > 0);
    given(await lab.user.cancel(job));
    await until(
      "no process of the task is left",
      () => processesNaming(`BUILDOMAT_JOB_ID=${job}`).length === 0,
    );
    expect(agent.log()).toContain("job already complete, cannot append");
    await agent.stop();
  }, 40_000);

  test("by deletion of its worker: its task ends after a second refused ping", async () => {
    const job = await lab.submit(["while true; do echo tick; sleep 0.05; done"]);
    const agent = await lab.start(job);
    await until("the task runs", async () => (await lab.said(job, "stdout")).length > 0);
    given(await lab.factory.deleteWorker(agent.worker));
    await until(
      "no process of the task is left",
      () => processesNaming(`BUILDOMAT_JOB_ID=${job}`).length === 0,
    );
    expect(agent.log()).toContain("the job is over for this agent");
    await agent.stop();
  }, 40_000);

  test("by SIGTERM: its task and the agent end", async () => {
    const job = await lab.submit(["echo up; sleep 1000"]);
    const agent = await lab.start(job);
    await until("the task runs", async () => (await lab.said(job, "stdout")).includes("up"));
    expect(await agent.stop()).toBe(143);
    expect(processesNaming(`BUILDOMAT_JOB_ID=${job}`)).toEqual([]);
    expect(agent.file("etc/job.json")).not.toBeNull();
    expect(existsSync(join(agent.base, "run/buildomat.sock"))).toBe(false);
  });
});

describe("an agent that starts", () => {
  test("reports a job that was left unfinished as failed, and takes no other job", async () => {
    const job = await lab.submit(["echo never"]);
    lab.proxy.fate = () => "bad gateway";
    const agent = await lab.start(job);
    await agent.stop();
    writeFileSync(join(agent.base, "etc/job.json"), "{}");
    lab.proxy.fate = () => "pass";
    const again = lab.relaunch(agent);
    expect(await lab.ended(job)).toMatchObject({ state: "failed" });
    const worker = given(await lab.admin.adminWorker(agent.worker));
    expect(worker.hold?.reason).toBe("agent started again during job execution");
    expect(await lab.said(job, "stdout")).toEqual([]);
    expect(again.file("etc/job.json")).toBe("{}");
    await again.stop();
  });

  test("forgets a job that is done", async () => {
    const agent = await lab.start(null);
    await agent.stop();
    writeFileSync(join(agent.base, "etc/job-done.json"), "{}");
    const again = lab.relaunch(agent);
    await until("it is gone", () => again.file("etc/job-done.json") === null);
    await again.stop();
  });

  test.each([
    ["is missing", null, "Cannot read"],
    ["is no JSON", "{", "Cannot read"],
    ["lacks a key", '{"baseurl":"http://h","token":"t"}', "bootstrap"],
    ["names no server", '{"baseurl":"h","bootstrap":"b","token":"t"}', "baseurl"],
  ])("exits 1 if agent.json %s", async (_, text, why) => {
    const agent = await lab.start(null);
    await agent.stop();
    const path = join(agent.base, "etc/agent.json");
    if (text === null) rmSync(path);
    else writeFileSync(path, text);
    const again = lab.relaunch(agent);
    expect(await again.child.exited).toBe(1);
    expect(again.log()).toContain(why);
  });

  test("exits 1 if its socket's path is too long", async () => {
    const agent = await lab.start(null);
    await agent.stop();
    const base = join(agent.base, "x".repeat(100));
    mkdirSync(join(base, "etc"), { recursive: true });
    writeFileSync(join(base, "etc/agent.json"), readFileSync(join(agent.base, "etc/agent.json")));
    const again = lab.relaunch({ ...agent, base });
    expect(await again.child.exited).toBe(1);
    expect(again.log()).toContain("a socket's path has at most 104 bytes");
  });
});
