import { afterEach, beforeEach, describe, expect, spyOn, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { downloadInputs } from "../../../lib/agent/inputs/download.ts";
import * as inputs from "../../../lib/agent/inputs/input-files.ts";
import { createJobCalls } from "../../../lib/agent/job-calls.ts";
import type { HttpDownload, HttpFailure } from "../../../lib/doors/http.ts";
import type { Log } from "../../../lib/words/logger.ts";
import { createSettableClock } from "../../lab/settable-clock.ts";
import { until } from "../../lab/until.ts";

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "download-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const reply = (
  status: number,
  parts: (string | Error)[],
  headers: Record<string, string> = {},
): HttpDownload => ({
  ok: true,
  status,
  headers: new Headers(headers),
  parts: (async function* () {
    for (const part of parts) {
      if (part instanceof Error) throw part;
      yield new TextEncoder().encode(part);
    }
  })(),
});

/** Gives one reply after another; the clock moves on whenever somebody waits. */
async function download(replies: (HttpDownload | HttpFailure)[], directory = root) {
  const clock = createSettableClock();
  const events: string[] = [];
  let asked = 0;
  const next = async (): Promise<HttpDownload | HttpFailure> => {
    asked += 1;
    const answer = replies.shift();
    if (answer === undefined) throw new Error("asked once too often");
    return answer;
  };
  let isDone = false;
  const done = downloadInputs({
    job: { id: "J", name: "job", output_rules: [], tasks: [], inputs: [{ name: "f", id: "I" }] },
    server: {
      http: { download: next, request: () => Promise.reject(new Error("not this way")) },
      baseurl: "http://h",
      token: null,
    },
    calls: createJobCalls({ clock, log: silent, doubt: () => undefined }),
    inputDirectory: directory,
    put: async (stream, payload) => void events.push(`${stream}: ${payload}`),
  }).finally(() => (isDone = true));
  await until("it is done", async () => {
    await clock.advance(1000);
    return isDone;
  });
  return { isGood: await done, events, asked };
}

describe("downloadInputs()", () => {
  test("writes inputs to the disk and reports each", async () => {
    const { isGood, events } = await download([reply(200, ["one ", "two"], { "content-length": "7" })]);
    expect(isGood).toBe(true);
    expect(readFileSync(join(root, "f"), "utf8")).toBe("one two");
    expect(events).toEqual(["worker: downloading input: /input/f", "worker: downloaded input: /input/f"]);
  });

  test.each<[string, HttpDownload | HttpFailure]>([
    ["the server is away", { ok: false, reason: "refused" }],
    ["a gateway answers", reply(502, ["<html>"])],
    ["the connection breaks on the way", reply(200, ["on", new Error("reset")])],
    ["fewer bytes come than were said", reply(200, ["one"], { "content-length": "7" })],
    ["there is a redirection", reply(302, [])],
  ])("begins again when %s", async (_, first) => {
    const { isGood, asked } = await download([first, reply(200, ["x"])]);
    expect({ isGood, asked }).toEqual({ isGood: true, asked: 2 });
    expect(readFileSync(join(root, "f"), "utf8")).toBe("x");
  });

  test("does not count the bytes of a compressed body", async () => {
    const compressed = { "content-length": "3", "content-encoding": "gzip" };
    expect(await download([reply(200, ["one two"], compressed)])).toMatchObject({ isGood: true });
  });

  test("gives up with the server's reason if the server refuses for good", async () => {
    const { isGood, events } = await download([reply(409, ['{"message":"record not found"}'])]);
    expect(isGood).toBe(false);
    expect(events[1]).toBe(
      'worker: input error: cannot write input "f": the server does not give it: record not found',
    );
  });

  test("gives up with the system's reason if the disk refuses", async () => {
    const { isGood, events, asked } = await download([], "/proc/none");
    expect({ isGood, asked }).toEqual({ isGood: false, asked: 0 });
    expect(events[1]).toBe(
      'worker: input error: cannot write input "f": No such file or directory (os error 2)',
    );
  });

  test("closes the connection if the disk refuses", async () => {
    let isReturned = false;
    const endless = async function* (): AsyncGenerator<Uint8Array<ArrayBuffer>> {
      try {
        for (;;) yield new Uint8Array(10);
      } finally {
        isReturned = true;
      }
    };
    const full = await open("/dev/full", "w");
    const opened = spyOn(inputs, "openInput").mockResolvedValue(full);
    try {
      const { isGood, events } = await download([{ ...reply(200, []), parts: endless() }]);
      expect({ isGood, isReturned }).toEqual({ isGood: false, isReturned: true });
      expect(events[1]).toContain("No space left on device");
    } finally {
      opened.mockRestore();
    }
  });
});
