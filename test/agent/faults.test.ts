import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type AgentLab, openAgentLab } from "../lab/agent-lab.ts";
import { given } from "../devserver/stage.ts";
import { until } from "../lab/until.ts";

let lab: AgentLab;
beforeAll(async () => {
  lab = await openAgentLab();
});
afterEach(() => {
  lab.proxy.reset();
});
afterAll(() => lab.close());

describe("the built-in agent and a server in trouble", () => {
  test("F85 starts no task before the server has taken a call for its job", async () => {
    const mark = join(lab.directory, "never");
    const job = await lab.submit([`touch ${mark}`]);
    lab.proxy.fate = (call) => (call.endsWith("/append") ? 409 : "pass");
    const agent = await lab.start(job);
    await until("the job is over", () => agent.log().includes("the job is over for this agent"));
    await agent.stop();
    expect(existsSync(mark)).toBe(false);
  });

  test("plays a job to its end though every kind of call fails once", async () => {
    const out = join(lab.directory, "out");
    const job = await lab.submit(
      [`echo hello; bmat store put name value; bmat store get name > ${out}`],
      { output_rules: [`=${out}`] },
      { input: new TextEncoder().encode("some input") },
    );
    const failed = new Set<string>();
    lab.proxy.fate = (call) => {
      const kind = call.replace(/[0-9A-HJKMNP-TV-Z]{26}/g, "ID");
      if (failed.has(kind)) return "pass";
      failed.add(kind);
      return failed.size % 2 === 0 ? "bad gateway" : 500;
    };
    expect(await lab.play(job)).toMatchObject({ state: "completed" });
    expect(await lab.said(job, "stdout")).toEqual(["hello"]);
    expect(readFileSync(out, "utf8")).toBe("value\n");
    expect([...failed].toSorted()).toEqual([
      "GET /0/worker/job/ID/inputs/ID",
      "GET /0/worker/job/ID/quota",
      "GET /0/worker/job/ID/store/name",
      "GET /0/worker/ping",
      "POST /0/worker/bootstrap",
      "POST /0/worker/job/ID/chunk",
      "POST /0/worker/job/ID/complete",
      "POST /0/worker/job/ID/task/0/complete",
      "POST /1/worker/job/ID/append",
      "POST /1/worker/job/ID/output",
      "PUT /0/worker/job/ID/store/name",
    ]);
  }, 40_000);

  test("loses no line and keeps their order when answers are lost", async () => {
    const job = await lab.submit(["for i in {1..50}; do echo $i; sleep 0.01; done"]);
    let appends = 0;
    lab.proxy.fate = (call) => {
      if (!call.endsWith("/append")) return "pass";
      appends += 1;
      return appends === 3 ? "lose answer" : "pass";
    };
    expect(await lab.play(job)).toMatchObject({ state: "completed" });
    // The batch whose answer was lost is there twice: append is not idempotent.
    const numbers = [...new Set((await lab.said(job, "stdout")).map(Number))];
    expect(numbers).toEqual(Array.from({ length: 50 }, (_, index) => index + 1));
  }, 40_000);

  test("replaces only the event that the server refuses by a note", async () => {
    const job = await lab.submit(["for i in {1..150}; do echo line $i; done; echo poison; echo last"]);
    lab.proxy.fate = (call, body) =>
      call.endsWith("/append") && body.includes('"payload":"poison"') ? 400 : "pass";
    expect(await lab.play(job)).toMatchObject({ state: "completed" });
    const said = await lab.said(job, "stdout");
    expect(said).toHaveLength(152);
    expect(said.slice(-3)).toEqual(["line 150", "6 bytes of output were refused by the server", "last"]);
  }, 40_000);

  test("does not end a job for a single 401", async () => {
    const job = await lab.submit(["echo hello; sleep 0.2; echo again"]);
    let refused = 0;
    lab.proxy.fate = (call) => (call.endsWith("/append") && ++refused === 2 ? 401 : "pass");
    expect(await lab.play(job)).toMatchObject({ state: "completed" });
    expect(await lab.said(job, "stdout")).toEqual(["hello", "again"]);
  }, 40_000);

  test("reports what the server says about an output, and fails the job", async () => {
    const out = join(lab.directory, "twice");
    mkdirSync(out);
    writeFileSync(join(out, "f"), "x");
    const job = await lab.submit(["true"], { output_rules: [`${out}/*`] });
    lab.proxy.fate = (call) => (call.endsWith("/chunk") ? 400 : "pass");
    expect(await lab.play(job)).toMatchObject({ state: "failed" });
    expect(await lab.said(job, "worker")).toContain(`upload error: file "${out}/f": the test refuses`);
  });
});

describe("the built-in agent and hostile input names", () => {
  test.each([
    ["one that goes up", "../escaped"],
    ["an absolute one", "/tmp/escaped-absolute"],
    ["one that goes down first", "a/../../escaped"],
    ["one of 5,000 characters", "x".repeat(5000)],
    ["one with a NUL", "nul\\u0000x"],
  ])(
    "F66 %s fails the job with a reason, and is written nowhere",
    async (_, name) => {
      const job = await lab.submit(["echo never"], {}, { "harmless-name": new Uint8Array(10) });
      lab.proxy.rewriteReply = (call, body) =>
        call.endsWith("/ping") ? body.replaceAll("harmless-name", name) : body;
      const before = readdirSync(lab.directory, { recursive: true }) as string[];
      const agent = await lab.start(job);
      expect(await lab.ended(job)).toMatchObject({ state: "failed" });
      const said = await lab.said(job, "worker");
      expect(said.at(-1)).toStartWith("input error: cannot write input ");
      expect(await lab.said(job, "stdout")).toEqual([]);
      await agent.stop();
      const after = readdirSync(lab.directory, { recursive: true }) as string[];
      const added = after.filter((path) => !before.includes(path));
      expect(added.filter((path) => path.includes("escaped") || path.includes("xxx"))).toEqual([]);
    },
    20_000,
  );

  test("a name with directories is written below the input directory", async () => {
    const job = await lab.submit(["true"], {}, { "harmless-name": new TextEncoder().encode("text") });
    lab.proxy.rewriteReply = (call, body) =>
      call.endsWith("/ping") ? body.replaceAll("harmless-name", "pre/work/f") : body;
    const agent = await lab.start(job);
    expect(await lab.ended(job)).toMatchObject({ state: "completed" });
    expect(readFileSync(join(agent.input, "pre/work/f"), "utf8")).toBe("text");
    expect(await lab.said(job, "worker")).toContain("downloaded input: /input/pre/work/f");
    await agent.stop();
    await until("the job is complete", async () => given(await lab.user.job(job)).state === "completed");
  });
});
