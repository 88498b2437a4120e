import { describe, expect, test } from "bun:test";
import { parseRange } from "../../lib/devserver/calls/byte-range.ts";
import { parseOutputRule } from "../../lib/devserver/model/output-rules.ts";
import { given, onStage, refusal } from "./stage.ts";

const now = "2026-01-01T00:00:00Z";
const submission = (more: object): string =>
  JSON.stringify({
    name: "x",
    target: "sp-grapefruit",
    output_rules: [],
    tasks: [{ name: "t", script: "", env_clear: false, env: {} }],
    ...more,
  });

describe("devserver HTTP", () => {
  test("every call of the real command line is served", () =>
    onStage(async ({ send }) => {
      const calls = `
        GET /0/whoami /0/quota /1/jobs /0/job/x /0/jobs/x/watch /0/jobs/x/events /0/jobs/x/outputs
        GET /0/jobs/x/outputs/x /0/jobs/x/store /0/users /0/users/x /0/admin/factories /0/admin/targets
        GET /1/workers /0/admin/worker/x /0/admin/worker/x/events /0/admin/jobs /0/admin/jobs/x /1/admin/jobs
        POST /0/jobs /0/jobs/x/chunk /1/jobs/x/input /0/jobs/x/cancel /0/users /0/admin/factory
        POST /0/admin/factory/x/enable /0/admin/factory/x/disable /0/admin/target /0/admin/targets/x/rename
        POST /0/admin/worker/x/recycle /0/admin/worker/x/hold /0/admin/worker/x/release
        POST /0/control/hold /0/control/resume /0/workers/recycle
        PUT /0/jobs/x/store/x /0/users/x/privilege/x /0/admin/targets/x/redirect /0/admin/targets/x/require/x
        DELETE /0/users/x/privilege/x /0/admin/targets/x/require`;
      const lacking: string[] = [];
      for (const line of calls.trim().split("\n")) {
        const [method = "", ...paths] = line.trim().split(" ");
        for (const path of paths) {
          const { status } = await send(method, path);
          if (status === 404 || status === 405) lacking.push(`${method} ${path}`);
        }
      }
      expect(lacking).toEqual([]);
    }));

  test("a HEAD of a JSON call is a wrong method", () =>
    onStage(async ({ send, userToken }) => {
      expect((await send("HEAD", "/0/whoami", { token: userToken })).status).toBe(405);
    }));

  test("a range across chunks gives those bytes, and a range outside the file 416", () =>
    onStage(async ({ send, userToken, submit, bringUp, user }) => {
      const job = await submit();
      const { agent } = await bringUp(job);
      const [one, two] = await Promise.all(
        ["01234", "56789"].map((part) => agent.chunk(job, new TextEncoder().encode(part))),
      );
      const chunks = [one, two].map((chunk) => (chunk?.ok === true ? chunk.value.id : ""));
      const output = { path: "/work/f", size: 10, chunks, commit_id: chunks[0] ?? "" };
      given(await agent.output(job, output));
      given(await agent.output(job, output));
      const [stored] = given(await user.outputs(job));
      const path = `/0/jobs/${job}/outputs/${stored?.id}`;
      const get = (range: string) => send("GET", path, { token: userToken, headers: { range } });
      const part = await get("bytes=3-6");
      expect([part.status, part.text, part.headers.get("content-range")]).toEqual([
        206,
        "3456",
        "bytes 3-6/10",
      ]);
      expect((await get("bytes=-3")).text).toBe("789");
      const outside = await get("bytes=10-");
      expect([outside.status, outside.text, outside.headers.get("content-range")]).toEqual([
        416,
        "",
        "bytes */10",
      ]);
    }));

  test.each([
    ["bytes=0-0", { start: 0, end: 1 }],
    ["bytes=5-", { start: 5, end: 10 }],
    ["bytes=8-99", { start: 8, end: 10 }],
    ["bytes=-99", { start: 0, end: 10 }],
    ["bytes=-0", null],
    ["bytes=10-", null],
    ["bytes=5-4", null],
    ["bytes=0-1,3-4", null],
    ["bytes=-", null],
    ["chunks=0-1", null],
  ])("the range %s of 10 bytes is %j", (asked, range) => {
    expect(parseRange(asked, 10)).toEqual(range);
  });

  test("an empty content-type is refused, a missing one counts as JSON", () =>
    onStage(async ({ send, factoryToken: token }) => {
      const body = '{"supported_targets":[]}';
      expect((await send("POST", "/0/factory/lease", { token, body })).status).toBe(200);
      const empty = await send("POST", "/0/factory/lease", { token, body, headers: { "content-type": "" } });
      expect(JSON.parse(empty.text)).toMatchObject({ message: "unsupported content-type: " });
    }));

  test("a negative minseq is refused before the token is looked at", () =>
    onStage(async ({ send, submit }) => {
      const job = await submit();
      expect((await send("GET", `/0/jobs/${job}/events?minseq=-1`)).status).toBe(400);
    }));

  test("a delegate acts as another user, who is created at first use", () =>
    onStage(async ({ send, userToken: token, admin }) => {
      const headers = { "x-buildomat-delegate": "somebody" };
      expect((await send("GET", "/0/whoami", { token, headers })).status).toBe(401);
      const own = JSON.parse((await send("GET", "/0/whoami", { token })).text) as { id: string };
      const grant = await send("PUT", `/0/users/${own.id}/privilege/delegate`, { token: "admin-token" });
      expect(grant.status).toBe(204);
      const first = JSON.parse((await send("GET", "/0/whoami", { token, headers })).text) as { id: string };
      expect(first).toMatchObject({ name: "somebody" });
      expect(first.id).not.toBe(own.id);
      expect(JSON.parse((await send("GET", "/0/whoami", { token, headers })).text)).toEqual(first);
      expect(refusal(await admin.createUser("somebody"))).toBe("Internal Server Error");
    }));

  test("stop() ends open watch streams and refuses new calls", async () => {
    const ends: Promise<string>[] = [];
    let url = "";
    await onStage(async ({ server, submit, userToken }) => {
      const job = await submit();
      url = server.url;
      const headers = { authorization: `Bearer ${userToken}` };
      const response = await fetch(`${url}/0/jobs/${job}/watch`, { headers });
      ends.push(response.text());
    });
    expect(await Promise.allSettled(ends)).toHaveLength(1);
    expect(await fetch(`${url}/0/quota`).catch(() => "nobody there")).toBe("nobody there");
  });
});

