/** The sp-runner client against what the real factory's recording answers, and against the simulated service. */
import { afterEach, expect, test } from "bun:test";
import { type MoodyRunner, startMoodyRunner } from "../lab/moody-runner.ts";
import { openClock } from "../../lib/doors/clock.ts";
import { type HttpReply, type HttpRequest, openHttp } from "../../lib/doors/http.ts";
import { openRandom } from "../../lib/doors/random.ts";
import { openSpRunnerApi, type SpRunnerApi } from "../../lib/runner/sp-runner.ts";
import { isSpRunnerLine, readRecording } from "../lab/recording.ts";
import { createSettableClock, type SettableClock } from "../lab/settable-clock.ts";

const http = openHttp({ clock: openClock() });
const submission = {
  testbed: "gf-1",
  input_dir: "<WORK_DIR>/http-gf-1_1/input",
  output_dir: "<WORK_DIR>/http-gf-1_1/output",
  baseline: "v16",
  test_type: "update-rollback",
  disable_watchdog: false,
};

let runner: MoodyRunner | null = null;
afterEach(async () => {
  await runner?.stop();
  runner = null;
});

function open(over: { clock?: SettableClock; runMs?: number } = {}): {
  runner: MoodyRunner;
  api: SpRunnerApi;
} {
  runner = startMoodyRunner({ clock: openClock(), random: openRandom(), boards: ["gf-1", "a b/c"], ...over });
  return { runner, api: openSpRunnerApi({ http, baseurl: runner.url }) };
}

test("sends the recorded requests, and reads the recorded answers", async () => {
  const lines = readRecording("k-sp-test-http-mode.jsonl").filter(isSpRunnerLine);
  expect(lines.length).toBe(4);
  const sent: unknown[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const { method, url } = request;
      const line = lines[sent.length];
      sent.push({
        method,
        path: new URL(url).pathname,
        body: method === "POST" ? await request.json() : null,
      });
      return Response.json(line?.response_body, { status: line?.status ?? 500 });
    },
  });
  try {
    const api = openSpRunnerApi({ http, baseurl: `http://127.0.0.1:${server.port}` });
    const job = await api.submit(submission);
    expect(job).toEqual({ ok: true, value: "550e8400-e29b-41d4-a716-446655440000" });
    const id = job.ok ? job.value : "";
    expect(await api.status(id)).toMatchObject({ value: { status: "running", progress: "step" } });
    expect(await api.status(id)).toMatchObject({ value: { status: "completed" } });
    expect(await api.result(id)).toMatchObject({
      value: { outcome: "passed", report_path: "<WORK>/output/test-report.json", tests_run: 42 },
    });
    expect(sent).toEqual(lines.map(({ method, path, request_body: body }) => ({ method, path, body })));
  } finally {
    await server.stop(true);
  }
});

test("a job of the simulated service goes from its submission to its result", async () => {
  const clock = createSettableClock();
  const { api, runner: service } = open({ clock, runMs: 3000 });
  const job = await api.submit({ ...submission, output_dir: "/dev/null/nowhere" });
  const id = job.ok ? job.value : "";
  expect(await api.status(id)).toMatchObject({ value: { status: "running", progress: "step 1 of 3" } });
  expect(await api.result(id)).toMatchObject({ ok: false, refusal: "conflict" });
  expect(await api.boards()).toMatchObject({
    value: [
      { name: "gf-1", status: "busy", current_job: id },
      { name: "a b/c", status: "available" },
    ],
  });
  expect(await api.submit(submission)).toMatchObject({ ok: false, refusal: "conflict" });
  expect(service.hasDoubled()).toBe(true);
  await clock.advance(3000);
  // It could not write its report.
  expect(await api.status(id)).toMatchObject({ value: { status: "failed", error: "the probe fell off" } });
  expect(await api.submit({ ...submission, testbed: "other" })).toMatchObject({ ok: false, status: 404 });
});

test("names are sent as one part of a path, and a board is recovered", async () => {
  const { api, runner: service } = open();
  service.board("a b/c").status = "failed-needs-recovery";
  expect(await api.recover("a b/c")).toEqual({
    ok: true,
    value: { status: "completed", message: "recovered" },
  });
  expect(service.board("a b/c").status).toBe("available");
  expect(await api.status("a/../b")).toMatchObject({ ok: false, status: 404 });
});

