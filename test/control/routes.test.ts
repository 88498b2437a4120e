/** What is asked on the control socket, as the routes take it and as the client reads the answers, also those of another version. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Act } from "../../lib/control/act.ts";
import { openFactoryClient } from "../../lib/control/client.ts";
import { maySteer } from "../../lib/control/permission.ts";
import { answerControl, type Controlled } from "../../lib/control/routes.ts";
import { controlSocketOf } from "../../lib/control/socket-path.ts";
import { openClock } from "../../lib/doors/clock.ts";
import { openControlSocket } from "../../lib/doors/control-socket.ts";
import { openHttp } from "../../lib/doors/http.ts";
import type { Snapshot } from "../../lib/status/snapshot.ts";
import type { JournalQuery } from "../../lib/words/journal.ts";

const directory = mkdtempSync(join(tmpdir(), "routes-"));
afterAll(() => rmSync(directory, { recursive: true }));

const queries: JournalQuery[] = [];
const acts: [Act, string][] = [];
const controlled: Controlled = {
  snapshot: () => ({ format: 1 }) as Snapshot,
  history: (query) => {
    queries.push(query);
    return [{ id: 7, atMs: 1, entry: { what: "server", is: "away", lines: [] } }];
  },
  log: (instance, file, offset) =>
    Promise.resolve(instance === "a/1" ? { bytes: Buffer.from(`${file} from ${offset}`), size: 99 } : null),
  act: (act, who) => {
    acts.push([act, who]);
    return Promise.resolve({ isDone: true, lines: ["done"] });
  },
  steerers: { uid: 5, gid: 50 },
  steerersText: "members of the group lab may",
  userName: (uid) => Promise.resolve(`user ${uid}`),
};

async function ask(
  method: string,
  target: string,
  body = "",
  peer = { uid: 5, gids: [5], pid: 1 },
): Promise<[number, unknown]> {
  const url = new URL(target, "http://control");
  const reply = await answerControl(controlled, {
    method,
    url,
    body,
    peer,
    signal: new AbortController().signal,
  });
  const text = Buffer.from(reply.body as Uint8Array).toString();
  return [reply.status, reply.type === "application/json" ? JSON.parse(text) : text];
}

test("who may steer is root, the factory's own user and the operators", () => {
  const steerers = { uid: 5, gid: 50 };
  expect(maySteer({ uid: 0, gids: [] }, steerers)).toBe(true);
  expect(maySteer({ uid: 5, gids: [] }, steerers)).toBe(true);
  expect(maySteer({ uid: 6, gids: [6, 50] }, steerers)).toBe(true);
  expect(maySteer({ uid: 6, gids: [6, 5] }, steerers)).toBe(false);
  expect(maySteer({ uid: 6, gids: [6, 50] }, { ...steerers, gid: null })).toBe(false);
});

test("a user who may only look is told so, and who may steer", async () => {
  const looker = { uid: 6, gids: [6], pid: 1 };
  expect(await ask("GET", "/status", "", looker)).toEqual([200, { format: 1 }]);
  expect(await ask("POST", "/act", '{"verb":"pause","testbed":"a"}', looker)).toEqual([
    403,
    { error: "user 6 may look at this factory, but not steer it; members of the group lab may" },
  ]);
  expect(acts).toEqual([]);
});

test("an act is taken with the asker's name, and what is not one is refused", async () => {
  expect(await ask("POST", "/act", '{"verb":"pause","testbed":"a"}')).toEqual([
    200,
    { isDone: true, lines: ["done"] },
  ]);
  expect(acts.splice(0)).toMatchObject([
    [{ verb: "pause", testbed: "a", note: "", isAfterJob: false }, "user 5"],
  ]);
  const wrong = [
    "",
    "[]",
    "{",
    '{"verb":"explode"}',
    '{"verb":"pause","more":1}',
    '{"verb":"pause","note":"a\\nb"}',
    '{"verb":"reserve","forMs":-1}',
    // The end would be no date that can be shown.
    '{"verb":"reserve","testbed":"a","forMs":9000000000000000}',
  ];
  for (const body of wrong) expect([body, (await ask("POST", "/act", body))[0]]).toEqual([body, 400]);
  expect(acts).toEqual([]);
});

test("history is asked for by testbed, job, kind and time, a page at a time", async () => {
  expect((await ask("GET", "/history?testbed=a&what=act,job&sinceMs=5&beforeId=9&most=3"))[0]).toBe(200);
  expect(queries.splice(0)).toEqual([
    { testbed: "a", what: ["act", "job"], sinceMs: 5, beforeId: 9, most: 3 },
  ]);
  expect((await ask("GET", "/history"))[0]).toBe(200);
  expect(queries.splice(0)).toEqual([{ most: 100 }]);
  for (const query of [
    "most=5000",
    "most=-1",
    "sinceMs=-1",
    "beforeId=-1",
    "what=all",
    "order=up",
    "job=01M",
  ]) {
    expect([query, (await ask("GET", `/history?${query}`))[0]]).toEqual([query, 400]);
  }
});

test("no piece of a file is asked for from before its beginning", async () => {
  expect((await ask("GET", "/log?instance=a/1&offset=3"))[1]).toBe("agent.log from 3");
  for (const offset of ["-3", "1.5", "many"]) {
    expect([offset, (await ask("GET", `/log?instance=a/1&offset=${offset}`))[0]]).toEqual([offset, 400]);
  }
});

test("what another version asks is refused with this route's name", async () => {
  expect(await ask("GET", "/page")).toEqual([404, { error: "this factory does not know GET /page" }]);
  expect((await ask("DELETE", "/status"))[0]).toBe(404);
});

test("each database of a directory has a socket of its own", () => {
  expect(controlSocketOf("/base/data.sqlite3")).toBe("/base/control/control.sock");
  expect(controlSocketOf("/base/other.sqlite3")).toBe("/base/control/other.sqlite3.sock");
});

test("the client tells one who may not steer from a factory that is not there", async () => {
  const path = join(directory, "killed.sock");
  const client = openFactoryClient({ http: openHttp({ clock: openClock() }), path });
  expect(await client.status()).toMatchObject({ ok: false, is: "nobody" });
  const script = `Bun.listen({ unix: ${JSON.stringify(path)}, socket: { data() {} } }); process.kill(process.pid, "SIGKILL")`;
  await Bun.spawn([process.execPath, "-e", script], { stdio: ["ignore", "ignore", "ignore"] }).exited;
  expect(await client.status()).toMatchObject({ ok: false, is: "nobody" });
  const looker = { uid: 6, gids: [6], pid: 1 };
  const socket = await openControlSocket({
    path,
    gid: null,
    clock: openClock(),
    answer: (request) => answerControl(controlled, { ...request, peer: looker }),
    onFault: () => undefined,
  });
  expect(await client.act({ verb: "drain" })).toMatchObject({
    ok: false,
    is: "may not",
    reason: expect.stringContaining("may look at this factory") as string,
  });
  await socket.close();
});

test("the client leaves out entries that only another version understands", async () => {
  const path = join(directory, "later.sock");
  const known = { id: 2, atMs: 1, entry: { what: "server", is: "away", lines: [] } };
  const later = { id: 3, atMs: 1, entry: { what: "weather", is: "fine" } };
  const socket = await openControlSocket({
    path,
    gid: null,
    clock: openClock(),
    answer: () => Promise.resolve({ status: 200, body: JSON.stringify([known, later]) }),
    onFault: () => undefined,
  });
  const client = openFactoryClient({ http: openHttp({ clock: openClock() }), path });
  expect(await client.history({ most: 5 })).toMatchObject({ ok: true, value: [known] });
  await socket.close();
});

test("the client reads what the routes answer, and says what a factory of another version does", async () => {
  const http = openHttp({ clock: openClock() });
  const path = join(directory, "control/control.sock");
  const client = openFactoryClient({ http, path });
  const open = (
    answer: Parameters<typeof openControlSocket>[0]["answer"],
  ): ReturnType<typeof openControlSocket> =>
    openControlSocket({ path, gid: null, clock: openClock(), answer, onFault: () => undefined });
  const uid = process.getuid?.() ?? 0;
  const own = { ...controlled, steerers: { uid, gid: null } };
  const socket = await open((request) => answerControl(own, request));
  expect(await client.history({ testbed: "a", what: ["act", "job"], most: 5 })).toMatchObject({
    ok: true,
    value: [{ id: 7 }],
  });
  expect(queries.splice(0)).toEqual([{ testbed: "a", what: ["act", "job"], most: 5 }]);
  const piece = await client.log("a/1", "agent.log", 3);
  expect(piece.ok && piece.value?.size).toBe(99);
  expect(piece.ok && Buffer.from(piece.value?.bytes ?? []).toString()).toBe("agent.log from 3");
  expect(await client.log("b/1", "agent.log", 0)).toEqual({ ok: true, value: null });
  expect(await client.act({ verb: "drain" })).toEqual({ ok: true, value: { isDone: true, lines: ["done"] } });
  // A later version's snapshot has another form.
  expect(await client.status()).toMatchObject({
    ok: false,
    is: "failed",
    reason: expect.stringContaining("another version") as string,
  });
  await socket.close();
  const other = await open(() =>
    Promise.resolve({
      status: 404,
      type: "application/json",
      body: '{"error":"this factory does not know it"}',
    }),
  );
  expect(await client.act({ verb: "drain" })).toEqual({
    ok: false,
    is: "failed",
    reason: "this factory does not know it",
  });
  await other.close();
  const odd = await open(() => Promise.resolve({ status: 200, body: "hello" }));
  expect(await client.act({ verb: "drain" })).toMatchObject({ ok: false, is: "failed" });
  await odd.close();
});