describe("devserver jobs", () => {
  test("are listed by pages of 1000 until an empty one", () =>
    onStage(async ({ send, submit, userToken: token }) => {
      const jobs: string[] = [];
      for (let made = 0; made < 1001; made += 1) jobs.push(await submit());
      const page = async (query: string) => {
        const { text } = await send("GET", `/1/jobs${query}`, { token });
        return JSON.parse(text) as { items: { id: string }[]; next_page: string | null };
      };
      const first = await page("?limit=5");
      expect(first.items.map(({ id }) => id)).toEqual(jobs.slice(0, 1000));
      const second = await page(`?page_token=${encodeURIComponent(first.next_page ?? "")}`);
      expect(second.items.map(({ id }) => id)).toEqual(jobs.slice(1000));
      const third = await page(`?page_token=${encodeURIComponent(second.next_page ?? "")}`);
      expect(third).toEqual({ items: [], next_page: null });
      const recent = await page("?recent_first=true");
      expect(recent.items[0]?.id).toBe(jobs[1000] ?? "");
    }));

  test("are found by all of the tags that are asked for", () =>
    onStage(async ({ send, submit, userToken: token }) => {
      const both = await submit({ tags: { a: "1", b: "2" } });
      await submit({ tags: { a: "1" } });
      const { text } = await send("GET", `/1/jobs?tag=${encodeURIComponent("a=1|b=2")}`, { token });
      expect((JSON.parse(text) as { items: { id: string }[] }).items.map(({ id }) => id)).toEqual([both]);
    }));

  test("give their events by pages of 1000, and clients get them all", () =>
    onStage(async ({ send, submit, bringUp, user, userToken: token }) => {
      const job = await submit();
      const { agent } = await bringUp(job);
      const lines = Array.from({ length: 2000 }, (_, index) => ({
        stream: "stdout",
        time: now,
        payload: `line ${index}`,
      }));
      given(await agent.append(job, lines));
      const { text } = await send("GET", `/0/jobs/${job}/events?minseq=500`, { token });
      const page = JSON.parse(text) as { seq: number }[];
      expect([page.length, page[0]?.seq, page.at(-1)?.seq]).toEqual([1000, 500, 1499]);
      expect(given(await user.events(job)).map(({ seq }) => seq)).toEqual(
        Array.from({ length: 2001 }, (_, index) => index + 1),
      );
    }));

  test.each([
    [{ tasks: Array.from({ length: 65 }, () => ({ name: "", script: "", env_clear: false, env: {} })) }, 409],
    [
      { tasks: Array.from({ length: 101 }, () => ({ name: "", script: "", env_clear: false, env: {} })) },
      400,
    ],
    [{ inputs: ["a/b"] }, 409],
    [{ inputs: ["a", "a"] }, 500],
    [{ inputs: Array.from({ length: 26 }, (_, index) => `i${index}`) }, 400],
    [{ tags: { UPPER: "" } }, 400],
    [{ target: "01ARZ3NDEKTSV4RRFFQ69G5FAV" }, 400],
    [{ depends: { d: { prior_job: "zzz", copy_outputs: true, on_failed: true, on_completed: true } } }, 500],
    [
      {
        depends: {
          d: {
            prior_job: "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            copy_outputs: true,
            on_failed: true,
            on_completed: true,
          },
        },
      },
      409,
    ],
  ])("like %j are refused with %d", (more, status) =>
    onStage(async ({ send, userToken: token }) => {
      expect((await send("POST", "/0/jobs", { token, body: submission(more) })).status).toBe(status);
    }),
  );

  test("go to the target that a redirect names", () =>
    onStage(async ({ send, admin, target, user, submit, factory }) => {
      const alias = given(await admin.createTarget("alias", "")).id;
      const body = JSON.stringify({ redirect: target });
      await send("PUT", `/0/admin/targets/${alias}/redirect`, { token: "admin-token", body });
      const job = await submit({ target: "alias" });
      expect(given(await user.job(job))).toMatchObject({ target: "alias", target_real: "sp-grapefruit" });
      expect(given(await factory.lease([alias]))).toBeNull();
      expect(given(await factory.lease([target]))).toEqual({ target, job });
    }));

  test.each([
    ["/x", { rule: "/x", ignore: false, size_change_ok: false, require_match: false }],
    ["=%/x", { rule: "/x", ignore: false, size_change_ok: true, require_match: true }],
    ["%=/", { rule: "/", ignore: false, size_change_ok: true, require_match: true }],
    ["!/x", { rule: "/x", ignore: true, size_change_ok: false, require_match: false }],
    ["=!/x", "'!' unexpected in output rule"],
    ["!!/x", "wanted '/', not '!', in output rule"],
    ["", "output rule pattern must be absolute path"],
    ["work", "wanted sigil/absolute path, not 'w'"],
  ])("read the output rule %j", (text, expected) => {
    const parsed = parseOutputRule(text);
    expect(parsed.ok ? parsed.rule : parsed.why).toEqual(expected);
  });
});