test("the names of jobs and boards are one part of a path, whatever characters they contain", async () => {
  const paths: string[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: ({ url }) => {
      paths.push(url.slice(server.url.href.length));
      return Response.json({});
    },
  });
  try {
    const api = openSpRunnerApi({ http, baseurl: server.url.href.replace(/\/$/, "") });
    await api.status("a/../b?c#d");
    await api.result("../e");
    await api.recover("f/g");
  } finally {
    await server.stop(true);
  }
  expect(paths).toEqual(["job/a%2F..%2Fb%3Fc%23d/status", "job/..%2Fe/result", "testbed/f%2Fg/recover"]);
});

test.each([
  ["500", "no answer"],
  ["garbage", "no answer"],
] as const)("F56 answers that are %s prove nothing", async (answers, refusal) => {
  const { api, runner: service } = open();
  service.mood.answers = answers;
  expect(await api.health()).toMatchObject({ ok: false, refusal });
  expect(await api.boards()).toMatchObject({ ok: false, refusal });
  expect(await api.status("x")).toMatchObject({ ok: false, refusal });
});

/** A service that answers every call with this. */
function answering(body: string, status = 200): { api: SpRunnerApi; asked: HttpRequest[] } {
  const asked: HttpRequest[] = [];
  const request = (wanted: HttpRequest): Promise<HttpReply> => {
    asked.push(wanted);
    const bytes = new Uint8Array(Buffer.from(body));
    return Promise.resolve({ ok: true, status, headers: new Headers(), body: bytes });
  };
  const download = () => Promise.reject(new Error("not this way"));
  return { api: openSpRunnerApi({ http: { request, download }, baseurl: "http://h" }), asked };
}

test("fields that are only displayed may be missing or have another form", async () => {
  const status = async (body: object) => await answering(JSON.stringify(body)).api.status("J");
  expect(await status({ status: "running" })).toMatchObject({ value: { status: "running" } });
  expect(await status({ status: "running", progress: null, error: null, testbed: null })).toMatchObject({
    value: { status: "running" },
  });
  expect(await status({ status: "running", progress: 7 })).toMatchObject({ value: { progress: null } });
  expect(await status({ status: "running", testbed: "b" })).toMatchObject({ value: { testbed: "b" } });
  expect(await status({ progress: "x" })).toMatchObject({ ok: false, refusal: "no answer" });
  const result = async (body: object) => await answering(JSON.stringify(body)).api.result("J");
  expect(await result({ outcome: "passed" })).toMatchObject({ value: { outcome: "passed" } });
  expect(await result({ outcome: "postponed", duration_secs: null, tests_run: "many" })).toMatchObject({
    value: { outcome: "postponed", tests_run: null },
  });
  expect(await result({})).toMatchObject({ ok: false, refusal: "no answer" });
});

test("a board whose entry cannot be read does not hide the others", async () => {
  const testbeds = [null, { name: "x" }, { name: "y", status: "busy", current_job: 7 }];
  const { api } = answering(JSON.stringify({ testbeds: [...testbeds, { name: "z", status: "available" }] }));
  expect(await api.boards()).toEqual({ ok: true, value: [{ name: "z", status: "available" }] });
});

test("a submission may take an hour and a recovery ten minutes", async () => {
  const { api, asked } = answering("{}");
  await api.submit(submission);
  await api.recover("gf-1");
  await api.status("J");
  expect(asked.map(({ timeoutMs }) => timeoutMs)).toEqual([3_600_000, 600_000, 30_000]);
});

test("a refusal in plain text is its message", async () => {
  const refusal = async (body: string) => {
    const answer = await answering(body, 409).api.submit(submission);
    return answer.ok ? null : answer.message;
  };
  expect(await refusal("testbed gf-1 is\n\tbusy\u001b[0m ")).toBe("testbed gf-1 is busy [0m");
  expect(await refusal("x".repeat(600))).toBe("x".repeat(500));
  expect(await refusal(" <html>")).toBe("status 409");
  expect(await refusal("\n")).toBe("status 409");
  expect(await refusal('{"detail": "busy"}')).toBe('{"detail": "busy"}');
  expect(await refusal('{"message": "busy"}')).toBe("busy");
});

test("a request that reached nobody counts as unsent; one that broke off does not", async () => {
  const cutting = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (socket) => socket.terminate() },
  });
  const { port } = cutting;
  const api = openSpRunnerApi({ http, baseurl: `http://127.0.0.1:${port}` });
  const brokenOff = await api.submit(submission);
  cutting.stop(true);
  const none = openSpRunnerApi({ http, baseurl: "http://127.0.0.1:1" });
  expect(await none.submit(submission)).toMatchObject({ ok: false, isUnsent: true });
  expect(brokenOff).toMatchObject({ ok: false, refusal: "no answer" });
  expect(brokenOff).not.toHaveProperty("isUnsent");
});
