/** What those who watch a page get: only what changed, however many they are and however slowly they read. */
import { afterEach, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { openWebListener } from "../../../lib/doors/web-listener.ts";
import { answerWeb } from "../../../lib/web/routes.ts";
import type { Snapshot } from "../../../lib/status/snapshot.ts";
import { createSettableClock } from "../../lab/settable-clock.ts";
import { until } from "../../lab/until.ts";
import { type SampleLab, sampleLab, sampleMs, shownOf } from "./sample-lab.ts";

interface Changes {
  title: string;
  isWhole: boolean;
  parts: [name: string, text: string, before?: string | null][];
  gone?: string[];
}

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function open(lab: SampleLab) {
  const clock = createSettableClock({ wallMs: sampleMs });
  let looks = 0;
  const snapshot = (): Snapshot => {
    looks += 1;
    return { ...lab.snapshot, madeMs: clock.wallMs() };
  };
  const shown = shownOf(lab, { clock, snapshot });
  const faults: unknown[] = [];
  const listener = openWebListener({
    host: "127.0.0.1",
    port: 0,
    hosts: [],
    answer: async (request) => await answerWeb(shown, request),
    onFault: (error) => faults.push(error),
  });
  closing.push(() => listener.close());
  let isRead = false;
  fetch(listener.url).then(() => void (isRead = true), faults.push);
  await until("the day is read, in slices between which the clock is waited for", async () => {
    await clock.advance(1);
    return isRead;
  });
  return { url: listener.url, clock, faults, looks: () => looks };
}

/** All that was sent until now, and whoever reads it. */
async function watch(url: string, path = "events/") {
  const leave = new AbortController();
  closing.push(() => leave.abort());
  const { body, status } = await fetch(new URL(path, url), { signal: leave.signal });
  const got: Changes[] = [];
  const read = async (): Promise<void> => {
    const decoder = new TextDecoder();
    let text = "";
    for await (const bytes of body!) {
      text += decoder.decode(bytes as Uint8Array, { stream: true });
      const events = text.split("\n\n");
      text = events.pop()!;
      for (const event of events)
        if (event.startsWith("data: ")) got.push(JSON.parse(event.slice(6)) as Changes);
    }
  };
  read().catch(() => undefined);
  return { status, got, leave: () => leave.abort() };
}

/** Without a client that may keep some for later. Resolves with the status. */
async function connectAndWatch(url: string): Promise<{ status: number; socket: Socket }> {
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  closing.push(() => socket.destroy());
  let text = "";
  socket.on("data", (bytes: Buffer) => void (text += bytes.toString()));
  socket.on("error", () => undefined);
  socket.write("GET /events/ HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const status = await until("it is answered", () => /^HTTP\/1.1 (\d+)/.exec(text)?.[1]);
  return { status: Number(status), socket };
}

const names = ({ parts }: Changes): string[] => parts.map(([name]) => name);

test("who watches gets the whole page once, and then only what changed", async () => {
  const lab = sampleLab(40);
  const web = await open(lab);
  const { got } = await watch(web.url);
  await until("the whole page is there", () => got.length === 1);
  expect(got[0]!.isWhole).toBe(true);
  expect(names(got[0]!).filter((name) => name.startsWith("card "))).toHaveLength(40);
  lab.snapshot.testbeds[1]!.state = "disabled";
  await web.clock.advance(1000);
  await until("the change is there", () => got.length === 2);
  expect(got[1]!.isWhole).toBe(false);
  expect(names(got[1]!)).toContain("card grapefruit-1");
  expect(names(got[1]!).filter((name) => name.startsWith("card "))).toHaveLength(1);
  expect(names(got[1]!)).toContain("states");
});

test("a card that the filter lets in comes with its place, and one that it no longer lets in goes", async () => {
  const lab = sampleLab(15);
  const web = await open(lab);
  const { got } = await watch(web.url, "events/?state=free");
  await until("the whole page is there", () => got.length === 1);
  lab.snapshot.testbeds[1]!.state = "disabled";
  lab.snapshot.testbeds[2]!.state = "free";
  await web.clock.advance(1000);
  await until("the change is there", () => got.length === 2);
  expect(got[1]!.gone).toEqual(["card grapefruit-1"]);
  const [come] = got[1]!.parts.filter(([name]) => name === "card sidecar-1");
  expect(come![2]).toBe("card psc-1");
});

test("the lab is looked at once a second for all who watch, and not at all if nobody does", async () => {
  const web = await open(sampleLab(3));
  const { clock, looks } = web;
  const watching = await Promise.all(Array.from({ length: 10 }, () => watch(web.url)));
  await until("all have the page", () => watching.every(({ got }) => got.length === 1));
  const before = looks();
  for (let asked = 0; asked < 5; asked += 1) expect((await fetch(web.url)).status).toBe(200);
  expect(looks()).toBe(before);
  await clock.advance(5000);
  expect(looks()).toBe(before + 5);
  for (const { leave } of watching) leave();
  await until("nobody waits", () => clock.waiting() === 0);
  await clock.advance(60_000);
  expect(looks()).toBe(before + 5);
});

test("F125 who reads too slowly gets nothing more, and then the whole page", async () => {
  const lab = sampleLab(400);
  const web = await open(lab);
  const { url, clock, faults } = web;
  const other = await watch(web.url);
  const { socket: slow } = await connectAndWatch(url);
  slow.pause();
  await until("the other has the page", () => other.got.length === 1);
  // The system keeps some of the first ones.
  for (let turn = 0; turn < 60; turn += 1) {
    for (const testbed of lab.snapshot.testbeds) testbed.note = `turn ${turn} ${"x".repeat(200)}`;
    await until("the other has the change", async () => {
      await clock.advance(1000);
      return JSON.stringify(other.got.pop() ?? "").includes(`turn ${turn} `);
    });
  }
  let text = "";
  slow.on("data", (bytes: Buffer) => void (text += bytes.toString()));
  slow.resume();
  await until("all that the system kept is read", async () => {
    await clock.advance(1000);
    return text.lastIndexOf('"isWhole":true') > text.indexOf("turn 5 ");
  });
  expect(text).toContain("turn 59 ");
  expect(text).not.toContain("turn 50 ");
  expect(faults).toEqual([]);
});

test("F125 the 257th who watches is refused, and has its place when another leaves", async () => {
  const { url, clock } = await open(sampleLab(3));
  const watching = await Promise.all(Array.from({ length: 256 }, () => connectAndWatch(url)));
  expect(watching.every(({ status }) => status === 200)).toBe(true);
  expect((await connectAndWatch(url)).status).toBe(503);
  watching[0]!.socket.destroy();
  await until("there is a place", async () => {
    await clock.advance(1000);
    return (await connectAndWatch(url)).status === 200;
  });
});

test("who asks for the head of a stream watches nothing", async () => {
  const { url, clock, looks } = await open(sampleLab(3));
  for (let asked = 0; asked < 257; asked += 1)
    expect((await fetch(new URL("events/", url), { method: "HEAD" })).status).toBe(200);
  expect((await watch(url)).status).toBe(200);
  const before = looks();
  await clock.advance(1_000);
  await until("it is looked at for the one who watches", () => looks() === before + 1);
});

test("the 65th filter is refused: each is a page of its own, made each second", async () => {
  const { url } = await open(sampleLab(3));
  const asked = (text: number) => watch(url, `events/?text=${text}`);
  for (let text = 0; text < 64; text += 1) expect((await asked(text)).status).toBe(200);
  expect((await asked(64)).status).toBe(503);
  expect((await asked(63)).status).toBe(200);
});

test("a testbed that there is not has no stream and no page", async () => {
  const web = await open(sampleLab(3));
  for (const path of ["events/testbed/none", "testbed/none", "events/nothing", "testbed/%ff", "events"])
    expect((await watch(web.url, path)).status).toBe(404);
});