describe("devserver inputs", () => {
  test("with a name that was not declared are refused, and the server goes on", () =>
    onStage(async ({ submit, user, clock }) => {
      const job = await submit({ inputs: ["notes.txt"] });
      expect(refusal(await user.uploadInput(job, "other.txt", new Uint8Array(1)))).toBe(
        `job ${job} does not declare an input named "other.txt"`,
      );
      expect(refusal(await user.uploadInput(job, "a/b", new Uint8Array(1)))).toBe("name must not be a path");
      given(await user.uploadInput(job, "notes.txt", new Uint8Array(0)));
      await clock.advance(1000);
      expect(given(await user.job(job)).state).toBe("queued");
      expect(refusal(await user.uploadInput(job, "notes.txt", new Uint8Array(1)))).toBe(
        "cannot upload chunks for job that is not waiting",
      );
    }));
});

describe("devserver appending", () => {
  test("F84 refuses the name of a stream that is too long or has another character, and the batch with it", () =>
    onStage(async ({ send, submit, bringUp, user, factory, factoryToken }) => {
      const job = await submit();
      const { worker, token } = await bringUp(job);
      const event = (stream: string): object => ({ stream, time: now, payload: "x" });
      const long = "x".repeat(65);
      const refused: [string, string][] = [
        ["a b", `invalid char ' ' in stream name "a b"`],
        [long, `stream name "${long}" is longer than 64 bytes`],
      ];
      const before = given(await user.events(job)).length;
      for (const [stream, message] of refused) {
        const good = event("x".repeat(64));
        for (const [path, body, by] of [
          [`/1/worker/job/${job}/append`, [good, event(stream)], token],
          [`/0/worker/job/${job}/append`, event(stream), token],
          ["/0/worker/append", [good, event(stream)], token],
          [`/0/factory/worker/${worker.id}/append`, event(stream), factoryToken],
        ] as [string, object, string][]) {
          const reply = await send("POST", path, { token: by, body: JSON.stringify(body) });
          expect([path, reply.status, JSON.parse(reply.text)]).toEqual([
            path,
            400,
            expect.objectContaining({ message }),
          ]);
        }
      }
      expect(given(await user.events(job))).toHaveLength(before);
      expect(given(await factory.append(worker.id, { stream: "", time: now, payload: "x" }))).toBe(false);
    }));

  test("by the factory to a job that is over is ignored", () =>
    onStage(async ({ submit, bringUp, user, factory }) => {
      const job = await submit();
      const { worker, agent } = await bringUp(job);
      given(await agent.completeJob(job, false));
      const before = given(await user.events(job)).length;
      expect(given(await factory.append(worker.id, { stream: "console", time: now, payload: "x" }))).toBe(
        false,
      );
      expect(given(await user.events(job))).toHaveLength(before);
    }));

  test("by the factory to a worker that will get no job is ignored", () =>
    onStage(async ({ admin, bringUp, factory }) => {
      const { worker } = await bringUp(null);
      const line = { stream: "console", time: now, payload: "x" };
      expect(given(await factory.append(worker.id, line))).toBe(true);
      given(await admin.recycleWorker(worker.id));
      expect(given(await factory.append(worker.id, line))).toBe(false);
    }));
});

