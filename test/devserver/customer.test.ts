import { describe, expect, test } from "bun:test";
import { openCustomerApi } from "../../lib/devserver/customer.ts";
import { Secret } from "../../lib/words/secret.ts";
import { given, onStage } from "./stage.ts";
import { openRecordedDoor } from "../lab/recorded-door.ts";
import { readRecording, type RecordedLine } from "../lab/recording.ts";

const recorded = readRecording("a-success.jsonl");
const upload = recorded.filter(({ path }) => /^\/[01]\/jobs\/[^/]+\/(?:chunk|input)$/.test(path));

function openWith(lines: RecordedLine[]) {
  const door = openRecordedDoor(lines);
  return { door, api: openCustomerApi({ http: door, baseurl: "http://h", token: new Secret("token") }) };
}

describe("uploadInput()", () => {
  test("sends the bytes, and asks until the server has assembled the file", async () => {
    const { door, api } = openWith(upload);
    expect(upload).toHaveLength(3);
    expect(await api.uploadInput("j", "notes.txt", new Uint8Array(3130))).toEqual({ ok: true, value: true });
    const [chunk, first, second] = door.asked;
    expect(chunk?.body).toHaveLength(3130);
    const { id } = upload.map((line) => line.response_body as { id: string })[0] ?? { id: "" };
    const commit = { name: "notes.txt", size: 3130, chunks: [id], commit_id: id };
    expect([first?.body, second?.body].map((body) => JSON.parse(String(body)) as unknown)).toEqual([
      commit,
      commit,
    ]);
  });

  test("gives the server's error if the file cannot be assembled", async () => {
    const [chunk, first] = upload as [RecordedLine, RecordedLine];
    const failed = { ...first, response_body: { complete: true, error: "expected size 7" } };
    const answer = await openWith([chunk, first, failed]).api.uploadInput("j", "x", new Uint8Array(1));
    expect(answer).toEqual({ ok: false, refusal: "rejected", status: 200, message: "expected size 7" });
  });

  test("gives up if the server never completes the file", async () => {
    const [chunk, first] = upload as [RecordedLine, RecordedLine];
    const lines = [chunk, ...Array.from({ length: 1000 }, () => first)];
    expect(await openWith(lines).api.uploadInput("j", "x", new Uint8Array(1))).toMatchObject({
      ok: false,
      refusal: "no answer",
    });
  });

  test("sends a large file in chunks of 5 MiB, and the agent gets all of it", () =>
    onStage(async ({ clock, submit, user, bringUp, send }) => {
      const bytes = new Uint8Array(12 * 1024 * 1024).map((_, index) => index % 251);
      const job = await submit({ inputs: ["large", "empty"] });
      given(await user.uploadInput(job, "large", bytes));
      given(await user.uploadInput(job, "empty", new Uint8Array(0)));
      await clock.advance(1000);
      const { agent, token } = await bringUp(job);
      const inputs = given(await agent.ping()).job?.inputs ?? [];
      expect(inputs.map(({ name }) => name)).toEqual(["large", "empty"]);
      const [large, empty] = await Promise.all(
        inputs.map((input) => send("GET", `/0/worker/job/${job}/inputs/${input.id}`, { token })),
      );
      expect(large?.headers.get("content-length")).toBe(String(bytes.byteLength));
      expect(empty?.text).toBe("");
    }));
});

describe("downloadOutput()", () => {
  test("gives the file's bytes", () =>
    onStage(async ({ submit, user, bringUp }) => {
      const job = await submit();
      const { agent } = await bringUp(job);
      const { id } = given(await agent.chunk(job, new TextEncoder().encode("abc")));
      const output = { path: "/work/f", size: 6, chunks: [id, id], commit_id: id };
      given(await agent.output(job, output));
      given(await agent.output(job, output));
      const [stored] = given(await user.outputs(job));
      const bytes = given(await user.downloadOutput(job, stored?.id ?? ""));
      expect(Buffer.from(bytes).toString()).toBe("abcabc");
    }));
});

describe("events()", () => {
  test("asks for page after page until an empty one", async () => {
    const page = recorded.find(({ path }) => path.endsWith("/events?minseq=0")) as RecordedLine;
    const events = page.response_body as { seq: number }[];
    const [one, two] = [events.slice(0, 20), events.slice(20)];
    const { door, api } = openWith([one, two].map((body) => ({ ...page, response_body: body })));
    expect(given(await api.events("j")).map(({ seq }) => seq)).toEqual(events.map(({ seq }) => seq));
    expect(door.asked.map(({ url }) => url.split("?")[1])).toEqual(["minseq=1", "minseq=21", "minseq=24"]);
  });
});
