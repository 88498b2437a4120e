import { describe, expect, test } from "bun:test";
import { given, onStage, type Stage } from "./stage.ts";

/** Opens the stream, and gives what comes piece by piece. */
async function watch(
  { server, userToken }: Stage,
  job: string,
  query = "",
  headers: Record<string, string> = {},
): Promise<{ next(): Promise<string | null>; rest(): Promise<string> }> {
  const response = await fetch(`${server.url}/0/jobs/${job}/watch${query}`, {
    headers: { authorization: `Bearer ${userToken}`, ...headers },
  });
  const reader = response.body?.getReader();
  const next = async (): Promise<string | null> => {
    const part = await reader?.read();
    return part === undefined || part.done ? null : Buffer.from(part.value).toString();
  };
  const rest = async (): Promise<string> => {
    let text = "";
    for (let part = await next(); part !== null; part = await next()) text += part;
    return text;
  };
  return { next, rest };
}

/** The ids of the stream's records, with the state's word. */
function outline(stream: string): string[] {
  return stream
    .split("\n\n")
    .filter((record) => record !== "")
    .map((record) => {
      const [, event = "", id = ""] = /^event: (\w+)\nid: (seq-\d+)/.exec(record) ?? [];
      return event === "state" ? `${id} ${record.split("data: ")[1]}` : id;
    });
}

const line = { stream: "stdout", time: "2026-01-01T00:00:00Z", payload: "x" };

describe("devserver watch", () => {
  test.each([
    ["only events after the newest, by default", "", {}, ["seq-3 running", "seq-3 completed"]],
    ["from minseq on", "?minseq=2", {}, ["seq-1 running", "seq-2", "seq-3", "seq-3 completed"]],
    [
      "after the last event that the client has, if that is earlier",
      "?minseq=3",
      { "last-event-id": "seq-1" },
      ["seq-1 running", "seq-2", "seq-3", "seq-3 completed"],
    ],
    [
      "after no later one",
      "?minseq=2",
      { "last-event-id": "seq-3" },
      ["seq-1 running", "seq-2", "seq-3", "seq-3 completed"],
    ],
  ] as [string, string, Record<string, string>, string[]][])("starts %s", (_, query, headers, expected) =>
    onStage(async (stage) => {
      const job = await stage.submit();
      const { agent } = await stage.bringUp(job);
      given(await agent.append(job, [line, line]));
      given(await agent.completeTask(job, 0, false));
      const stream = await watch(stage, job, query, headers);
      given(await agent.completeJob(job, false));
      expect(outline(await stream.rest())).toEqual(expected);
    }),
  );

  test("sends only a check for a job that is over", () =>
    onStage(async (stage) => {
      const job = await stage.submit();
      const { agent } = await stage.bringUp(job);
      given(await agent.completeJob(job, false));
      expect(await (await watch(stage, job, "?minseq=0")).rest()).toBe("event: check\ndata: -\n\n");
    }));

  test("sends a comment after each 5 s of silence", () =>
    onStage(async (stage) => {
      const job = await stage.submit();
      const stream = await watch(stage, job);
      expect(await stream.next()).toBe("event: state\nid: seq-0\ndata: queued\n\n");
      for (let comments = 0; comments < 3; comments += 1) {
        await stage.clock.advance(5000);
        expect(await stream.next()).toBe(": nothing happens\n");
      }
    }));
});