describe("devserver store", () => {
  test("never shows the user a value that was once secret, and takes a hundred names", () =>
    onStage(async ({ submit, bringUp, user }) => {
      const job = await submit();
      const { agent } = await bringUp(job);
      given(await agent.storePut(job, "key", "one", true));
      given(await agent.storePut(job, "key", "two", false));
      expect(given(await user.store(job))["key"]).toMatchObject({ value: null, secret: true });
      expect(given(await agent.storeGet(job, "key"))).toEqual({ value: "two", secret: true });
      for (let name = 0; name < 99; name += 1) given(await user.putStore(job, `n${name}`, "", false));
      expect(refusal(await agent.storePut(job, "more", "", false))).toBe(
        `job ${job} already has 100 store values`,
      );
      given(await agent.storePut(job, "n0", "again", false));
      expect(given(await user.store(job))["n0"]).toMatchObject({ value: "again", source: "worker" });
    }));
});

describe("devserver workers", () => {
  test("are refused if their agent chose another agent's token", () =>
    onStage(async ({ send, factory, target, bringUp }) => {
      const { token } = await bringUp(null);
      const { id, bootstrap } = given(await factory.createWorker(target, null));
      given(await factory.associate(id, "bed/9"));
      const body = JSON.stringify({ bootstrap, token });
      expect((await send("POST", "/0/worker/bootstrap", { body })).status).toBe(500);
    }));

  test("are listed for the administrator with or without the deleted ones", () =>
    onStage(async ({ send, bringUp, factory, factoryId }) => {
      const [gone, left] = [await bringUp(null), await bringUp(null)];
      given(await factory.deleteWorker(gone.worker.id));
      const ids = async (query: string): Promise<string[]> => {
        const { text } = await send("GET", `/1/workers${query}`, { token: "admin-token" });
        return (JSON.parse(text) as { items: { id: string }[] }).items.map(({ id }) => id);
      };
      expect(await ids("")).toEqual([gone.worker.id, left.worker.id]);
      expect(await ids(`?active=true&factory=${factoryId}`)).toEqual([left.worker.id]);
      expect(await ids("?factory=01ARZ3NDEKTSV4RRFFQ69G5FAV")).toEqual([]);
    }));
});
